"""Was anything lost, answered twice differently, or told more often than it should have been?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from tests.chaos.ledger import Entry, Ledger

Verdict = Literal["good", "bad", "not run"]


MOST_IN_FLIGHT = 1000  # MQTT_RECEIVE_MAXIMUM


class Extras(StrEnum):
    """How many extra copies a scenario may make."""

    NONE = "none"
    ONE_PER_FAULT = "one per fault"
    IN_FLIGHT = "one per fault and event in flight"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that was done to the service or to what it works with."""

    name: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Counted:
    """The figures of a ledger. Times in seconds; `unacknowledged` events were never taken by the broker."""

    sent: int
    copies: int
    acknowledged: int
    lost: int
    conflicting: int
    wrong_kind: int
    extra: int
    extra_without_fault: int
    excused: int
    p50: float
    p99: float
    longest: float


@dataclass
class Report:
    """The outcome of a scenario."""

    scenario: str
    command: str
    counted: Counted | None = None
    faults: int = 0
    recovery_seconds: float | None = None
    ready_seconds: float | None = None
    figures: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    not_run: str = ""

    @property
    def verdict(self) -> Verdict:
        """Good, bad, or not run."""
        if self.not_run:
            return "not run"
        return "bad" if self.failures else "good"


def count(ledger: Ledger, faults: Sequence[Fault], forgotten: Sequence[tuple[float, float]] = ()) -> Counted:
    """Count. Events acknowledged within a `forgotten` span are excused: no broker has promised to keep them."""
    entries = list(ledger.entries.values())
    lost = [one for one in entries if one.is_lost]
    excused = [one for one in lost if is_forgotten(one, forgotten)]
    with_extra = [one for one in entries if one.extra]
    latencies = sorted(one.answered_at - one.sent_at for one in entries if one.outcomes)
    return Counted(
        sent=len(entries),
        copies=sum(one.copies for one in entries),
        acknowledged=ledger.acknowledged,
        lost=len(lost) - len(excused),
        conflicting=sum(one.has_conflict for one in entries),
        wrong_kind=sum(one.is_wrong_kind for one in entries),
        extra=sum(one.extra for one in with_extra),
        extra_without_fault=sum(max(0, one.extra - _explained(one, faults)) for one in with_extra),
        excused=len(excused),
        p50=quantile(latencies, 0.50),
        p99=quantile(latencies, 0.99),
        longest=latencies[-1] if latencies else 0.0,
    )


def is_forgotten(entry: Entry, spans: Sequence[tuple[float, float]]) -> bool:
    """Whether the broker took it within one of the spans."""
    return any(start <= entry.acknowledged_at <= end for start, end in spans)


def failures(counted: Counted, extras: Extras, faults: int) -> list[str]:
    """What is wrong with these figures, in sentences."""
    found = []
    if counted.lost:
        found.append(f"{counted.lost} events that the broker had taken were lost")
    if counted.conflicting:
        found.append(f"{counted.conflicting} events have outcomes that differ")
    if counted.wrong_kind:
        found.append(f"{counted.wrong_kind} events ended in another kind of outcome than they should")
    if counted.acknowledged < counted.sent:
        found.append(f"{counted.sent - counted.acknowledged} events were never taken by the broker")
    if _has_too_many(counted, extras, faults):
        found.append(
            f"{counted.extra} extra copies, {counted.extra_without_fault} of them with no fault to explain them "
            f"(allowed: {extras})"
        )
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the ordered values does not exceed; 0 of none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def _explained(entry: Entry, faults: Sequence[Fault]) -> int:
    """How many extra copies faults explain: at each, every copy of the event that was sent may have been in flight."""
    return entry.copies * sum(entry.sent_at <= fault.ended for fault in faults)


def _has_too_many(counted: Counted, extras: Extras, faults: int) -> bool:
    match extras:
        case Extras.NONE:
            return counted.extra > 0
        case Extras.ONE_PER_FAULT:
            return counted.extra > faults
        case Extras.IN_FLIGHT:
            return counted.extra_without_fault > 0 or counted.extra > faults * MOST_IN_FLIGHT
        case Extras.ANY:
            return False
