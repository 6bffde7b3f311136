"""What the handlers need from the outside, as Protocols. Each has a real adapter and one in memory."""

from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from time import perf_counter
from typing import Protocol
from uuid import UUID

from app.domain.access import ApiKey
from app.domain.catalogue import Catalogue
from app.domain.customer import CustomerContext
from app.domain.dead_letter import DeadLetter
from app.domain.decision import Decision
from app.domain.drift_report import DriftReport
from app.domain.eligibility import Screening
from app.domain.event import FocusEvent
from app.domain.features import Floats
from app.domain.model_card import ModelCard
from app.domain.registry import Alias, AliasChange, Change, RegisteredModel


@dataclass(frozen=True, slots=True)
class CachedContext:
    """A context from the cache; `fetched_at` is None when it was loaded from a file instead of the central."""

    context: CustomerContext
    fetched_at: datetime | None


@dataclass(frozen=True, slots=True)
class UnknownCustomer:
    """The central answered: it has no such customer."""

    customer_id: str


FALLBACK = "fallback"  # the scorer that spoke for another


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities of redemption, shape (n,), NaN where the scorer gave none; and which scorer and model spoke.

    Below `advised_threshold` the model's card advises to offer nothing.
    """

    values: Floats
    scorer: str
    model_version: str
    advised_threshold: float


@dataclass(slots=True)
class InboundMessage:
    """A message from the broker, ours until acknowledged.

    `acknowledge` may be called once, and does nothing when the connection that brought the message is gone; `is_live`
    tells whether it is still there. A message that is not acknowledged comes again on the next connection. Of a payload
    longer than any event, only the beginning may be kept: then `cut_bytes` is how much was left out. `received` is when
    it came, by `perf_counter`.
    """

    topic: str
    payload: bytes
    event_id: str | None
    correlation_data: bytes | None
    acknowledge: Callable[[], None]
    is_live: Callable[[], bool]
    cut_bytes: int = 0
    received: float = field(default_factory=perf_counter)


@dataclass(slots=True)
class OutboundMessage:
    """A message for the broker. `properties` become MQTT 5 user properties; 3.1.1 carries the payload alone."""

    topic: str
    payload: bytes
    properties: Mapping[str, str]
    correlation_data: bytes | None = None
    expiry: timedelta | None = None
    is_retained: bool = False


class ContextCache(Protocol):
    """The customers known here."""

    async def read(self, customer_ids: Sequence[str]) -> Mapping[str, CachedContext]:
        """The contexts at hand; unknown ids are left out. Raises DatabaseUnavailable."""
        ...

    async def write(self, contexts: Sequence[CustomerContext], fetched_at: datetime) -> None:
        """Insert or replace what the central said. Raises DatabaseUnavailable."""
        ...


class Central(Protocol):
    """The datacentre that knows all customers."""

    async def fetch(self, customer_id: str) -> CustomerContext | UnknownCustomer:
        """Ask for one customer. Raises CentralUnavailable."""
        ...


class CatalogueHolder(Protocol):
    """Holds the current snapshot of the shop's coupons."""

    @property
    def current(self) -> Catalogue:
        """The newest snapshot. Raises DatabaseUnavailable until the first has been read."""
        ...


class Scorer(Protocol):
    """Candidates in, probabilities of redemption out."""

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        """Score the candidates of screening i for customer i. Raises ScorerUnavailable."""
        ...


class Model(Scorer, Protocol):
    """A scorer in the process, with its card."""

    @property
    def card(self) -> ModelCard:
        """What is known of it."""
        ...

    def expect(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> None:
        """These customers have come in: a slow model scores the candidates of each screening ahead, at its leisure."""
        ...

    def close(self) -> None:
        """No longer needed, but by those who wait for scores at this moment."""
        ...


class DecisionLog(Protocol):
    """Every decision, once: the truth about what was decided, and the outbox of what is to be published."""

    async def record(
        self, decisions: Sequence[Decision], coupon_bodies: Mapping[bytes, bytes]
    ) -> Sequence[tuple[Decision, bool]]:
        """Insert what is new and answer with what the log now says, in the order given, and whether it is new.

        `coupon_bodies` maps the coupon hashes of the decisions to the encoded coupons. Where the log has a decision of
        the same id, that one is answered. Raises DatabaseUnavailable.
        """
        ...

    async def coupon_bodies(self, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
        """The encoded coupons that were published under these hashes. Raises DatabaseUnavailable."""
        ...

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        """The broker has acknowledged the results of these decisions. Raises DatabaseUnavailable."""
        ...

    def unpublished(
        self, decided_from: datetime, decided_before: datetime, limit: int
    ) -> AbstractAsyncContextManager[Sequence[Decision]]:
        """Decisions whose results the broker never acknowledged, oldest first, for this process alone while open.

        Raises DatabaseUnavailable.
        """
        ...

    async def recorded(self, events: Sequence[FocusEvent]) -> Mapping[UUID, Decision]:
        """The decisions on these events that there are already, by id. Raises DatabaseUnavailable."""
        ...

    async def find(self, decision_id: UUID) -> Decision | None:
        """The decision of this id, None when there is none. Raises DatabaseUnavailable."""
        ...

    async def of_customer(self, customer_id: str, limit: int) -> Sequence[Decision]:
        """The last decisions for a customer, newest first. Raises DatabaseUnavailable."""
        ...

    async def of_day(self, day: date, after: UUID | None, limit: int) -> Sequence[Decision]:
        """Decisions on events of the day (UTC) in the order of their ids, those after this id. Raises
        DatabaseUnavailable.
        """
        ...


class ApiKeys(Protocol):
    """The store of the keys of the HTTP interface."""

    async def all(self) -> Sequence[ApiKey]:
        """Every key that was ever made, oldest first, the revoked and the expired too. Raises DatabaseUnavailable."""
        ...

    async def add(self, key: ApiKey) -> None:
        """Store a new key. Raises DatabaseUnavailable."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key at this time; an earlier end stands. Whether there is such a key. Raises DatabaseUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model, as bytes; `trees` only where it is made of trees."""

    card: bytes
    model: bytes
    trees: bytes | None = None


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What a model has shown: the largest gap between what the service would serve and what the model itself says, the
    largest gap to the scores on its card, and how long 190 candidates take.
    """

    parity: float
    self_check: float
    milliseconds: float


class ModelChecker(Protocol):
    """Tries a model where it can do no harm."""

    async def check(self, files: ModelFiles) -> ModelCheck:
        """Build the model and let it score. Raises ModelRefused for one that must not be used."""
        ...


class ModelRegistry(Protocol):
    """The models that may be put into service, and which of them are."""

    async def models(self) -> Sequence[RegisteredModel]:
        """Every model, in the order of registration. Raises DatabaseUnavailable."""
        ...

    async def files(self, version: str) -> ModelFiles | None:
        """The files of a version, None where there is no such model. Raises DatabaseUnavailable."""
        ...

    async def add(self, card: ModelCard, files: ModelFiles, registered_at: datetime, created_by: str) -> bool:
        """Keep a model; whether it is new. Raises DatabaseUnavailable."""
        ...

    async def remove(self, version: str) -> bool:
        """Delete a model that no alias names; whether that was done. Raises DatabaseUnavailable."""
        ...

    async def named(self, at: datetime | None = None) -> Mapping[Alias, str | None]:
        """The version that each alias names, now or at a time; None: the model that the service was started with.

        Raises DatabaseUnavailable.
        """
        ...

    async def changes(self) -> Sequence[AliasChange]:
        """What every alias has named, in the order of time. Raises DatabaseUnavailable."""
        ...

    async def point(self, change: Change) -> AliasChange | None:
        """Let an alias name a version from now on; None where there is no such model. Raises DatabaseUnavailable."""
        ...


class DriftReports(Protocol):
    """What models were asked about, day by day."""

    def measuring(self) -> AbstractAsyncContextManager[bool]:
        """Whether this process alone measures while the block lasts. Raises DatabaseUnavailable."""
        ...

    async def of_day(self, model_version: str, day: date) -> DriftReport | None:
        """The report of the day, None when there is none. Raises DatabaseUnavailable."""
        ...

    async def first(self, model_version: str) -> DriftReport | None:
        """The report of the first day with decisions enough, None when there is none. Raises DatabaseUnavailable."""
        ...

    async def add(self, report: DriftReport) -> None:
        """Keep a report; an earlier one of the same day and model stands. Raises DatabaseUnavailable."""
        ...


class DeadLetterLog(Protocol):
    """Every refused event, once: the outbox of the dead letters that are to be published."""

    async def record(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """Insert what is new and answer with what the log now says, in the order given. Raises DatabaseUnavailable."""
        ...

    async def mark_published(self, letters: Collection[DeadLetter]) -> None:
        """The broker has acknowledged these. Raises DatabaseUnavailable."""
        ...

    def unpublished(
        self, received_from: datetime, received_before: datetime, limit: int
    ) -> AbstractAsyncContextManager[Sequence[DeadLetter]]:
        """Those that the broker never acknowledged, oldest first, for this process alone while open.

        Raises DatabaseUnavailable.
        """
        ...


class Inbox(Protocol):
    """Where messages arrive."""

    async def receive(self, limit: int) -> Sequence[InboundMessage]:
        """All messages at hand, at most `limit`, in order of receipt; waits for the first. None after `close_inbox`."""
        ...

    def close_inbox(self) -> None:
        """Hand out nothing more."""
        ...


class Publisher(Protocol):
    """The way to the broker."""

    def publish(self, message: OutboundMessage) -> Future[None]:
        """Send at QoS 1; the future is done when the broker has acknowledged.

        The future raises BrokerUnavailable when the connection is lost before, PublishRefused when the broker says no.
        """
        ...
