"""The way out: results and dead letters, each acknowledged by the broker before its event is."""

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import stamina
import structlog

from app.domain.decision import Decision
from app.errors import BrokerUnavailable, DatabaseUnavailable, FieldProblem, PublishRefused
from app.events import encode_dead_letter
from app.handlers import Services, encode_again, outbound
from app.ports import InboundMessage, OutboundMessage, Publisher
from app.transport.metrics import Metrics

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

REFUSED_AGAIN_SECONDS = 5.0
SWEEP_SECONDS = 15.0
SWEEP_AGE = timedelta(seconds=60)
SWEEP_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Topics:
    """Where outcomes go, and how long the broker keeps those that nobody fetched (None: for ever)."""

    prediction: str
    dead_letter: str
    expiry: timedelta | None


async def retried(work: Callable[[], Awaitable[Answer]], metrics: Metrics) -> Answer:
    """Do it until the database is there to do it; the broker holds the events meanwhile."""
    async for attempt in stamina.retry_context(
        on=DatabaseUnavailable, attempts=None, timeout=None, wait_initial=0.05, wait_max=2, wait_jitter=0.2
    ):
        with attempt:
            if attempt.num > 1:
                metrics.retries.labels("database").inc()
            return await work()
    raise AssertionError("an endless retry has ended")


def always() -> bool:
    """For messages that no connection brought."""
    return True


@dataclass(frozen=True, slots=True)
class _Sending:
    """A message on its way; `then` runs when the broker has it, `is_wanted` tells whether to try again."""

    message: OutboundMessage
    then: Callable[[], None]
    is_wanted: Callable[[], bool]


class Outbox:
    """Publishes outcomes, and tells the log which results the broker has."""

    def __init__(
        self,
        services: Services,
        publisher: Publisher,
        topics: Topics,
        metrics: Metrics,
        refused_again_seconds: float = REFUSED_AGAIN_SECONDS,
    ) -> None:
        self._services = services
        self._publisher = publisher
        self._topics = topics
        self._metrics = metrics
        self._refused_again_seconds = refused_again_seconds
        self._published: list[Decision] = []
        self._has_published = asyncio.Event()
        self._on_the_way = 0
        self._is_empty = asyncio.Event()

    def publish_result(
        self, decision: Decision, result: bytes, then: Callable[[], None], is_wanted: Callable[[], bool] = always
    ) -> None:
        """Send a result; `then` runs when the broker has it. Without a result to send, at once."""
        if not decision.is_to_be_published:
            then()
            return

        def published() -> None:
            self._published.append(decision)
            self._has_published.set()
            then()

        self._send(_Sending(self._result(decision, result), published, is_wanted))

    def publish_dead_letter(self, message: InboundMessage, problems: Sequence[FieldProblem]) -> None:
        """Send the dead letter of a refused message, and acknowledge the message when the broker has it."""
        code = problems[0].code
        self._metrics.dead_letters.labels(code).inc()
        letter = OutboundMessage(
            topic=self._topics.dead_letter,
            payload=encode_dead_letter(message.topic, message.payload, problems),
            properties={"reason": code},
            correlation_data=message.correlation_data,
            expiry=self._topics.expiry,
        )
        self._send(_Sending(letter, message.acknowledge, message.is_live))

    def _result(self, decision: Decision, result: bytes) -> OutboundMessage:
        return outbound(decision, result, self._topics.prediction, self._topics.expiry)

    def _send(self, sending: _Sending) -> None:
        self._on_the_way += 1
        self._publisher.publish(sending.message).add_done_callback(partial(self._sent, sending))

    def _sent(self, sending: _Sending, future: Future[None]) -> None:
        self._on_the_way -= 1
        if self._on_the_way == 0:
            self._is_empty.set()
        match future.exception():
            case None:
                sending.then()
            case PublishRefused() as error:
                self._refused(error)
                asyncio.get_running_loop().call_later(self._refused_again_seconds, self._send_again, sending)
            case BrokerUnavailable():
                pass  # the event was not acknowledged: it comes again, or the sweeper sends its result
            case error:
                log.error("publishing failed", topic=sending.message.topic, exc_info=error)

    def _send_again(self, sending: _Sending) -> None:
        if sending.is_wanted():
            self._send(sending)

    async def run(self) -> None:
        """Mark published results in the log, a batch at a time, until cancelled."""
        while True:
            await self._has_published.wait()
            self._has_published.clear()
            await retried(self._mark, self._metrics)

    async def drain(self) -> None:
        """Wait until nothing is on the way, and mark what has been published. Raises DatabaseUnavailable."""
        while self._on_the_way:
            self._is_empty.clear()
            await self._is_empty.wait()
        await self._mark()

    async def _mark(self) -> None:
        batch = tuple(self._published)
        if batch:
            await self._services.log.mark_published(batch)
            del self._published[: len(batch)]

    async def sweep(self, every_seconds: float = SWEEP_SECONDS) -> None:
        """Publish results that the broker never acknowledged and whose events did not come again, until cancelled."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.sweep_once()
            except (DatabaseUnavailable, BrokerUnavailable) as error:
                log.debug("sweep put off", problem=str(error))

    async def sweep_once(self) -> None:
        """One sweep; what the broker refuses waits for the next. Raises DatabaseUnavailable, BrokerUnavailable."""
        published: list[Decision] = []
        async with self._services.log.unpublished(self._services.clock() - SWEEP_AGE, SWEEP_LIMIT) as decisions:
            results = await encode_again(self._services, decisions)
            for decision, result in zip(decisions, results, strict=True):
                try:
                    await self._publisher.publish(self._result(decision, result))
                except PublishRefused as error:
                    self._refused(error)
                    continue
                published.append(decision)
                self._metrics.swept.inc()
            await self._services.log.mark_published(published)
        if published:
            log.warning("published results that the broker never had", results=len(published))

    def _refused(self, error: PublishRefused) -> None:
        self._metrics.publish_failures.labels(error.topic).inc()
        log.error("broker refuses message", topic=error.topic, reason=error.reason)
