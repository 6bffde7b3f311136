"""What happened in the store, after the wire contract has been read."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from hashlib import blake2b
from uuid import UUID

SEPARATOR = "\x1f"  # no field can hold it: control characters are refused on input


@dataclass(frozen=True, slots=True)
class EntryEvent:
    """A customer came in. `ts` is in unix seconds."""

    customer_id: str
    ts: int

    @property
    def event_id(self) -> UUID:
        """The same for every copy of the event."""
        return digest("entry", self.customer_id, self.ts)


@dataclass(frozen=True)
class FocusEvent:
    """A customer lingers in a department.

    `ts` is in unix seconds; `x`, `y` are coordinates of the shop's own system; `department_asked` is spelled as the
    event spelled it. `event_id` and `correlation_data` are the sender's own names for the event, if it gave any.
    """

    customer_id: str
    ts: int
    department: str
    department_asked: str
    x: float | None = None
    y: float | None = None
    event_id: str | None = None
    correlation_data: bytes | None = None

    @cached_property
    def day(self) -> date:
        """The day (UTC) that the event itself names; the decision log is partitioned by it."""
        return datetime.fromtimestamp(self.ts, UTC).date()

    @property
    def is_named(self) -> bool:
        """Whether its sender has named it, so that its time is no part of its identity."""
        return self.event_id is not None or self.correlation_data is not None

    @cached_property
    def decision_id(self) -> UUID:
        """The same for every copy of the event, on every instance: it makes the decision unique.

        The sender's own name for the event counts together with its customer: senders number their events from 1.
        """
        if self.event_id is not None:
            return digest("event", self.customer_id, self.event_id)
        if self.correlation_data is not None:
            return digest("correlation", self.customer_id, self.correlation_data.hex())
        return digest("focus", self.customer_id, self.ts, self.department.casefold(), self.x, self.y)


def digest(*parts: object) -> UUID:
    """An id made of these parts."""
    return UUID(bytes=blake2b(SEPARATOR.join(map(str, parts)).encode(), digest_size=16).digest())
