"""The wire contract, what comes in: read once, here. What goes out is in `results`.

`parse_entry` and `parse_focus` serve MQTT and HTTP alike. The pydantic models are the contract's one definition: the
JSON Schemas in schema/ and the OpenAPI document are generated from them.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from app.domain.department import DepartmentNames
from app.domain.event import EntryEvent, FocusEvent
from app.errors import EventRefused, FieldProblem

Event = TypeVar("Event")

MAX_BODY_BYTES = 64 * 1024
MAX_ID_LENGTH = 64
MAX_DEPARTMENT_LENGTH = 64
MAX_EVENT_ID_LENGTH = 128
MILLISECONDS_FROM = 10**11
LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
EXACT_INTEGERS = 2**53
NUMBER = re.compile(r"\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)


def _customer_id(value: object) -> str:
    match value:
        case str():
            text = value.strip()
        case bool():
            text = ""
        case int():
            text = str(value) if abs(value) < 10**MAX_ID_LENGTH else ""
        case float() if value.is_integer() and abs(value) < EXACT_INTEGERS:
            text = str(int(value))
        case _:
            text = ""
    if not 1 <= len(text) <= MAX_ID_LENGTH or not text.isprintable():
        raise PydanticCustomError(
            "invalid_customer_id", "must be a printable string of 1 to 64 characters, or a whole number"
        )
    return text


def _unix_seconds(value: object) -> int:
    try:
        seconds = _seconds(value)
    except (ValueError, OverflowError):
        seconds = None
    if seconds is None or not 0 <= seconds <= LAST_SECOND:
        raise PydanticCustomError(
            "invalid_timestamp",
            "must be unix seconds, unix milliseconds (from 1e11) or ISO 8601, from 1970 to the year 9999",
        )
    return seconds


def _seconds(value: object) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        if not NUMBER.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        value = int(text) if text.isdigit() else float(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return math.floor(value / 1000 if value >= MILLISECONDS_FROM else value)


def _department(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not 1 <= len(text) <= MAX_DEPARTMENT_LENGTH or not text.isprintable():
        raise PydanticCustomError("invalid_department", "must be a printable string of 1 to 64 characters")
    return text


def _coordinate(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return value + 0.0
    raise PydanticCustomError("invalid_coordinate", "must be a finite number")


def _event_type(*names: str) -> BeforeValidator:
    def check(value: object) -> str:
        if isinstance(value, str) and value.strip().casefold() in names:
            return names[0]
        raise PydanticCustomError("wrong_event_type", "must be one of: {names}", {"names": ", ".join(names)})

    return BeforeValidator(check)


CustomerId = Annotated[
    str,
    BeforeValidator(_customer_id),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": 64}, {"type": "integer"}]}),
]
Timestamp = Annotated[
    int,
    BeforeValidator(_unix_seconds),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}],
            "description": "Unix seconds; from 1e11 on, milliseconds; or ISO 8601 (without a zone: UTC).",
        }
    ),
]
Department = Annotated[
    str, BeforeValidator(_department), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 64})
]
Coordinate = Annotated[float, BeforeValidator(_coordinate), WithJsonSchema({"type": "number"})]
EntryEventType = Annotated[Literal["entry event", "customer entry"], _event_type("entry event", "customer entry")]
FocusEventType = Annotated[Literal["focus event", "customer focus"], _event_type("focus event", "customer focus")]


class Wire(BaseModel):
    """What all models of the contract have in common."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class CustomerEntry(Wire):
    """Entry event, flat form."""

    id: CustomerId
    ts: Timestamp


class CustomerFocus(Wire):
    """Focus event, flat form."""

    id: CustomerId
    ts: Timestamp
    dep: Department
    x: Coordinate | None = None
    y: Coordinate | None = None


class EntryPayload(Wire):
    """What the envelope of an entry event holds."""

    customer_id: CustomerId


class FocusPayload(Wire):
    """What the envelope of a focus event holds."""

    customer_id: CustomerId
    category: Department
    x: Coordinate | None = None
    y: Coordinate | None = None


class EntryEnvelope(Wire):
    """Entry event, legacy form."""

    event_type: EntryEventType | None = None
    event_timestamp: Timestamp | None = None
    payload: EntryPayload


class FocusEnvelope(Wire):
    """Focus event, legacy form."""

    event_type: FocusEventType | None = None
    event_timestamp: Timestamp | None = None
    payload: FocusPayload


MISSING_CODES: Mapping[str, str] = {
    "id": "invalid_customer_id",
    "customer_id": "invalid_customer_id",
    "ts": "missing_timestamp",
    "dep": "invalid_department",
    "category": "invalid_department",
}


def parse_entry(body: bytes, now: datetime) -> EntryEvent:
    """Read an entry event in either form. `now` stands in for a missing timestamp. Raises EventRefused."""
    return _read(body, lambda document: _entry(document, now))


def parse_focus(
    body: bytes,
    now: datetime,
    names: DepartmentNames,
    event_id: str | None = None,
    correlation_data: bytes | None = None,
) -> FocusEvent:
    """Read a focus event in either form. `now` stands in for a missing timestamp. Raises EventRefused.

    `event_id` and `correlation_data` are the MQTT 5 properties that may name the event.
    """
    if event_id is not None and not (event_id.isprintable() and 1 <= len(event_id) <= MAX_EVENT_ID_LENGTH):
        raise _refused("event-id", "invalid_event_id", "must be a printable string of 1 to 128 characters")
    return _read(body, lambda document: _focus(document, now, names, event_id, correlation_data or None))


def customer_named(body: bytes) -> str | None:
    """The customer whom a refused event names; None where that cannot be read."""
    if len(body) > MAX_BODY_BYTES:
        return None
    try:
        document, _ = _load(body)
        if not isinstance(document, dict):
            return None
        payload = document.get("payload")
        return _customer_id(payload.get("customer_id") if isinstance(payload, dict) else document.get("id"))
    except (EventRefused, PydanticCustomError):
        return None


def _entry(document: dict[str, Any], now: datetime) -> EntryEvent:
    if _is_envelope(document):
        envelope = EntryEnvelope.model_validate(document)
        return EntryEvent(envelope.payload.customer_id, _or_now(envelope.event_timestamp, now))
    flat = CustomerEntry.model_validate(document)
    return EntryEvent(flat.id, flat.ts)


def _focus(
    document: dict[str, Any],
    now: datetime,
    names: DepartmentNames,
    event_id: str | None,
    correlation_data: bytes | None,
) -> FocusEvent:
    if _is_envelope(document):
        envelope = FocusEnvelope.model_validate(document)
        payload = envelope.payload
        who, asked, x, y = payload.customer_id, payload.category, payload.x, payload.y
        ts = _or_now(envelope.event_timestamp, now)
    else:
        flat = CustomerFocus.model_validate(document)
        who, asked, x, y, ts = flat.id, flat.dep, flat.x, flat.y, flat.ts
    return FocusEvent(who, ts, names.canonical(asked), asked, x, y, event_id, correlation_data)


def _or_now(ts: int | None, now: datetime) -> int:
    return int(now.timestamp()) if ts is None else ts


def _is_envelope(document: dict[str, Any]) -> bool:
    payload = document.get("payload")
    if isinstance(payload, dict):
        return True
    if "payload" in document and ("event_type" in document or "id" not in document):
        raise _refused("payload", "invalid_envelope", "must be an object")
    return False


def _read(body: bytes, normalise: Callable[[dict[str, Any]], Event]) -> Event:
    if len(body) > MAX_BODY_BYTES:
        raise _refused("", "too_large", f"must be at most {MAX_BODY_BYTES} bytes")
    document, json_problem = _load(body)
    if not isinstance(document, dict):
        raise _refused("", "not_an_object", "must be a JSON object")
    try:
        event = _normalised(body, document, normalise)
    except ValidationError as error:
        problems = [_problem(details) for details in error.errors(include_url=False, include_input=False)]
        raise EventRefused(problems) from None
    if json_problem:
        raise _refused("", "invalid_json", json_problem)
    return event


def _normalised(body: bytes, document: dict[str, Any], normalise: Callable[[dict[str, Any]], Event]) -> Event:
    """A document that is refused is read once more by a reader that keeps all digits of a long whole number."""
    try:
        return normalise(document)
    except ValidationError as refusal:
        try:
            exact = json.loads(body)
        except (ValueError, RecursionError):
            raise refusal from None
        return normalise(exact)


def _load(body: bytes) -> tuple[object, str | None]:
    """The document, and what is wrong with it where a lenient reader could still tell which field is to blame."""
    try:
        return orjson.loads(body), None
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(body), str(error)
        except (ValueError, RecursionError):
            raise _refused("", "invalid_json", f"must be JSON in UTF-8: {error}") from None


def _refused(field: str, code: str, detail: str) -> EventRefused:
    return EventRefused([FieldProblem(field, code, detail)])


def _problem(details: ErrorDetails) -> FieldProblem:
    field = ".".join(str(part) for part in details["loc"])
    if details["type"] == "missing":
        return FieldProblem(field, MISSING_CODES[str(details["loc"][-1])], "is missing")
    return FieldProblem(field, details["type"], details["msg"])
