"""Properties of the reader of events: whatever comes, it reads or refuses, always the same way, and in bounded time."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.department import DepartmentNames
from app.domain.event import FocusEvent
from app.errors import EventRefused, FieldProblem
from app.events import MAX_BODY_BYTES, MILLISECONDS_FROM, parse_entry, parse_focus
from app.results import encode_dead_letter
from tests.hostile.bodies import Kind, body, marked

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
NAMES = DepartmentNames.with_aliases({"Kids": "Boys"})
SPELLINGS = {
    "Sports": ["Sport", "sports", " SPORT\t", "Sports"],
    "Boys": ["boys", "KIDS", "Kids ", "bOYS"],
    "Men": ["MEN"],
}
CODES = {
    "invalid_json", "not_an_object", "too_large", "invalid_envelope", "invalid_customer_id", "invalid_timestamp",
    "missing_timestamp", "invalid_department", "invalid_coordinate", "wrong_event_type", "invalid_event_id",
}  # fmt: skip
LETTER_FACTOR, LETTER_ROOM = 6, 2_048  # JSON writes a control character as six

same_each_time = settings(derandomize=True, deadline=None, max_examples=200)
fewer = settings(same_each_time, max_examples=60)

kinds = st.sampled_from(["entry", "focus"])
seeds = st.integers(0, 2**64)
customers = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64)
seconds = st.integers(0, MILLISECONDS_FROM - 1)
places = st.none() | st.floats(allow_nan=False, allow_infinity=False).map(
    lambda place: place + 0.0
)  # -0.0 is read as 0.0
departments = st.sampled_from(sorted(SPELLINGS)) | st.text(
    st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64
)
focus_events = st.builds(
    lambda customer, ts, department, x, y: FocusEvent(customer, ts, NAMES.canonical(department), department, x, y),
    customers,
    seconds,
    departments,
    places,
    places,
)
extras = st.dictionaries(
    st.text(max_size=8).map("extra {}".format), st.none() | st.integers() | st.text() | st.lists(st.booleans())
)


def read(raw: bytes, kind: Kind = "focus", event_id: str | None = None, correlation: bytes | None = None) -> Any:
    return parse_entry(raw, NOW) if kind == "entry" else parse_focus(raw, NOW, NAMES, event_id, correlation)


def flat(event: FocusEvent) -> dict[str, Any]:
    return {"id": event.customer_id, "ts": event.ts, "dep": event.department_asked, "x": event.x, "y": event.y}


def envelope(event: FocusEvent) -> dict[str, Any]:
    payload = {"customer_id": event.customer_id, "category": event.department_asked, "x": event.x, "y": event.y}
    return {"event_type": "focus event", "event_timestamp": event.ts, "payload": payload}


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def read_or_refused(
    raw: bytes, kind: Kind, event_id: str | None = None, correlation: bytes | None = None
) -> tuple[Any, Sequence[FieldProblem]]:
    try:
        return read(raw, kind, event_id, correlation), ()
    except EventRefused as refusal:
        return None, refusal.problems


def check_outcome(raw: bytes, kind: Kind, event_id: str | None = None, correlation: bytes | None = None) -> None:
    """Read or refused, and if refused, with reasons that are documented and a dead letter that can be sent."""
    event, problems = read_or_refused(raw, kind, event_id, correlation)
    if event is None:
        assert problems
        assert {problem.code for problem in problems} <= CODES
        letter = json.loads(encode_dead_letter("customer/focus", raw, problems))
        assert letter["reason"] == problems[0].code
        return
    assert event.customer_id == event.customer_id.strip()
    assert 1 <= len(event.customer_id) <= 64
    assert event.customer_id.isprintable()
    assert 0 <= event.ts < 253402300800


@same_each_time
@given(st.binary(max_size=2_000), kinds)
def test_any_bytes_are_read_or_refused_with_a_documented_reason(raw: bytes, kind: Kind) -> None:
    check_outcome(raw, kind)


@same_each_time
@given(seeds, kinds)
def test_any_hostile_body_is_read_or_refused_with_a_documented_reason(seed: int, kind: Kind) -> None:
    check_outcome(body(Random(seed), kind), kind)


@same_each_time
@given(st.none() | st.text(max_size=200), st.none() | st.binary(max_size=200), seeds)
def test_any_name_of_an_event_is_taken_or_refused(event_id: str | None, correlation: bytes | None, seed: int) -> None:
    check_outcome(encoded({"id": marked(Random(seed)), "ts": 1, "dep": "Boys"}), "focus", event_id, correlation)


@fewer
@given(
    st.sampled_from(["[", '{"a":', '[{"":', '"', "\\", '"\\u', "9", "-", "0.", "1e", " ", "\x00", '{"id":1,']), kinds
)
def test_a_body_of_one_thing_again_and_again_is_read_or_refused(piece: str, kind: Kind) -> None:
    check_outcome((piece * MAX_BODY_BYTES)[:MAX_BODY_BYTES].encode(), kind)
    check_outcome(
        b'{"id":"1","ts":1,"dep":"Boys","a":' + (piece * MAX_BODY_BYTES)[: MAX_BODY_BYTES - 50].encode(), kind
    )


@same_each_time
@given(focus_events)
def test_the_canonical_form_of_an_event_is_read_as_that_event(event: FocusEvent) -> None:
    assert read(encoded(flat(event))) == event


@same_each_time
@given(focus_events)
def test_both_forms_of_an_event_have_one_decision(event: FocusEvent) -> None:
    assert read(encoded(envelope(event))) == read(encoded(flat(event)))
    assert read(encoded(envelope(event))).decision_id == event.decision_id


@same_each_time
@given(focus_events, st.data())
def test_aliases_and_case_of_a_department_change_no_decision(event: FocusEvent, data: st.DataObject) -> None:
    department = data.draw(st.sampled_from(sorted(SPELLINGS)))
    one, other = (data.draw(st.sampled_from(SPELLINGS[department])) for _ in range(2))

    first, second = (read(encoded(flat(event) | {"dep": spelling})) for spelling in (one, other))

    assert first.decision_id == second.decision_id
    assert first.department == second.department == department


@same_each_time
@given(focus_events, extras, extras)
def test_fields_that_nobody_knows_change_nothing(
    event: FocusEvent, outer: dict[str, Any], inner: dict[str, Any]
) -> None:
    wrapped = envelope(event)

    assert read(encoded(outer | flat(event))) == event
    assert read(encoded(outer | wrapped | {"payload": inner | wrapped["payload"]})) == event


@same_each_time
@given(focus_events, st.randoms(use_true_random=False))
def test_the_order_of_fields_changes_nothing(event: FocusEvent, random: Random) -> None:
    for document in (flat(event), envelope(event)):
        items = list(document.items())
        random.shuffle(items)
        assert read(encoded(dict(items))) == event


@same_each_time
@given(focus_events, focus_events, st.booleans())
def test_events_have_one_decision_if_and_only_if_they_are_the_same(
    one: FocusEvent, other: FocusEvent, is_near: bool
) -> None:
    if is_near:
        other = replace(one, ts=other.ts, department=other.department)

    def identity(event: FocusEvent) -> tuple[object, ...]:
        return event.customer_id, event.ts, event.department.casefold(), event.x, event.y

    first, second = read(encoded(flat(one))), read(encoded(flat(other)))

    assert (first.decision_id == second.decision_id) == (identity(first) == identity(second))


@same_each_time
@given(focus_events, focus_events, st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128))
def test_named_events_have_one_decision_if_and_only_if_customer_and_name_are_the_same(
    one: FocusEvent, other: FocusEvent, name: str
) -> None:
    first, second = read(encoded(flat(one)), event_id=name), read(encoded(flat(other)), event_id=name)
    renamed = read(encoded(flat(one)), event_id=f"{name[:127]}~")
    assume(renamed.event_id != name)

    assert (first.decision_id == second.decision_id) == (one.customer_id == other.customer_id)
    assert renamed.decision_id != first.decision_id != one.decision_id


@same_each_time
@given(st.binary(max_size=500), st.text(st.characters(exclude_categories=["Cs"]), max_size=30), st.integers(1, 300))
def test_any_payload_fits_into_a_dead_letter_of_bounded_size_the_same_each_time(
    raw: bytes, topic: str, times: int
) -> None:
    payload = raw * times
    problems = [FieldProblem("id", "invalid_customer_id", "must be a printable string")]

    letter = encode_dead_letter(topic, payload, problems)

    told = json.loads(letter)
    text = told["payload"].encode() if told["payload_encoding"] == "utf-8" else bytes.fromhex(told["payload"])
    assert letter == encode_dead_letter(topic, payload, problems)
    assert payload.startswith(text)
    assert len(text) == len(payload) or len(told["payload"]) >= MAX_BODY_BYTES // 2
    assert (told["payload_bytes"], told["topic"]) == (len(payload), topic)
    assert len(letter) <= LETTER_FACTOR * (min(len(payload), MAX_BODY_BYTES) + len(topic)) + LETTER_ROOM


@same_each_time
@given(st.text(max_size=70))
def test_an_id_is_read_trimmed_or_refused_where_it_cannot_be_shown(customer: str) -> None:
    raw = encoded({"id": customer, "ts": 1, "dep": "Boys"})
    trimmed = customer.strip()
    is_fine = 1 <= len(trimmed) <= 64 and all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in trimmed)
    event, problems = read_or_refused(raw, "focus")

    assert {problem.code for problem in problems} == (set() if is_fine else {"invalid_customer_id"})
    assert event is None or event.customer_id == trimmed
