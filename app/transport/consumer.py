"""From message to outcome: each focus event ends in a result, a decision without one, or a dead letter.

What has arrived while the batches before were in work is the next batch; two are in work at a time. A message is
acknowledged when the broker has acknowledged its outcome, and not before; one whose connection is gone is left to come
again.
"""

import asyncio
from asyncio import Task
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

import structlog

from app.domain.dead_letter import DeadLetter, dead_letter_id
from app.domain.department import DepartmentNames
from app.domain.event import EntryEvent, FocusEvent
from app.errors import EventRefused, FieldProblem
from app.events import customer_named, parse_entry, parse_focus
from app.handlers import Decided, Gathered, Services, decide_batch, gather, gather_from_central, handle_entries, recall
from app.ports import InboundMessage, Inbox
from app.results import encode_dead_letter
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox, retried, untold

log = structlog.get_logger(__name__)

Event = TypeVar("Event", bound=EntryEvent | FocusEvent)

BATCH_LIMIT = 512
BATCHES_IN_WORK = 2  # while the database writes one, the next is decided

Refused = tuple[InboundMessage, Sequence[FieldProblem]]


@dataclass(slots=True)
class Pending(Generic[Event]):
    """An event in work, with the message that brought it."""

    message: InboundMessage
    event: Event


class Intake(Generic[Event]):
    """Reads messages of one kind; what is refused becomes a dead letter."""

    def __init__(
        self,
        kind: str,
        services: Services,
        inbox: Inbox,
        parse: Callable[[InboundMessage], Event],
        outbox: Outbox,
        metrics: Metrics,
    ) -> None:
        self._kind = kind
        self._services = services
        self._inbox = inbox
        self._parse = parse
        self._outbox = outbox
        self._metrics = metrics

    async def run(self, work: Callable[[Sequence[Pending[Event]]], Awaitable[None]]) -> None:
        """Give each batch to `work`, two at a time, until the inbox is closed."""
        async with asyncio.TaskGroup() as group:
            for _ in range(BATCHES_IN_WORK):
                group.create_task(self._serve(work))

    async def _serve(self, work: Callable[[Sequence[Pending[Event]]], Awaitable[None]]) -> None:
        while messages := await self._inbox.receive(BATCH_LIMIT):
            pending, refused = self._read(messages)
            await self._refuse(refused)
            if pending:
                await self.guard(work, pending)

    def _read(self, messages: Sequence[InboundMessage]) -> tuple[list[Pending[Event]], list[Refused]]:
        self._metrics.events.labels(self._kind).inc(len(messages))
        pending: list[Pending[Event]] = []
        refused: list[Refused] = []
        for message in messages:
            try:
                pending.append(Pending(message, self._parse(message)))
            except EventRefused as refusal:
                refused.append((message, refusal.problems))
        return pending, refused

    async def _refuse(self, refused: Sequence[Refused]) -> None:
        """Keep dead letters in the log, and publish them."""
        live = [(message, problems) for message, problems in refused if message.is_live()]
        if not live:
            return
        letters = [self._dead_letter(message, problems) for message, problems in live]
        logged = await retried(partial(self._services.dead_letters.record, letters), self._metrics)
        for (message, _), letter in zip(live, logged, strict=True):
            self._metrics.dead_letters.labels(letter.reason).inc()
            log.info("event refused", kind=self._kind, reason=letter.reason, customer_id=letter.customer_id)
            self._outbox.publish_dead_letter(letter, message.acknowledge, message.is_live)

    def _dead_letter(self, message: InboundMessage, problems: Sequence[FieldProblem]) -> DeadLetter:
        return DeadLetter(
            dead_letter_id(
                message.topic, message.payload, message.event_id, message.correlation_data, message.cut_bytes
            ),
            self._kind,
            problems[0].code,
            customer_named(message.payload),
            message.correlation_data,
            encode_dead_letter(message.topic, message.payload, problems, message.cut_bytes),
            self._services.clock(),
        )

    async def guard(
        self, work: Callable[[Sequence[Pending[Event]]], Awaitable[None]], pending: Sequence[Pending[Event]]
    ) -> None:
        """Do the work for all at once; if that fails, for each alone, and refuse the event that is to blame."""
        try:
            await work(pending)
            return
        except Exception as error:
            if len(pending) == 1:
                await self._refuse_faulty(pending[0])
                return
            log.warning("batch failed, trying its events one by one", events=len(pending), problem=type(error).__name__)
        for one in pending:  # outside of the handler: the traceback of one event is not to tell of another
            await self.guard(work, [one])

    async def _refuse_faulty(self, pending: Pending[Event]) -> None:
        log.exception("event failed", kind=self._kind, customer_id=pending.event.customer_id)
        problem = FieldProblem("", "internal_error", "the service could not handle this event; see its log")
        await self._refuse([(pending.message, [problem])])


class EntryConsumer:
    """Turns entry messages into cached contexts."""

    def __init__(self, services: Services, inbox: Inbox, outbox: Outbox, metrics: Metrics) -> None:
        self._services = services
        self._metrics = metrics
        self._intake = Intake("entry", services, inbox, self._parse, outbox, metrics)

    async def run(self) -> None:
        """Work until the inbox is closed."""
        await self._intake.run(self._work)

    def _parse(self, message: InboundMessage) -> EntryEvent:
        return parse_entry(message.payload, self._services.clock())

    async def _work(self, pending: Sequence[Pending[EntryEvent]]) -> None:
        entered = await retried(partial(handle_entries, self._services, [one.event for one in pending]), self._metrics)
        for one, outcome in zip(pending, entered, strict=True):
            self._metrics.entries.labels(outcome.source).inc()
            one.message.acknowledge()


class FocusConsumer:
    """Turns focus messages into decisions; `report` is told when the log does not take them, and None when it does."""

    def __init__(
        self,
        services: Services,
        inbox: Inbox,
        outbox: Outbox,
        names: DepartmentNames,
        metrics: Metrics,
        report: Callable[[str | None], None] = untold,
    ) -> None:
        self._report = report
        self._services = services
        self._outbox = outbox
        self._names = names
        self._metrics = metrics
        self._intake = Intake("focus", services, inbox, self._parse, outbox, metrics)
        self._asking: set[Task[None]] = set()

    async def run(self) -> None:
        """Work until the inbox is closed, and what has been taken from it is decided."""
        try:
            await self._intake.run(self._work)
            if self._asking:
                await asyncio.wait(self._asking)
        finally:
            for task in self._asking:
                task.cancel()

    def _parse(self, message: InboundMessage) -> FocusEvent:
        now = self._services.clock()
        return parse_focus(message.payload, now, self._names, message.event_id, message.correlation_data)

    async def _work(self, pending: Sequence[Pending[FocusEvent]]) -> None:
        self._metrics.batch_size.observe(len(pending))
        live = [one for one in pending if one.message.is_live()]
        if not live:
            return
        started = perf_counter()
        known, unknown = await retried(partial(gather, self._services, [one.event for one in live]), self._metrics)
        self._metrics.stage_seconds.labels("context").observe(perf_counter() - started)
        if unknown:
            unknown_ids = {event.customer_id for event in unknown}
            self._ask([one for one in live if one.event.customer_id in unknown_ids])
            live = [one for one in live if one.event.customer_id not in unknown_ids]
        await self._decide(live, known)

    def _ask(self, pending: Sequence[Pending[FocusEvent]]) -> None:
        """Ask the central on the side: customers who are known here do not wait for it."""
        task = asyncio.create_task(self._intake.guard(self._work_with_central, pending))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _work_with_central(self, pending: Sequence[Pending[FocusEvent]]) -> None:
        events = [one.event for one in pending]
        recalled = await retried(partial(recall, self._services, events), self._metrics)
        new = [one for one in pending if one.event.decision_id not in recalled]
        if new:
            events = [one.event for one in new]
            await self._decide(new, await retried(partial(gather_from_central, self._services, events), self._metrics))
        self._settle((one, recalled[one.event.decision_id]) for one in pending if one.event.decision_id in recalled)

    async def _decide(self, pending: Sequence[Pending[FocusEvent]], gathered: Sequence[Gathered]) -> None:
        if not pending:
            return
        decided = await retried(partial(decide_batch, self._services, gathered), self._metrics, self._report)
        for stage, seconds in decided[0].stage_seconds.items():
            self._metrics.stage_seconds.labels(stage).observe(seconds)
        self._settle(zip(pending, decided, strict=True))

    def _settle(self, settled: Iterable[tuple[Pending[FocusEvent], Decided]]) -> None:
        counted: Counter[tuple[str, bool]] = Counter()
        for one, decided in settled:
            decision = decided.decision
            counted[decision.outcome.reason, decided.is_repeated] += 1
            if one.message.is_live():
                done = partial(self._done, one.message.received, one.message.acknowledge)  # not the payload: it can go
                self._outbox.publish_result(decision, decided.result, done, one.message.is_live)
        for (reason, is_repeated), count in counted.items():
            self._metrics.decisions.labels(reason, str(is_repeated).lower()).inc(count)

    def _done(self, received: float, acknowledge: Callable[[], None]) -> None:
        self._metrics.focus_seconds.observe(perf_counter() - received)
        acknowledge()
