"""A shop in memory for the tests of handlers and transports, and ports that fail on purpose."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from app.adapters.memory import MemoryCache, MemoryCatalogue, MemoryDeadLetterLog, MemoryDecisionLog
from app.domain.catalogue import Catalogue
from app.domain.coupon import Coupon
from app.domain.customer import ContextSource, CustomerContext, Gender
from app.domain.decision import Decision
from app.domain.department import DepartmentNames
from app.domain.eligibility import Screening
from app.domain.event import FocusEvent
from app.errors import CentralUnavailable, DatabaseUnavailable
from app.handlers import DecisionTerms, Gathered, Services
from app.ports import CachedContext, InboundMessage, OutboundMessage, Scores, UnknownCustomer
from app.results import ResultEncoder
from tests.builders import ANNA, COUPON, NOW

TTL = timedelta(hours=1)
NAMES = DepartmentNames.with_aliases({})
DEFAULTS = CustomerContext("", Gender.UNKNOWN, 38, 30.0, 5, 10.0, 30, 4, 50)
TERMS = DecisionTerms(threshold=0.2, deployment="default", unknown_customer=DEFAULTS, time_zone=UTC, context_ttl=TTL)


def context(customer_id: str = "7", age: int = 41) -> CustomerContext:
    return replace(ANNA, customer_id=customer_id, age=age)


def focus(customer_id: str = "7", department: str = "Men", ts: int = 1_000_000, asked: str = "") -> FocusEvent:
    return FocusEvent(customer_id, ts, department, asked or department)


def on(events: Sequence[FocusEvent], source: ContextSource = ContextSource.CACHE) -> list[Gathered]:
    return [Gathered(event, context(event.customer_id), source) for event in events]


class Clock:
    """Shows `now` until it is set to another time."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class ScoresByCoupon:
    """Scorer that gives each coupon its number, 0.5 unless told; customers named in `faulty` make it fail."""

    def __init__(self, scores: Mapping[str, float] | None = None, faulty: Sequence[str] = ()) -> None:
        self.scores = dict(scores or {})
        self.faulty = faulty
        self.model_version = "model@1"

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        for customer in customers:
            if customer.customer_id in self.faulty:
                raise ZeroDivisionError(f"no score for {customer.customer_id}")
        return [
            Scores(
                np.array([self.scores.get(coupon.coupon_id, 0.5) for coupon in screening.candidates]),
                "by_coupon",
                self.model_version,
                0.0,
            )
            for screening in screenings
        ]


class AskedCentral:
    """Central that knows `contexts`, remembers whom it was asked about, and can be away or slow to answer."""

    def __init__(self, *contexts: CustomerContext) -> None:
        self.contexts = {one.customer_id: one for one in contexts}
        self.asked: list[str] = []
        self.is_away = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(self, customer_id: str) -> CustomerContext | UnknownCustomer:
        self.asked.append(customer_id)
        await self.answers.wait()
        if self.is_away:
            raise CentralUnavailable("away")
        return self.contexts.get(customer_id, UnknownCustomer(customer_id))


class FailingCache(MemoryCache):
    """ContextCache that fails `failures` times before it answers."""

    def __init__(self, contexts: Mapping[str, CustomerContext], failures: int, error: Exception) -> None:
        super().__init__(contexts)
        self._failures = failures
        self._error = error

    async def read(self, customer_ids: Sequence[str]) -> Mapping[str, CachedContext]:
        if self._failures:
            self._failures -= 1
            raise self._error
        return await super().read(customer_ids)


class CountingLog(MemoryDecisionLog):
    """DecisionLog that remembers what is new in it and what was marked, away for the first `failures` of `record`."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.inserted: list[Decision] = []
        self.marked: list[Decision] = []
        self._failures = failures

    async def record(
        self, decisions: Sequence[Decision], coupon_bodies: Mapping[bytes, bytes]
    ) -> Sequence[tuple[Decision, bool]]:
        if self._failures:
            self._failures -= 1
            raise DatabaseUnavailable("away")
        recorded = await super().record(decisions, coupon_bodies)
        self.inserted += [decision for decision, is_new in recorded if is_new]
        return recorded

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        await super().mark_published(decisions)
        self.marked += decisions

    def lose_coupons(self) -> None:
        """As after a restore of a backup."""
        self._bodies.clear()

    async def waiting(self) -> list[Decision]:
        """All that has not been marked as published."""
        ever = [limit.replace(tzinfo=UTC) for limit in (datetime.min, datetime.max)]
        async with self.unpublished(ever[0], ever[1], 1000) as decisions:
            return list(decisions)


class HeldPublisher:
    """Publisher whose futures the test resolves; `outcomes` resolves the first ones at once."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.published: list[OutboundMessage] = []
        self.futures: list[Future[None]] = []
        self._outcomes = list(outcomes)

    def publish(self, message: OutboundMessage) -> Future[None]:
        future: Future[None] = asyncio.get_running_loop().create_future()
        self.published.append(message)
        self.futures.append(future)
        if self._outcomes:
            outcome = self._outcomes.pop(0)
            if outcome is None:
                future.set_result(None)
            else:
                future.set_exception(outcome)
        return future

    @property
    def payloads(self) -> list[bytes]:
        return [message.payload for message in self.published]


class Letter:
    """A message to give to a consumer, and what becomes of it."""

    def __init__(
        self,
        payload: bytes,
        event_id: str | None = None,
        correlation_data: bytes | None = None,
        is_live: Callable[[], bool] = lambda: True,
    ) -> None:
        self.acknowledgements = 0
        self.is_acknowledged = asyncio.Event()
        self.message = InboundMessage("shop/focus", payload, event_id, correlation_data, self._acknowledge, is_live)

    def _acknowledge(self) -> None:
        self.acknowledgements += 1
        self.is_acknowledged.set()


class FullInbox:
    """Inbox that hands out the letters as one batch, and then is closed."""

    def __init__(self, *letters: Letter) -> None:
        self._batches = [[letter.message for letter in letters]] if letters else []

    async def receive(self, limit: int) -> Sequence[InboundMessage]:
        return self._batches.pop(0) if self._batches else []

    def close_inbox(self) -> None:
        self._batches.clear()


@dataclass
class Shop:
    """Ports in memory; `services` binds them together."""

    coupons: Sequence[Coupon] = (COUPON,)
    customers: Sequence[CustomerContext] = field(default_factory=lambda: [context("7"), context("8")])
    clock: Clock = field(default_factory=Clock)
    scorer: ScoresByCoupon = field(default_factory=ScoresByCoupon)
    central: AskedCentral = field(default_factory=AskedCentral)
    log: CountingLog = field(default_factory=CountingLog)
    dead_letters: MemoryDeadLetterLog = field(default_factory=MemoryDeadLetterLog)
    terms: DecisionTerms = TERMS

    def __post_init__(self) -> None:
        self.cache: MemoryCache = MemoryCache({one.customer_id: one for one in self.customers})
        self.catalogue = MemoryCatalogue(self.coupons)

    def put_on_sale(self, *coupons: Coupon) -> None:
        """Replace the catalogue."""
        self.catalogue.replace(Catalogue(coupons))

    @property
    def services(self) -> Services:
        """As after a start of the service: nothing is encoded yet."""
        return Services(
            cache=self.cache,
            central=self.central,
            catalogue=self.catalogue,
            scorer=self.scorer,
            log=self.log,
            dead_letters=self.dead_letters,
            encoder=ResultEncoder(),
            terms=self.terms,
            clock=self.clock,
        )
