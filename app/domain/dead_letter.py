"""What becomes of an event that is refused."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from uuid import UUID

from app.domain.event import digest


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused event as the log keeps it; `body` is the encoded dead letter.

    `kind` is entry or focus, `reason` the code of the refusal, `customer_id` whom the event named, if that can be read.
    """

    dead_letter_id: UUID
    kind: str
    reason: str
    customer_id: str | None
    correlation_data: bytes | None
    body: bytes
    received_at: datetime


def dead_letter_id(topic: str, payload: bytes, event_id: str | None, correlation_data: bytes | None) -> UUID:
    """The same for every copy of a refused message."""
    return digest("refused", topic, blake2b(payload).hexdigest(), event_id, correlation_data)
