"""The way out: results and dead letters, each acknowledged by the broker before its event is."""

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import stamina
import structlog

from app.domain.dead_letter import DeadLetter
from app.domain.decision import Decision
from app.errors import BrokerUnavailable, DatabaseUnavailable, PublishRefused, ScorerUnavailable
from app.handlers import Services, encode_again, outbound
from app.ports import OutboundMessage, Publisher
from app.transport.metrics import Metrics

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
Outcome = Decision | DeadLetter

ATTEMPTS = 3
TOLERATED = 2
WAITED_FOR = (DatabaseUnavailable, ScorerUnavailable)
AGAIN_SECONDS = 1.0
SWEEP_SECONDS = 15.0
SWEEP_AGE = timedelta(seconds=60)
SWEEP_LIMIT = 1000  # more than a batch, whose decisions are all of one time: a sweep goes on from there
MARK_LIMIT = 500
MARK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Topics:
    """Where outcomes go, and how long the broker keeps those that nobody fetched (None: for ever)."""

    prediction: str
    dead_letter: str
    expiry: timedelta | None


def untold(problem: str | None) -> None:
    """For work whose trouble shows elsewhere."""


async def retried(
    work: Callable[[], Awaitable[Answer]], metrics: Metrics, report: Callable[[str | None], None] = untold
) -> Answer:
    """Do it until the database, and the model, are there to do it; the broker holds the events meanwhile.

    `report` is told what is wrong when it has failed for a while (a database may answer, and yet have no room to
    write), and None when it works.
    """
    failures = 0

    async def attempt_once() -> Answer:
        nonlocal failures
        try:
            answer = await work()
        except WAITED_FOR as error:
            metrics.retries.labels("scorer" if isinstance(error, ScorerUnavailable) else "database").inc()
            failures += 1
            if failures > TOLERATED:
                report(str(error))
            raise
        report(None)
        return answer

    with suppress(*WAITED_FOR):  # the first attempt costs nothing more than itself
        return await attempt_once()
    async for attempt in stamina.retry_context(
        on=WAITED_FOR, attempts=None, timeout=None, wait_initial=0.05, wait_max=2, wait_jitter=0.2
    ):
        with attempt:
            return await attempt_once()
    raise AssertionError("an endless retry has ended")


def nothing() -> None:
    """For outcomes that nobody waits for: they are in the log."""


def never() -> bool:
    """For outcomes that no connection's event waits for: the sweeper sends what could not be sent at once."""
    return False


@dataclass(slots=True)
class _Sending:
    """An outcome on its way, as a message.

    `then` runs when the broker has it, or has refused it for good; not when the event that it answers is no longer
    `is_live`, since that comes again.
    """

    message: OutboundMessage
    outcome: Outcome
    then: Callable[[], None]
    is_live: Callable[[], bool]
    attempts: int = 1


class Outbox:
    """Publishes outcomes that are in the log, and tells the log which of them the broker has.

    `report` is told None while the broker takes what it is given, else what it refuses.
    """

    def __init__(
        self,
        services: Services,
        publisher: Publisher,
        topics: Topics,
        metrics: Metrics,
        report: Callable[[str | None], None],
        again_seconds: float = AGAIN_SECONDS,
    ) -> None:
        self._services = services
        self._publisher = publisher
        self._topics = topics
        self._metrics = metrics
        self._report = report
        self._again_seconds = again_seconds
        self._refused_topics: set[str] = set()
        self._published: list[Outcome] = []
        self._decisions_from: datetime | None = None  # what is refused for good does not keep the sweep from the rest
        self._letters_from: datetime | None = None
        self._has_published = asyncio.Event()
        self._marking = asyncio.Lock()
        self._on_the_way = 0
        self._is_empty = asyncio.Event()

    def publish_result(
        self,
        decision: Decision,
        result: bytes | None,
        then: Callable[[], None] = nothing,
        is_live: Callable[[], bool] = never,
    ) -> None:
        """Send a result; `then` runs when the broker has it, or has refused it: the log has it, and sends it later.

        Without a result to send, `then` runs at once.
        """
        if result is None:
            log.error("result lost: the log has not its coupon", customer_id=decision.event.customer_id)
            then()
        elif decision.is_to_be_published:
            self._send(_Sending(self._result(decision, result), decision, then, is_live))
        else:
            then()

    def publish_dead_letter(
        self, letter: DeadLetter, then: Callable[[], None] = nothing, is_live: Callable[[], bool] = never
    ) -> None:
        """Send a dead letter; `then` runs as for results."""
        self._send(_Sending(self._dead_letter(letter), letter, then, is_live))

    def _result(self, decision: Decision, result: bytes) -> OutboundMessage:
        return outbound(decision, result, self._topics.prediction, self._topics.expiry)

    def _dead_letter(self, letter: DeadLetter) -> OutboundMessage:
        return OutboundMessage(
            topic=self._topics.dead_letter,
            payload=letter.body,
            properties={"reason": letter.reason},
            correlation_data=letter.correlation_data,
            expiry=self._topics.expiry,
        )

    def _send(self, sending: _Sending) -> None:
        self._on_the_way += 1
        self._publisher.publish(sending.message).add_done_callback(partial(self._sent, sending))

    def _sent(self, sending: _Sending, future: Future[None]) -> None:
        self._on_the_way -= 1
        if self._on_the_way == 0:
            self._is_empty.set()
        error = future.exception()
        if error is None:
            self._accepted(sending.message.topic, sending.outcome)
            sending.then()
            return
        if not isinstance(error, BrokerUnavailable):
            self._refused(sending.message.topic, error)
        if sending.is_live():
            self._try_again(sending)

    def _try_again(self, sending: _Sending) -> None:
        """The broker may be mended; but acknowledgements are ordered, so one that waits for ever would stop all."""
        if sending.attempts >= ATTEMPTS:
            sending.then()
            return
        again = replace(sending, attempts=sending.attempts + 1)
        asyncio.get_running_loop().call_later(self._again_seconds, self._send_if_live, again)

    def _send_if_live(self, sending: _Sending) -> None:
        if sending.is_live():
            self._send(sending)

    def _accepted(self, topic: str, outcome: Outcome) -> None:
        self._published.append(outcome)
        self._has_published.set()
        if topic in self._refused_topics:
            self._refused_topics.remove(topic)
            if not self._refused_topics:
                self._report(None)

    def _refused(self, topic: str, error: BaseException) -> None:
        self._metrics.publish_failures.labels(topic).inc()
        if topic not in self._refused_topics:
            log.error("broker refuses message", topic=topic, problem=str(error))
        self._refused_topics.add(topic)
        self._report(str(error))

    async def run(self) -> None:
        """Mark published outcomes in the log, a batch at a time, until cancelled."""
        while True:
            await self._has_published.wait()
            await asyncio.sleep(MARK_SECONDS)  # more come meanwhile
            self._has_published.clear()
            await retried(self._mark, self._metrics)

    async def flush(self) -> None:
        """Wait until nothing is on the way, and mark what has been published. Raises DatabaseUnavailable."""
        while self._on_the_way:
            self._is_empty.clear()
            await self._is_empty.wait()
        await self._mark()

    async def _mark(self) -> None:
        async with self._marking:  # who flushes waits for what `run` is marking, too
            while self._published:  # by parts: all of it could be too much for a slow database, for ever
                part = self._published[:MARK_LIMIT]
                await self._mark_published(part)
                del self._published[: len(part)]  # what has been published meanwhile is behind it

    async def _mark_published(self, outcomes: Sequence[Outcome]) -> None:
        decisions = [one for one in outcomes if isinstance(one, Decision)]
        letters = [one for one in outcomes if isinstance(one, DeadLetter)]
        if decisions:
            await self._services.log.mark_published(decisions)
        if letters:
            await self._services.dead_letters.mark_published(letters)

    async def sweep(self, every_seconds: float = SWEEP_SECONDS) -> None:
        """Publish outcomes that the broker never acknowledged and whose events did not come again, until cancelled."""
        failures = 0
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.sweep_once()
            except DatabaseUnavailable as error:
                failures += 1
                if failures > TOLERATED:
                    log.warning("sweep put off", problem=str(error), times=failures)
            else:
                failures = 0

    async def sweep_once(self) -> None:
        """One sweep: what the broker does not take waits for the next. Raises DatabaseUnavailable.

        Outcomes older than their expiry stay where they are: the broker would have dropped them by now.
        """
        now = self._services.clock()
        oldest = datetime.min.replace(tzinfo=UTC) if self._topics.expiry is None else now - self._topics.expiry
        before = now - SWEEP_AGE
        async with self._services.log.unpublished(self._decisions_from or oldest, before, SWEEP_LIMIT) as decisions:
            results = await encode_again(self._services, decisions)
            messages = [(decision, self._result(decision, result)) for decision, result in results if result]
            if len(messages) < len(decisions):
                log.error("results lost: the log has not their coupons", results=len(decisions) - len(messages))
            if await self._publish_again(messages):
                self._decisions_from = decisions[-1].basis.decided_at if len(decisions) == SWEEP_LIMIT else None
        letters_log = self._services.dead_letters
        async with letters_log.unpublished(self._letters_from or oldest, before, SWEEP_LIMIT) as letters:
            if await self._publish_again([(letter, self._dead_letter(letter)) for letter in letters]):
                self._letters_from = letters[-1].received_at if len(letters) == SWEEP_LIMIT else None

    async def _publish_again(self, messages: Sequence[tuple[Outcome, OutboundMessage]]) -> bool:
        """Whether the broker has heard of all of them, whatever it said."""
        swept, is_there = 0, True
        for outcome, message in messages:
            try:
                await self._publisher.publish(message)
            except BrokerUnavailable:
                is_there = False
                break
            except PublishRefused as error:
                self._refused(error.topic, error)
                continue
            self._accepted(message.topic, outcome)
            self._metrics.swept.inc()
            swept += 1
        await self._mark()
        if swept:
            log.warning("published outcomes that the broker never had", outcomes=swept)
        return is_there
