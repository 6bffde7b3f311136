"""What FastAPI cannot tell by itself: the bodies that routes read from the raw bytes."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.types import ASGIApp

from app.transport.http.headers import SafeHeaders
from app.transport.problem import MEDIA_TYPE, Problem

TEMPLATE = "#/components/schemas/{model}"


def event_body(flat: type[BaseModel], envelope: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """The request body of a mock endpoint: either form of the event."""
    either = [{"$ref": TEMPLATE.format(model=model.__name__)} for model in (flat, envelope)]
    return _body({"schema": {"anyOf": either}, "example": dict(example)})


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """A request body that the route reads by itself."""
    return _body({"schema": {"$ref": TEMPLATE.format(model=model.__name__)}})


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with these problems."""
    return {status: _problem(HTTPStatus(status).phrase) for status in statuses}


def _problem(description: str) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": TEMPLATE.format(model=Problem.__name__)}}}
    return {"description": description, "content": content}


class Application(FastAPI):
    """FastAPI, with what its routes read from the raw bytes, and its problems, in its OpenAPI document."""

    bodies: tuple[type[BaseModel], ...] = ()

    def build_middleware_stack(self) -> ASGIApp:
        """Around everything, so that the answer to a fault has these headers as well."""
        return SafeHeaders(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            bodies: tuple[type[BaseModel], ...] = (*self.bodies, Problem)
            models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in bodies]
            _, definitions = models_json_schema(models, ref_template=TEMPLATE)
            document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
            for path in document["paths"].values():
                for operation in path.values():
                    _tell_of_refusals(operation)
        return super().openapi()


def _tell_of_refusals(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "requestBody" in operation or "422" in responses:
        responses["422"] = _problem("Refused; the problem names the fields to blame.")
    if "requestBody" in operation:
        responses["408"] = _problem("The body did not come in time.")
    if "security" in operation:
        responses["401"] = _problem("An API key is needed.")
        responses["403"] = _problem("The role of the API key is not enough.")
        responses["429"] = _problem("Too many requests; `Retry-After` says when to come again.")
        responses["503"] = _problem("What the answer needs is away; `Retry-After` says when to come again.")
