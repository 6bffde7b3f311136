"""What must become of each input, told by the contract's own reader; and the ledger of what did."""

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from app.domain.department import DepartmentNames
from app.domain.event import FocusEvent
from app.errors import EventRefused
from app.events import parse_entry, parse_focus
from app.results import encode_dead_letter
from tests.hostile.inputs import Input

NAMES = DepartmentNames.with_aliases({})


@dataclass(frozen=True, slots=True)
class Refused:
    """A dead letter, told apart by all that it says."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision; its id, unless the time of receipt is part of it."""

    decision_id: UUID | None


@dataclass(frozen=True, slots=True)
class Entered:
    """A customer's context in the cache."""


Outcome = Refused | Decided | Entered


def outcome_of(one: Input, topic: str, body: bytes) -> Outcome:
    """What the contract says of the input."""
    try:
        if one.kind == "entry":
            parse_entry(body, datetime.now(UTC))
            return Entered()
        first, second = (_read(one, body, datetime.fromtimestamp(seconds, UTC)) for seconds in (1, 2))
        return Decided(first.decision_id if first.decision_id == second.decision_id else None)
    except EventRefused as refusal:
        return Refused(letter_key(encode_dead_letter(topic, body, refusal.problems)))


def _read(one: Input, body: bytes, now: datetime) -> FocusEvent:
    return parse_focus(body, now, NAMES, one.event_id, one.correlation)


def letter_key(letter: bytes) -> bytes:
    """The same for equal dead letters."""
    document: dict[str, Any] = json.loads(letter)
    told = [document[name] for name in ("topic", "reason", "payload", "payload_encoding", "payload_bytes")]
    return blake2b(json.dumps(told).encode(), digest_size=12).digest()


@dataclass
class Ledger:
    """Outcomes that must be, that may be, and that were seen. Keys of letters, ids of decisions, numbers of entries."""

    letters: Counter[bytes] = field(default_factory=Counter)
    possible_letters: Counter[bytes] = field(default_factory=Counter)
    decisions: Counter[UUID | None] = field(default_factory=Counter)
    possible_decisions: Counter[UUID | None] = field(default_factory=Counter)
    entries: int = 0
    possible_entries: int = 0
    first_input: dict[bytes | UUID, Input] = field(default_factory=dict)
    seen_letters: Counter[bytes] = field(default_factory=Counter)
    seen_results: set[UUID] = field(default_factory=set)
    seen_topics: Counter[str] = field(default_factory=Counter)
    over_mqtt: int = 0
    dry_runs: int = 0

    def expect(self, outcome: Outcome, one: Input, *, is_sure: bool = True) -> None:
        """One more of these; not `is_sure`: it may be dropped on the way."""
        match outcome:
            case Refused(key):
                (self.letters if is_sure else self.possible_letters)[key] += 1
                self.first_input.setdefault(key, one)
            case Decided(decision_id):
                (self.decisions if is_sure else self.possible_decisions)[decision_id] += 1
                if decision_id is not None:
                    self.first_input.setdefault(decision_id, one)
            case Entered():
                self.entries += is_sure
                self.possible_entries += not is_sure
