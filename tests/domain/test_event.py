"""Events have names that every copy of them shares."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.event import EntryEvent, FocusEvent
from tests.builders import FOCUS

PLACED = replace(FOCUS, x=10.0, y=20.5)

printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=64)


def test_copies_of_an_event_have_one_decision() -> None:
    assert replace(PLACED).decision_id == PLACED.decision_id


@pytest.mark.parametrize(
    "other",
    [
        replace(PLACED, customer_id="128"),
        replace(PLACED, ts=PLACED.ts + 1),
        replace(PLACED, department="Women"),
        replace(PLACED, x=10.5),
        replace(PLACED, x=None),
        replace(PLACED, y=20.0),
        replace(PLACED, y=None),
        replace(PLACED, x=PLACED.y, y=PLACED.x),
        replace(PLACED, event_id="a"),
        replace(PLACED, correlation_data=b"a"),
    ],
)
def test_another_event_has_another_decision(other: FocusEvent) -> None:
    assert other.decision_id != PLACED.decision_id


def test_how_the_department_was_spelled_makes_no_other_decision() -> None:
    copies = [
        replace(FOCUS, department="Sports", department_asked="Sports"),
        replace(FOCUS, department="Sports", department_asked="sport"),
        replace(FOCUS, department="SPORTS", department_asked="SPORTS"),
    ]

    assert len({copy.decision_id for copy in copies}) == 1


def test_the_senders_name_for_the_event_beats_its_contents() -> None:
    named = replace(PLACED, event_id="camera-7/42", correlation_data=b"\x01")
    resent = replace(named, ts=0, department="Women", x=None, y=None, correlation_data=None)

    assert resent.decision_id == named.decision_id


def test_correlation_data_beats_the_contents() -> None:
    sent = replace(PLACED, correlation_data=b"\x00\xff")
    resent = replace(sent, ts=0, department="Women", x=None, y=None)

    assert resent.decision_id == sent.decision_id


@pytest.mark.parametrize("named", [replace(FOCUS, event_id="1"), replace(FOCUS, correlation_data=b"\x01")])
def test_senders_may_number_the_events_of_every_customer_from_one(named: FocusEvent) -> None:
    assert replace(named, customer_id="128").decision_id != named.decision_id


def test_an_event_id_is_no_correlation_data() -> None:
    named, correlated = replace(FOCUS, event_id="ab"), replace(FOCUS, correlation_data=bytes.fromhex("ab"))

    assert named.decision_id != correlated.decision_id


@given(st.tuples(printable, printable), st.tuples(printable, printable))
def test_only_the_same_customer_and_department_share_a_decision(one: tuple[str, str], other: tuple[str, str]) -> None:
    ids = [replace(FOCUS, customer_id=customer, department=dep).decision_id for customer, dep in (one, other)]
    is_same = one[0] == other[0] and one[1].casefold() == other[1].casefold()

    assert (ids[0] == ids[1]) is is_same


@pytest.mark.parametrize(
    ("ts", "day"),
    [
        (0, date(1970, 1, 1)),
        (86_399, date(1970, 1, 1)),
        (86_400, date(1970, 1, 2)),
        (192_322_800, date(1976, 2, 4)),
        (253_402_300_799, date(9999, 12, 31)),
    ],
)
def test_an_event_belongs_to_the_day_in_utc_that_it_names(ts: int, day: date) -> None:
    assert replace(FOCUS, ts=ts).day == day


@given(st.integers(0, 253_402_300_799))
def test_every_second_belongs_to_the_day_it_lies_in(ts: int) -> None:
    day = replace(FOCUS, ts=ts).day
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())

    assert midnight <= ts < midnight + 86_400


def test_copies_of_an_entry_event_have_one_name() -> None:
    assert EntryEvent("127", 1).event_id == EntryEvent("127", 1).event_id


@pytest.mark.parametrize("other", [EntryEvent("128", 1), EntryEvent("127", 2), EntryEvent("1271", 1)])
def test_another_entry_event_has_another_name(other: EntryEvent) -> None:
    assert other.event_id != EntryEvent("127", 1).event_id


def test_an_entry_event_is_no_focus_event() -> None:
    assert EntryEvent(FOCUS.customer_id, FOCUS.ts).event_id != FOCUS.decision_id
