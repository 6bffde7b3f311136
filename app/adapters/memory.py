"""Every port in memory, with real behaviour: for a shop floor without broker or database, and for tests."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from heapq import nsmallest
from uuid import UUID

from app.domain.access import ApiKey
from app.domain.catalogue import Catalogue
from app.domain.coupon import Coupon
from app.domain.customer import CustomerContext
from app.domain.dead_letter import DeadLetter
from app.domain.decision import Decision
from app.domain.drift_report import DriftReport
from app.domain.event import FocusEvent
from app.domain.model_card import ModelCard
from app.domain.registry import Alias, AliasChange, Change, RegisteredModel, named_at
from app.ports import CachedContext, InboundMessage, ModelFiles, OutboundMessage, UnknownCustomer

MAX_DECISIONS = 100_000
MAX_DEAD_LETTERS = 10_000
MAX_MESSAGES = 1_000


class MemoryCache:
    """ContextCache in a dictionary."""

    def __init__(self, contexts: Mapping[str, CustomerContext] | None = None) -> None:
        self._contexts = {key: CachedContext(context, None) for key, context in (contexts or {}).items()}

    async def read(self, customer_ids: Sequence[str]) -> Mapping[str, CachedContext]:
        """See ContextCache."""
        return {key: self._contexts[key] for key in customer_ids if key in self._contexts}

    async def write(self, contexts: Sequence[CustomerContext], fetched_at: datetime) -> None:
        """See ContextCache."""
        self._contexts.update({context.customer_id: CachedContext(context, fetched_at) for context in contexts})


class MemoryCentral:
    """Central that knows the customers it was given."""

    def __init__(self, contexts: Mapping[str, CustomerContext]) -> None:
        self._contexts = contexts

    async def fetch(self, customer_id: str) -> CustomerContext | UnknownCustomer:
        """See Central."""
        return self._contexts.get(customer_id, UnknownCustomer(customer_id))


class MemoryCatalogue:
    """CatalogueHolder of one snapshot; `replace` puts another in its place."""

    def __init__(self, coupons: Iterable[Coupon] = ()) -> None:
        self._current = Catalogue(coupons)

    @property
    def current(self) -> Catalogue:
        """See CatalogueHolder."""
        return self._current

    def replace(self, catalogue: Catalogue) -> None:
        """Take another snapshot into service."""
        self._current = catalogue


class MemoryDecisionLog:
    """DecisionLog of the last 100,000 decisions."""

    def __init__(self) -> None:
        self._decisions: dict[UUID, Decision] = {}
        self._bodies: dict[bytes, bytes] = {}
        self._unpublished: dict[UUID, Decision] = {}

    async def record(
        self, decisions: Sequence[Decision], coupon_bodies: Mapping[bytes, bytes]
    ) -> Sequence[tuple[Decision, bool]]:
        """See DecisionLog."""
        self._bodies.update(coupon_bodies)
        recorded = []
        for decision in decisions:
            key = decision.decision_id
            is_new = key not in self._decisions
            if is_new:
                self._decisions[key] = decision
                if decision.is_to_be_published:
                    self._unpublished[key] = decision
            recorded.append((self._decisions[key], is_new))
        while len(self._decisions) > MAX_DECISIONS:
            oldest = next(iter(self._decisions))
            del self._decisions[oldest]
            self._unpublished.pop(oldest, None)
        return recorded

    async def coupon_bodies(self, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
        """See DecisionLog."""
        return {key: self._bodies[key] for key in hashes if key in self._bodies}

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        """See DecisionLog."""
        for decision in decisions:
            self._unpublished.pop(decision.decision_id, None)

    @asynccontextmanager
    async def unpublished(
        self, decided_from: datetime, decided_before: datetime, limit: int
    ) -> AsyncIterator[Sequence[Decision]]:
        """See DecisionLog."""
        waiting = (one for one in self._unpublished.values() if decided_from <= one.basis.decided_at < decided_before)
        yield sorted(waiting, key=lambda one: one.basis.decided_at)[:limit]

    async def recorded(self, events: Sequence[FocusEvent]) -> Mapping[UUID, Decision]:
        """See DecisionLog."""
        keys = [event.decision_id for event in events]
        return {key: self._decisions[key] for key in keys if key in self._decisions}

    async def find(self, decision_id: UUID) -> Decision | None:
        """See DecisionLog."""
        return self._decisions.get(decision_id)

    async def of_customer(self, customer_id: str, limit: int) -> Sequence[Decision]:
        """See DecisionLog."""
        found = (one for one in self._decisions.values() if one.event.customer_id == customer_id)
        return sorted(found, key=lambda one: one.basis.decided_at, reverse=True)[:limit]

    async def of_day(self, day: date, after: UUID | None, limit: int) -> Sequence[Decision]:
        """See DecisionLog."""
        found = (one for key, one in self._decisions.items() if one.event.day == day and (after is None or key > after))
        return nsmallest(limit, found, key=lambda one: one.decision_id)


class MemoryDriftReports:
    """DriftReports that last as long as the process."""

    def __init__(self) -> None:
        self._reports: dict[tuple[str, date], DriftReport] = {}

    @asynccontextmanager
    async def measuring(self) -> AsyncIterator[bool]:
        """See DriftReports."""
        yield True

    async def of_day(self, model_version: str, day: date) -> DriftReport | None:
        """See DriftReports."""
        return self._reports.get((model_version, day))

    async def first(self, model_version: str) -> DriftReport | None:
        """See DriftReports."""
        found = (one for one in self._reports.values() if one.model_version == model_version and one.is_enough)
        return min(found, key=lambda one: one.day, default=None)

    async def add(self, report: DriftReport) -> None:
        """See DriftReports."""
        self._reports.setdefault((report.model_version, report.day), report)


class MemoryApiKeys:
    """ApiKeys in a dictionary."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}

    async def all(self) -> Sequence[ApiKey]:
        """See ApiKeys."""
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.key_id))

    async def add(self, key: ApiKey) -> None:
        """See ApiKeys."""
        self._keys[key.key_id] = key

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """See ApiKeys."""
        key = self._keys.get(key_id)
        if key is not None and key.revoked_at is None:
            self._keys[key_id] = replace(key, revoked_at=at)
        return key is not None


class MemoryDeadLetterLog:
    """DeadLetterLog of the last 1,000 dead letters."""

    def __init__(self) -> None:
        self._letters: dict[UUID, DeadLetter] = {}
        self._published: set[UUID] = set()

    async def record(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """See DeadLetterLog."""
        recorded = [self._letters.setdefault(letter.dead_letter_id, letter) for letter in letters]
        while len(self._letters) > MAX_DEAD_LETTERS:
            oldest = next(iter(self._letters))
            del self._letters[oldest]
            self._published.discard(oldest)
        return recorded

    async def mark_published(self, letters: Collection[DeadLetter]) -> None:
        """See DeadLetterLog."""
        self._published |= {letter.dead_letter_id for letter in letters} & self._letters.keys()

    @asynccontextmanager
    async def unpublished(
        self, received_from: datetime, received_before: datetime, limit: int
    ) -> AsyncIterator[Sequence[DeadLetter]]:
        """See DeadLetterLog."""
        waiting = [
            letter
            for key, letter in self._letters.items()
            if key not in self._published and received_from <= letter.received_at < received_before
        ]
        yield sorted(waiting, key=lambda letter: letter.received_at)[:limit]


class MemoryModelRegistry:
    """ModelRegistry that lasts as long as the process."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[RegisteredModel, ModelFiles]] = {}
        self._changes: list[AliasChange] = []

    async def models(self) -> Sequence[RegisteredModel]:
        """See ModelRegistry."""
        return [model for model, _ in self._models.values()]

    async def files(self, version: str) -> ModelFiles | None:
        """See ModelRegistry."""
        found = self._models.get(version)
        return None if found is None else found[1]

    async def add(self, card: ModelCard, files: ModelFiles, registered_at: datetime, created_by: str) -> bool:
        """See ModelRegistry."""
        if card.version in self._models:
            return False
        size = len(files.model) + len(files.trees or b"")
        self._models[card.version] = RegisteredModel(card.version, card, registered_at, created_by, size), files
        return True

    async def remove(self, version: str) -> bool:
        """See ModelRegistry."""
        if version in named_at(self._changes).values():
            return False
        return self._models.pop(version, None) is not None

    async def named(self, at: datetime | None = None) -> Mapping[Alias, str | None]:
        """See ModelRegistry."""
        return named_at(self._changes, at)

    async def changes(self) -> Sequence[AliasChange]:
        """See ModelRegistry."""
        return list(self._changes)

    async def point(self, change: Change) -> AliasChange | None:
        """See ModelRegistry."""
        if change.version is not None and change.version not in self._models:
            return None
        now = datetime.now(UTC)
        since = max(now, self._changes[-1].since + timedelta(microseconds=1)) if self._changes else now
        self._changes.append(AliasChange(since, change))
        return self._changes[-1]


class MemoryBroker:
    """Publisher and Inbox in one: keeps the last messages published, and hands out what is delivered to it."""

    def __init__(self) -> None:
        self.published: deque[OutboundMessage] = deque(maxlen=MAX_MESSAGES)
        self.acknowledged: list[bytes] = []
        self._delivered: asyncio.Queue[InboundMessage | None] = asyncio.Queue()
        self._is_closed = False

    def publish(self, message: OutboundMessage) -> Future[None]:
        """See Publisher."""
        self.published.append(message)
        future: Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def deliver(
        self, topic: str, payload: bytes, event_id: str | None = None, correlation_data: bytes | None = None
    ) -> None:
        """Put a message into the inbox; a closed one takes none."""
        if self._is_closed:
            return

        def acknowledge() -> None:
            self.acknowledged.append(payload)

        self._delivered.put_nowait(
            InboundMessage(topic, payload, event_id, correlation_data, acknowledge, lambda: True)
        )

    def close_inbox(self) -> None:
        """Hand out nothing after what has been delivered."""
        self._is_closed = True
        self._delivered.put_nowait(None)

    async def receive(self, limit: int) -> Sequence[InboundMessage]:
        """See Inbox."""
        messages = [await self._delivered.get()]
        while len(messages) < limit and not self._delivered.empty():
            messages.append(self._delivered.get_nowait())
        if messages[-1] is None:
            self._delivered.put_nowait(None)
        return [message for message in messages if message is not None]
