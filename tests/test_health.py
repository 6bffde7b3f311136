"""Readiness, part by part; every change is told once."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from app.transport.health import Health


@pytest.fixture
def told() -> Iterator[list[EventDict]]:
    with capture_logs() as entries:
        yield entries


def essence(entries: list[EventDict]) -> list[tuple[str, str]]:
    """Level and event of what is told at INFO and above."""
    return [(entry["log_level"], entry["event"]) for entry in entries if entry["log_level"] != "debug"]


def test_it_is_ready_when_no_part_has_a_problem() -> None:
    health = Health({"model": None, "broker": "away"})
    before = (health.is_ready, dict(health.problems), dict(health.parts))

    health.reporter("broker")(None)

    assert before == (False, {"broker": "away"}, {"model": None, "broker": "away"})
    assert (health.is_ready, health.problems, health.parts) == (True, {}, {"model": None, "broker": None})


def test_without_an_optional_part_it_is_ready_and_says_what_it_does_without() -> None:
    health = Health({"model": None}, optional=("central",))
    health.reporter("central")("away")

    assert (health.is_ready, health.problems, health.degradations) == (True, {}, {"central": "away"})
    assert health.parts == {"model": None, "central": "away"}


def test_who_watches_learns_how_it_stands_and_every_change() -> None:
    health, seen = Health({"broker": "away"}), list[dict[str, str]]()
    health.watch(lambda: seen.append(dict(health.problems)))

    for problem in ("away", "refused", None):
        health.reporter("broker")(problem)

    assert seen == [{"broker": "away"}, {"broker": "refused"}, {}]


def test_each_change_is_told_once(told: list[EventDict]) -> None:
    report = Health({}).reporter("broker")
    for problem in ("away", "away", "refused", None, None, "away"):
        report(problem)

    assert told == [
        {"log_level": "warning", "event": "part is not ready", "part": "broker", "problem": "away"},
        {"log_level": "debug", "event": "part is still not ready", "part": "broker", "problem": "refused"},
        {"log_level": "info", "event": "part is ready", "part": "broker"},
        {"log_level": "warning", "event": "part is not ready", "part": "broker", "problem": "away"},
    ]


def test_a_part_that_is_ready_from_the_first_is_not_worth_a_word(told: list[EventDict]) -> None:
    Health({}).reporter("database")(None)

    assert told == []


def test_each_part_has_changes_of_its_own(told: list[EventDict]) -> None:
    health = Health({})
    broker, database = health.reporter("broker"), health.reporter("database")
    broker("away")
    database("away")
    broker(None)

    assert health.problems == {"database": "away"}
    assert essence(told) == [
        ("warning", "part is not ready"),
        ("warning", "part is not ready"),
        ("info", "part is ready"),
    ]
