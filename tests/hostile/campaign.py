"""A campaign: inputs are sent to a whole stack, canaries between them are answered, and everything is accounted for."""

import asyncio
import time
from asyncio import Future, Task
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from app.events import MAX_BODY_BYTES
from tests.e2e.stack import ENTRY, FOCUS, PREDICTION, REJECTED, Stack
from tests.hostile import answers
from tests.hostile.bodies import Kind
from tests.hostile.inputs import Input
from tests.hostile.logs import LogWatch
from tests.hostile.oracle import Ledger, letter_key, outcome_of
from tests.hostile.senders import PATIENCE_SECONDS, BrokerHungUp, Listener, Publisher, publish_alone, request
from tests.hostile.wire import CORRELATION, Heard, text

CANARY_EVERY = 100
CANARIES_AHEAD = 3
HTTP_AT_A_TIME = 8
MOMENT_SECONDS = 1.0
CANARY_CUSTOMER = "127"
CANARY = b"canary "


class CampaignFailed(Exception):
    """Something broke; `inputs` are those that may be to blame."""

    def __init__(self, problem: str, inputs: Iterable[Input] = ()) -> None:
        super().__init__(problem)
        self.inputs = list(inputs)


@dataclass
class Campaign:
    """What has been sent to a stack, and what came of it."""

    stack: Stack
    patience_seconds: float = PATIENCE_SECONDS
    ledger: Ledger = field(default_factory=Ledger)
    sent: int = 0
    canaries: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    refused_by_broker: int = 0
    unanswered: int = 0
    slowest_canary: float = 0.0
    rss: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._log = LogWatch(self.stack.service.log_path)
        self._recent: deque[Input] = deque(maxlen=CANARY_EVERY * (CANARIES_AHEAD + 1))
        self._answered: dict[bytes, Future[None]] = {}
        self._acknowledged: deque[Future[None]] = deque()
        self._asking: set[Task[None]] = set()
        self._publishers: dict[str, Publisher] = {}
        self._pid = self.stack.service.pid

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """With its connections to the broker, and an ear on every topic. Raises CampaignFailed."""
        async with AsyncExitStack() as connections:
            self._listener = await Listener.connect(self.stack.broker_port, self._hear)
            connections.push_async_callback(self._listener.close)
            for way, version in (("mqtt5", 5), ("mqtt311", 4), ("canary", 5)):
                self._publishers[way] = await Publisher.connect(self.stack.broker_port, version)
                connections.push_async_callback(self._publishers[way].close)
            try:
                yield
            except (BrokerHungUp, TimeoutError, OSError) as error:
                raise CampaignFailed(f"{type(error).__name__}: {error}", self._recent) from error

    async def send(self, inputs: Iterable[Input], tell: Callable[[int], None] = lambda sent: None) -> None:
        """Send all inputs, and wait until all are acknowledged and answered. Raises CampaignFailed."""
        flying: deque[tuple[Future[None], Future[None], float]] = deque()
        for one in inputs:
            self._recent.append(one)
            for _ in range(one.copies):
                await self._send(one)
            self.sent += 1
            if self.sent % CANARY_EVERY == 0:
                flying.append(await self._canary())
                while len(flying) >= CANARIES_AHEAD:
                    await self._see(flying.popleft())
                tell(self.sent)
        flying.append(await self._canary())
        while flying:
            await self._see(flying.popleft())
        await asyncio.gather(*self._asking)
        async with asyncio.timeout(self.patience_seconds):
            await asyncio.gather(*self._acknowledged)
        tell(self.sent)

    async def _send(self, one: Input) -> None:
        if one.way == "http":
            await self._ask(one)
            return
        topic = ENTRY if one.kind == "entry" else FOCUS
        if one.way == "rough":
            if await publish_alone(self.stack.broker_port, topic, one):
                self._expect_anything(one, topic)
            else:
                self.refused_by_broker += 1
            return
        self.ledger.over_mqtt += 1
        self.ledger.expect(outcome_of(one, topic, one.payload), one, is_sure=not one.may_vanish)
        while self._acknowledged and self._acknowledged[0].done():
            self._acknowledged.popleft().result()
        self._acknowledged.append(await self._publishers[one.way].publish(topic, one))

    def _expect_anything(self, one: Input, topic: str) -> None:
        """The broker took an input that names the event in a way no reader need read: with its name, or without."""
        self.ledger.over_mqtt += 1
        self.ledger.expect(outcome_of(one, topic, one.payload), one, is_sure=False)

    async def _ask(self, one: Input) -> None:
        if len(self._asking) >= HTTP_AT_A_TIME:
            await asyncio.wait(self._asking, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in self._asking if task.done()]:
            self._asking.discard(task)
            task.result()
        self._asking.add(asyncio.create_task(self._ask_one(one)))

    async def _ask_one(self, one: Input) -> None:
        patience = MOMENT_SECONDS if one.may_vanish and len(one.body) <= MAX_BODY_BYTES else PATIENCE_SECONDS
        answer = await request(self.stack.http_port, one.payload, patience)
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        self.unanswered += answer.status == 0
        if problem := answers.problem(one, answer):
            raise CampaignFailed(f"input {one.number}: {problem}", [one])
        answers.account(self.ledger, one, answer)

    async def _canary(self) -> tuple[Future[None], Future[None], float]:
        """A focus event of a known customer, and an entry event to be refused: both are to be answered."""
        self.canaries += 1
        loop = asyncio.get_running_loop()
        waiting = []
        for topic, payload in (
            (FOCUS, b'{"id":"%b","ts":%d,"dep":"Boys"}' % (CANARY_CUSTOMER.encode(), self.canaries)),
            (ENTRY, b'{"id":"%b","ts":"canary %d"}' % (CANARY_CUSTOMER.encode(), self.canaries)),
        ):
            name = CANARY + topic.encode() + b" %d" % self.canaries
            self._answered[name] = loop.create_future()
            waiting.append(self._answered[name])
            kind: Kind = "entry" if topic == ENTRY else "focus"
            one = Input(
                -self.canaries, "mqtt5", kind, payload, properties=bytes([CORRELATION]) + text(name), correlation=name
            )
            self.ledger.over_mqtt += 1
            self.ledger.expect(outcome_of(one, topic, payload), one)
            await self._publishers["canary"].publish(topic, one)
        return waiting[0], waiting[1], time.monotonic()

    async def _see(self, canary: tuple[Future[None], Future[None], float]) -> None:
        focus, entry, since = canary
        try:
            async with asyncio.timeout(self.patience_seconds):
                await focus
                await entry
        except TimeoutError:
            raise CampaignFailed(f"a canary before input {self.sent} was not answered", self._recent) from None
        self.slowest_canary = max(self.slowest_canary, time.monotonic() - since)
        self.look()

    @property
    def has_lost_connections(self) -> bool:
        """Whether the service had to connect again: it read anew what was in work."""
        return self._log.lost_connections > 0

    def look(self) -> None:
        """Is the process the same, and its log clean? Raises CampaignFailed."""
        if self.stack.service.has_ended or self.stack.service.pid != self._pid:
            raise CampaignFailed(f"the service has ended: {self.stack.service.log_tail()}", self._recent)
        if self._listener.listening.done():
            raise CampaignFailed(f"the listener was cut off: {self._listener.listening.exception()!r}", self._recent)
        if problems := self._log.problems():
            raise CampaignFailed("; ".join(problems[:3]), self._recent)
        self.rss.append(resident_bytes(self._pid))

    def _hear(self, heard: Heard) -> None:
        self.ledger.seen_topics[heard.topic] += 1
        if heard.topic == REJECTED:
            self.ledger.seen_letters[letter_key(heard.payload)] += 1
        elif heard.topic == PREDICTION:
            answers.hear_result(self.ledger, heard)
        waiting = (
            self._answered.pop(heard.correlation, None)
            if heard.topic in (REJECTED, PREDICTION) and heard.correlation
            else None
        )
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


def resident_bytes(pid: int) -> int:
    """The memory that the process has, of its own."""
    with open(f"/proc/{pid}/statm") as numbers:  # noqa: PTH123 - not a file
        return int(numbers.read().split()[1]) * 4096
