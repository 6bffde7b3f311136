"""The MQTT side as an AsyncAPI 3.0 document."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from app import __version__
from app.events import CustomerEntry, CustomerFocus, EntryEnvelope, FocusEnvelope
from app.results import DeadLetterMessage, PredictionResult, Status

SCHEMAS: Mapping[str, Any] = {
    "customer_entry": CustomerEntry | EntryEnvelope,
    "customer_focus": CustomerFocus | FocusEnvelope,
    "prediction_result": PredictionResult,
}


@dataclass(frozen=True, slots=True)
class ChannelNames:
    """The topics, as configured."""

    entry: str = "customer/enter"
    focus: str = "customer/focus"
    prediction: str = "customer/prediction"
    dead_letter: str = "customer/focus/rejected"
    status: str = "customer/prediction/status"


def json_schema(model: Any) -> dict[str, Any]:
    """The JSON Schema of a model or of a union of models."""
    return TypeAdapter(model).json_schema(mode="validation")


def asyncapi_document(names: ChannelNames) -> dict[str, Any]:
    """The document for these topics."""
    channels = [
        ("entry", names.entry, "receive", "A customer comes in.", SCHEMAS["customer_entry"]),
        ("focus", names.focus, "receive", "A customer lingers in a department.", SCHEMAS["customer_focus"]),
        ("prediction", names.prediction, "send", "One coupon for a focus event.", PredictionResult),
        ("deadLetter", names.dead_letter, "send", "An event that was refused, and why.", DeadLetterMessage),
        ("status", names.status, "send", "Online or offline; retained.", Status),
    ]
    payloads, definitions = TypeAdapter.json_schemas(
        [(key, "validation", TypeAdapter(model)) for key, _, _, _, model in channels],
        ref_template="#/components/schemas/{model}",
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Recommendation service",
            "version": __version__,
            "description": "Entry and focus events in, one explained coupon out. Everything is sent at QoS 1.",
        },
        "defaultContentType": "application/json",
        "channels": {
            key: {
                "address": topic,
                "description": text,
                "messages": {key: {"payload": payloads[key, "validation"]}},
            }
            for key, topic, _, text, _ in channels
        },
        "operations": {
            key: {"action": action, "channel": {"$ref": f"#/channels/{key}"}} for key, _, action, _, _ in channels
        },
        "components": {"schemas": definitions["$defs"]},
    }
