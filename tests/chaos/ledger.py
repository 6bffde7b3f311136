"""What was sent, what the broker has acknowledged, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

Kind = Literal["result", "dead letter"]


@dataclass(slots=True)
class Entry:
    """One focus event. `copies`: how often it was sent, on purpose or for want of an acknowledgement.

    Times are seconds of one monotonic clock; 0 means never.
    """

    number: int
    expected: Kind
    sent_at: float
    copies: int = 0
    acknowledged_at: float = 0.0
    answered_at: float = 0.0
    outcomes: int = 0
    digest: bytes = b""
    has_conflict: bool = False
    is_wrong_kind: bool = False

    @property
    def extra(self) -> int:
        """Outcomes beyond one for each copy."""
        return max(0, self.outcomes - self.copies)

    @property
    def is_lost(self) -> bool:
        """Whether the broker has taken it and nothing came of it."""
        return self.acknowledged_at > 0 and self.outcomes == 0


@dataclass(slots=True)
class Ledger:
    """All events of a run, by number. An outcome finds its event by the name that `sent` gave."""

    entries: dict[int, Entry] = field(default_factory=dict)
    strangers: int = 0
    acknowledged: int = 0
    last_heard_at: float = 0.0
    _by_name: dict[bytes, int] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)

    def plan(self, number: int, name: bytes, expected: Kind, at: float) -> None:
        """An event has happened, and is to be sent."""
        self.entries[number] = Entry(number, expected, at)
        self._by_name[name] = number
        self._open.add(number)

    def send(self, number: int) -> None:
        """A copy is on its way."""
        self.entries[number].copies += 1

    def acknowledge(self, number: int, at: float) -> None:
        """The broker has a copy."""
        entry = self.entries[number]
        if not entry.acknowledged_at:
            entry.acknowledged_at = at
            self.acknowledged += 1

    def hear(self, name: bytes, kind: Kind, body: bytes, at: float, is_again: bool = False) -> None:
        """An outcome; one that the broker has delivered to the listener before is no new copy."""
        number = self._by_name.get(name)
        if number is None:
            self.strangers += 1
            return
        entry, digest = self.entries[number], blake2b(body, digest_size=12).digest()
        self.last_heard_at = at
        if entry.outcomes and is_again and digest == entry.digest:
            return
        entry.outcomes += 1
        if entry.outcomes == 1:
            entry.answered_at, entry.digest = at, digest
            self._open.discard(number)
        entry.has_conflict |= digest != entry.digest
        entry.is_wrong_kind |= kind != entry.expected

    @property
    def open(self) -> int:
        """Events without any outcome."""
        return len(self._open)

    def unanswered(self) -> Iterator[Entry]:
        """Those events."""
        return (self.entries[number] for number in self._open)

    def names(self, expected: Kind) -> dict[bytes, Entry]:
        """Events that are to end so, by name."""
        found = {name: self.entries[number] for name, number in self._by_name.items()}
        return {name: entry for name, entry in found.items() if entry.expected == expected}

    def first_answer_after(self, at: float) -> float:
        """When an event that was sent after then was first answered; 0 if none was."""
        first = 0.0
        for entry in reversed(self.entries.values()):
            if entry.sent_at < at:
                break
            if entry.outcomes and (entry.answered_at < first or not first):
                first = entry.answered_at
        return first
