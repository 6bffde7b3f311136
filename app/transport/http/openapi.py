"""What FastAPI cannot tell by itself: the bodies of events, which the service reads from the raw bytes."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from app.events import CustomerEntry, CustomerFocus, EntryEnvelope, FocusEnvelope

TEMPLATE = "#/components/schemas/{model}"
EVENTS: list[tuple[type[BaseModel], JsonSchemaMode]] = [
    (model, "validation") for model in (CustomerEntry, EntryEnvelope, CustomerFocus, FocusEnvelope)
]


def event_body(flat: type[BaseModel], envelope: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """The request body of a mock endpoint: either form of the event."""
    either = [{"$ref": TEMPLATE.format(model=model.__name__)} for model in (flat, envelope)]
    content = {"application/json": {"schema": {"anyOf": either}, "example": dict(example)}}
    return {"requestBody": {"required": True, "content": content}}


class Application(FastAPI):
    """FastAPI, with the events' schemas in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            _, definitions = models_json_schema(EVENTS, ref_template=TEMPLATE)
            document.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        return super().openapi()
