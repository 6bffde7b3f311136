"""What FastAPI cannot tell by itself: the bodies that routes read from the raw bytes."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

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


class Application(FastAPI):
    """FastAPI, with the schemas of `bodies`, which its routes read from the raw bytes, in its OpenAPI document."""

    bodies: tuple[type[BaseModel], ...] = ()

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(model, "validation") for model in self.bodies]
            _, definitions = models_json_schema(models, ref_template=TEMPLATE)
            document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        return super().openapi()
