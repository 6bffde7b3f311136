"""What the service does with an event: gather, decide, apply. A single event is a batch of one.

`handle_entries` keeps the cache warm. For focus events `gather` reads the contexts, `gather_from_central` asks for the
customers nobody here knows, and `decide_batch` scores, decides and records: its results are what the log says.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, tzinfo
from hashlib import blake2b
from time import perf_counter
from uuid import UUID

from app.domain.catalogue import Catalogue
from app.domain.customer import ContextSource, CustomerContext
from app.domain.decision import Basis, Decision, NoOffer, Offer, Reason, Verdict, decide, is_late, verdicts
from app.domain.eligibility import Screening
from app.domain.event import EntryEvent, FocusEvent
from app.errors import CentralUnavailable
from app.ports import (
    CachedContext,
    CatalogueHolder,
    Central,
    ContextCache,
    DeadLetterLog,
    DecisionLog,
    OutboundMessage,
    Scorer,
    Scores,
    UnknownCustomer,
)
from app.results import ResultEncoder

SAME_SCORE = 1e-9


@dataclass(frozen=True, slots=True)
class DecisionTerms:
    """What the shop has decided about its decisions.

    `threshold` is the probability that an offer must exceed, None: what the model advises; coupons are valid by the
    calendar of `time_zone`.
    """

    threshold: float | None
    deployment: str
    unknown_customer: CustomerContext
    time_zone: tzinfo
    context_ttl: timedelta
    max_event_age_seconds: float | None = None
    publishes_empty: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """Everything a handler works with; opened once, by main."""

    cache: ContextCache
    central: Central | None
    catalogue: CatalogueHolder
    scorer: Scorer
    log: DecisionLog
    dead_letters: DeadLetterLog
    encoder: ResultEncoder
    terms: DecisionTerms
    clock: Callable[[], datetime]
    expect: Callable[[Sequence[CustomerContext]], None] = lambda contexts: None
    encodings: "CouponEncodings" = field(default_factory=lambda: CouponEncodings())


@dataclass(frozen=True, slots=True)
class Entered:
    """An entry event, and the context that the service now has for the customer."""

    event: EntryEvent
    context: CustomerContext
    source: ContextSource


@dataclass(frozen=True, slots=True)
class Gathered:
    """A focus event with the context to decide on."""

    event: FocusEvent
    context: CustomerContext
    source: ContextSource


@dataclass(frozen=True, slots=True)
class Trace:
    """What lay before the decision: every coupon of the department, and the candidates' scores."""

    screening: Screening
    scores: Scores


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision as the log has it, and its prediction result; None where the log has lost the coupon.

    `trace` is None where the log had the decision already; `stage_seconds` are the times of the batch it was made in.
    """

    decision: Decision
    result: bytes | None
    is_repeated: bool
    trace: Trace | None
    stage_seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class NotRemade:
    """A decision that cannot be made again as it was made, and why."""

    why: str


class CouponEncodings:
    """The encoded coupons of the current catalogue, each made at its first offer."""

    def __init__(self) -> None:
        self._version = ""
        self._by_coupon: dict[str, tuple[bytes, bytes]] = {}
        self._by_hash: dict[bytes, bytes] = {}

    def of(self, catalogue: Catalogue, coupon_id: str, encoder: ResultEncoder) -> tuple[bytes, bytes]:
        """Hash and body of a coupon's encoding."""
        if catalogue.version != self._version:
            self._version, self._by_coupon, self._by_hash = catalogue.version, {}, {}
        if coupon_id not in self._by_coupon:
            body = encoder.coupon(catalogue.coupons[coupon_id])
            key = blake2b(body, digest_size=16).digest()
            self._by_coupon[coupon_id] = key, body
            self._by_hash[key] = body
        return self._by_coupon[coupon_id]

    def by_hash(self, hashes: Iterable[bytes]) -> dict[bytes, bytes]:
        """Those of the encodings that are at hand."""
        return {key: self._by_hash[key] for key in hashes if key in self._by_hash}


async def handle_entries(
    services: Services, events: Sequence[EntryEvent], *, is_dry_run: bool = False
) -> list[Entered]:
    """Fetch the customers' contexts and cache them (a dry run does not); raises DatabaseUnavailable.

    A fresh context is not fetched again; where the central is away, the stale one or the defaults must do.
    """
    now = services.clock()
    customer_ids = list({event.customer_id for event in events})
    cached = await services.cache.read(customer_ids)
    answers = await asyncio.gather(*(_enter(services, key, cached.get(key), now) for key in customer_ids))
    fetched = [context for context, source in answers if source is ContextSource.CENTRAL]
    if fetched and not is_dry_run:
        await services.cache.write(fetched, now)
    if not is_dry_run:
        services.expect([context for context, _ in answers])
    by_id = dict(zip(customer_ids, answers, strict=True))
    return [Entered(event, *by_id[event.customer_id]) for event in events]


async def _enter(
    services: Services, customer_id: str, cached: CachedContext | None, now: datetime
) -> tuple[CustomerContext, ContextSource]:
    if cached is not None and _is_fresh(cached, now, services.terms.context_ttl):
        return cached.context, ContextSource.CACHE
    if services.central is None:
        return _from_cache(services, cached, customer_id, ContextSource.CACHE)
    try:
        answer = await services.central.fetch(customer_id)
    except CentralUnavailable:
        return _from_cache(services, cached, customer_id, ContextSource.STALE)
    if isinstance(answer, UnknownCustomer):
        return _from_cache(services, cached, customer_id, ContextSource.STALE)
    return answer, ContextSource.CENTRAL


def _from_cache(
    services: Services, cached: CachedContext | None, customer_id: str, source: ContextSource
) -> tuple[CustomerContext, ContextSource]:
    if cached is None:
        return replace(services.terms.unknown_customer, customer_id=customer_id), ContextSource.DEFAULTS
    return cached.context, source


def _is_fresh(cached: CachedContext, now: datetime, ttl: timedelta) -> bool:
    return cached.fetched_at is not None and now - cached.fetched_at <= ttl


async def gather(services: Services, events: Sequence[FocusEvent]) -> tuple[list[Gathered], list[FocusEvent]]:
    """Read the contexts of all events at once: the events that can be decided, and those of customers not known here.

    Raises DatabaseUnavailable.
    """
    now = services.clock()
    cached = await services.cache.read(list({event.customer_id for event in events}))
    known, unknown = [], []
    for event in events:
        found = cached.get(event.customer_id)
        if found is None:
            unknown.append(event)
        else:
            expired = found.fetched_at is not None and not _is_fresh(found, now, services.terms.context_ttl)
            known.append(Gathered(event, found.context, ContextSource.STALE if expired else ContextSource.CACHE))
    return known, unknown


async def gather_from_central(
    services: Services, events: Sequence[FocusEvent], *, is_dry_run: bool = False
) -> list[Gathered]:
    """Ask the central once for customers not known here; those it does not know either get the defaults.

    A dry run caches nothing. Raises DatabaseUnavailable.
    """
    entries = [EntryEvent(event.customer_id, event.ts) for event in events]
    entered = await handle_entries(services, entries, is_dry_run=is_dry_run)
    return [Gathered(event, one.context, one.source) for event, one in zip(events, entered, strict=True)]


async def recall(services: Services, events: Sequence[FocusEvent]) -> dict[UUID, Decided]:
    """What the log says of those of these events that are decided already, by decision id; raises DatabaseUnavailable.

    For events whose context is dear: those of customers not known here.
    """
    logged = await services.log.recorded(events)
    again = await encode_again(services, list(logged.values()))
    return {decision.decision_id: Decided(decision, result, True, None, {}) for decision, result in again}


async def decide_batch(services: Services, batch: Sequence[Gathered], *, is_dry_run: bool = False) -> list[Decided]:
    """Score, decide and record a batch, in order; the answers are what the log says of each event.

    A dry run records nothing. Raises DatabaseUnavailable.
    """
    started = perf_counter()
    now, catalogue = services.clock(), services.catalogue.current
    today = now.astimezone(services.terms.time_zone).date()
    screenings = [catalogue.screening(one.event.department, today) for one in batch]
    scores = await services.scorer.score([one.context for one in batch], screenings)
    scored = perf_counter()
    traces = [Trace(screening, score) for screening, score in zip(screenings, scores, strict=True)]
    bodies: dict[bytes, bytes] = {}
    decisions = []
    for one, trace in zip(batch, traces, strict=True):
        basis = _basis(services.terms, one, trace, catalogue, now, today)
        decisions.append(_decide_one(services, one.event, basis, trace, catalogue, bodies))
    made = perf_counter()
    recorded = [(decision, True) for decision in decisions]
    if not is_dry_run:
        recorded = list(await services.log.record(decisions, bodies))
        bodies |= await _missing_bodies(services, [decision for decision, _ in recorded], bodies)
    stages = {"score": scored - started, "decide": made - scored, "record": perf_counter() - made}
    return [
        Decided(decision, encode(services, decision, bodies), not is_new, trace if is_new else None, stages)
        for (decision, is_new), trace in zip(recorded, traces, strict=True)
    ]


def _basis(
    terms: DecisionTerms, one: Gathered, trace: Trace, catalogue: Catalogue, now: datetime, today: date
) -> Basis:
    return Basis(
        decided_at=now,
        today=today,
        context=one.context,
        context_source=one.source,
        catalogue_version=catalogue.version,
        scorer=trace.scores.scorer,
        model_version=trace.scores.model_version,
        threshold=trace.scores.advised_threshold if terms.threshold is None else terms.threshold,
        deployment=f"{terms.deployment}@{trace.scores.model_version}",
        seed=one.event.decision_id.int & 0x7FFF_FFFF_FFFF_FFFF,
    )


def _decide_one(
    services: Services,
    event: FocusEvent,
    basis: Basis,
    trace: Trace,
    catalogue: Catalogue,
    bodies: dict[bytes, bytes],
) -> Decision:
    outcome = decide(
        trace.screening,
        trace.scores.values,
        basis.threshold,
        basis.context_source,
        is_late=is_late(event, basis.decided_at, services.terms.max_event_age_seconds),
    )
    key = None
    if isinstance(outcome, Offer):
        key, body = services.encodings.of(catalogue, outcome.coupon_id, services.encoder)
        bodies[key] = body
    return Decision(
        decision_id=event.decision_id,
        event=event,
        outcome=outcome,
        basis=basis,
        coupon_hash=key,
        is_to_be_published=key is not None or services.terms.publishes_empty,
    )


async def _missing_bodies(
    services: Services, decisions: Iterable[Decision], bodies: Mapping[bytes, bytes]
) -> dict[bytes, bytes]:
    wanted = {one.coupon_hash for one in decisions if one.coupon_hash is not None} - bodies.keys()
    at_hand = services.encodings.by_hash(wanted)
    if wanted == at_hand.keys():
        return at_hand
    return {**at_hand, **await services.log.coupon_bodies(wanted - at_hand.keys())}


def encode(services: Services, decision: Decision, bodies: Mapping[bytes, bytes]) -> bytes | None:
    """The prediction result of a decision, the same bytes each time; `bodies` maps coupon hashes to encodings.

    None where the encoding is lost: another one would contradict what was published before.
    """
    ts = int(decision.basis.decided_at.timestamp())
    if decision.coupon_hash is None:
        return services.encoder.no_offer(decision.event, decision.outcome.reason, ts)
    body = bodies.get(decision.coupon_hash)
    return None if body is None else services.encoder.offer(decision.event, body, ts)


async def encode_again(services: Services, decisions: Sequence[Decision]) -> list[tuple[Decision, bytes | None]]:
    """Decisions from the log with their prediction results. Raises DatabaseUnavailable."""
    bodies = await _missing_bodies(services, decisions, {})
    return [(decision, encode(services, decision, bodies)) for decision in decisions]


async def remake(services: Services, decision: Decision) -> list[Verdict] | NotRemade:
    """Make a decision again from what the log keeps of it: the fate of every coupon of the department.

    Not when the catalogue or the model that it was made with is no longer at hand, so that the outcome would be
    another. Raises DatabaseUnavailable, ScorerUnavailable.
    """
    basis, catalogue = decision.basis, services.catalogue.current
    if catalogue.version != basis.catalogue_version:
        return NotRemade(f"made with catalogue {basis.catalogue_version}; now there is {catalogue.version}")
    screening = catalogue.screening(decision.event.department, basis.today)
    (scores,) = await services.scorer.score([basis.context], [screening])
    if scores.model_version != basis.model_version:
        return NotRemade(f"made with model {basis.model_version}; now {scores.model_version} is in service")
    is_late = decision.outcome.reason is Reason.LATE_EVENT
    outcome = decide(screening, scores.values, basis.threshold, basis.context_source, is_late=is_late)
    if not _agree(outcome, decision.outcome):
        return NotRemade("made again now, it would be another: the model of this version says something else today")
    return list(verdicts(screening, scores.values, basis.threshold, outcome))


def _agree(one: Offer | NoOffer, other: Offer | NoOffer) -> bool:
    """Whether they are the same, but for the last digits of a score: a newer version may add up in another order."""
    if one.score is None or other.score is None:
        return one == other
    return replace(one, score=other.score) == other and math.isclose(one.score, other.score, rel_tol=SAME_SCORE)


def outbound(decision: Decision, result: bytes, topic: str, expiry: timedelta | None) -> OutboundMessage:
    """The message that carries a prediction result."""
    return OutboundMessage(
        topic=topic,
        payload=result,
        properties={
            "decision-id": str(decision.decision_id),
            "event-id": decision.event.event_id or str(decision.decision_id),
            "deployment": decision.basis.deployment,
        },
        correlation_data=decision.event.correlation_data,
        expiry=expiry,
    )
