"""The ledger and the judge: pure, on times made up."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos.judge import Counted, Extras, Fault, Report, count, failures, quantile
from tests.chaos.ledger import Kind, Ledger
from tests.chaos.report import document


def ledger_with(*outcomes: bytes, copies: int = 1, kind: Kind = "result") -> Ledger:
    """One event, sent at 10, acknowledged at 11, answered from 12 on."""
    ledger = Ledger()
    ledger.plan(1, b"one", kind, 10.0)
    for _ in range(copies):
        ledger.send(1)
    ledger.acknowledge(1, 11.0)
    for second, body in enumerate(outcomes):
        ledger.hear(b"one", "result", body, 12.0 + second)
    return ledger


def problems(ledger: Ledger, extras: Extras = Extras.NONE, faults: Sequence[Fault] = ()) -> list[str]:
    return failures(count(ledger, faults), extras, len(faults))


def test_an_event_with_one_outcome_is_no_failure() -> None:
    assert problems(ledger_with(b"a")) == []


def test_an_acknowledged_event_without_an_outcome_is_lost() -> None:
    assert problems(ledger_with()) == ["1 events that the broker had taken were lost"]


def test_an_event_that_the_broker_has_not_taken_is_not_lost_but_told() -> None:
    ledger = Ledger()
    ledger.plan(1, b"one", "result", 10.0)
    ledger.send(1)

    assert problems(ledger) == ["1 events were never taken by the broker"]


def test_two_outcomes_that_differ_conflict_however_many_copies_were_sent() -> None:
    assert problems(ledger_with(b"a", b"b", copies=2)) == ["1 events have outcomes that differ"]


def test_as_many_equal_outcomes_as_copies_are_no_failure() -> None:
    assert problems(ledger_with(b"a", b"a", copies=2)) == []


def test_an_outcome_beyond_the_copies_is_extra() -> None:
    (problem,) = problems(ledger_with(b"a", b"a"))

    assert problem.startswith("1 extra copies, 1 of them with no fault to explain them")


def test_a_result_for_an_event_that_should_have_been_refused_is_a_failure() -> None:
    assert problems(ledger_with(b"a", kind="dead letter")) == [
        "1 events ended in another kind of outcome than they should"
    ]


def test_what_the_broker_delivers_to_the_listener_again_is_no_new_copy() -> None:
    ledger = ledger_with(b"a")
    ledger.hear(b"one", "result", b"a", 13.0, is_again=True)

    assert problems(ledger) == []


def test_a_redelivery_with_another_body_is_a_conflict_all_the_same() -> None:
    ledger = ledger_with(b"a")
    ledger.hear(b"one", "result", b"b", 13.0, is_again=True)

    assert count(ledger, ()).conflicting == 1


def test_an_outcome_of_nobody_is_counted_as_a_stranger() -> None:
    ledger = ledger_with(b"a")
    ledger.hear(b"two", "result", b"a", 13.0)

    assert (ledger.strangers, problems(ledger)) == (1, [])


@pytest.mark.parametrize(
    ("extras", "fault_at", "is_allowed"),
    [
        (Extras.IN_FLIGHT, 11.5, True),
        (Extras.IN_FLIGHT, 9.0, False),
        (Extras.ONE_PER_FAULT, 20.0, True),
        (Extras.NONE, 11.5, False),
        (Extras.ANY, 20.0, True),
    ],
)
def test_an_extra_copy_is_judged_by_the_faults(extras: Extras, fault_at: float, is_allowed: bool) -> None:
    found = problems(ledger_with(b"a", b"a"), extras, [Fault("kill", fault_at, fault_at)])

    assert (found == []) is is_allowed


def test_two_extra_copies_of_one_event_are_one_too_many_for_one_fault() -> None:
    faults = [Fault("postgres", 11.5, 11.9)]

    assert problems(ledger_with(b"a", b"a", b"a"), Extras.IN_FLIGHT, faults) != []


def test_what_a_killed_broker_had_not_saved_is_excused_and_told() -> None:
    counted = count(ledger_with(), (), forgotten=[(6.0, 12.0)])

    assert (counted.lost, counted.excused) == (0, 1)


def test_what_a_killed_broker_had_saved_is_lost() -> None:
    counted = count(ledger_with(), (), forgotten=[(11.5, 12.0)])

    assert (counted.lost, counted.excused) == (1, 0)


def test_latency_runs_from_the_moment_the_event_was_due() -> None:
    assert count(ledger_with(b"a", b"a", copies=2), ()).p99 == 2.0


def test_the_first_answer_after_a_fault_is_one_to_an_event_sent_after_it() -> None:
    ledger = ledger_with(b"a")
    ledger.plan(2, b"two", "result", 20.0)
    ledger.hear(b"two", "result", b"b", 21.0)

    assert [ledger.first_answer_after(at) for at in (5.0, 15.0, 25.0)] == [12.0, 21.0, 0.0]


def test_quantiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100)]

    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([], 0.5)) == (50.0, 99.0, 0.0)


def test_a_verdict_is_good_bad_or_says_why_it_was_not_run() -> None:
    reports = [Report("a", ""), Report("b", "", failures=["x"]), Report("c", "", not_run="no disk")]

    assert [report.verdict for report in reports] == ["good", "bad", "not run"]
    assert isinstance(count(Ledger(), ()), Counted)


def test_what_is_played_again_replaces_its_own_rows_of_the_document_alone() -> None:
    kill, network = Report("kill", "python -m tests.chaos --scenario kill"), Report("network", "python -m tests.chaos")
    before = document([network, kill, kill], "", is_full=True)
    again = replace(kill, failures=["worse"])

    after = document([again], before, is_full=True)

    rows = [line for line in after.splitlines() if line.startswith(("| kill", "| network"))]
    assert [row.split(" | ")[0] for row in rows] == ["| kill", "| network"]
    assert "bad" not in before
    assert after.count("python -m tests.chaos") - before.count("python -m tests.chaos") == -1
    assert document([again], before, is_full=False).count("| network") == 0
