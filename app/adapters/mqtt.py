"""The link to the broker: it outlives its connections."""

import asyncio
import random
from asyncio import Future
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from time import monotonic
from types import MappingProxyType
from typing import Literal

import stamina
import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from app.adapters.canary import Canary
from app.adapters.mqtt_connection import BrokerAccess, Connection, HungUp, ProtocolRefused
from app.errors import BrokerUnavailable, PublishRefused
from app.ports import InboundMessage, OutboundMessage
from app.results import Status

log = structlog.get_logger(__name__)

MAX_HANG_UPS = 3
SHORT_SECONDS = 5.0
MAX_SHORT_LIVED = 3
NOTHING: Mapping[str, str] = MappingProxyType({})


class MqttLink:
    """A subscription that outlives its connections: Inbox and Publisher.

    `on_state` is told None when the link is up, and a sentence when it is not; with a canary, it is up when something
    has arrived. With a `status_topic`, a retained message there tells the service's status. A link that `is_leaving`
    never subscribes: it is there to leave. `on_left_out` is told why a message is no event: it is a `canary`, it
    was `retained`, or there were too many of `qos_0`, which knows no back-pressure.
    """

    def __init__(
        self,
        access: BrokerAccess,
        subscriptions: Sequence[str],
        on_state: Callable[[str | None], None],
        status_topic: str | None = None,
        canary: Canary | None = None,
        on_left_out: Callable[[str], None] = lambda why: None,
        *,
        is_leaving: bool = False,
    ) -> None:
        self._access = access
        self._subscriptions = subscriptions
        self._on_state = on_state
        self._status_topic = status_topic
        self._canary = canary
        self._on_left_out = on_left_out
        self._problems, self._degraded = NOTHING, NOTHING
        self._connection: Connection | None = None
        self._is_up = asyncio.Event()
        self._proving: asyncio.Task[None] | None = None
        self._is_leaving = is_leaving
        self._has_left = False
        self._inbox: deque[InboundMessage] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._preferred = MQTTProtocolVersion[access.protocol]
        self._protocol = self._preferred
        self._hang_ups = 0
        self._short_lived = 0

    async def run(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled or left for good."""
        while not self._has_left:
            connection = await self._connect()
            since = monotonic()
            try:
                reason = await self._work(connection)
            finally:
                await self._discard(connection)
            self._on_state(self._explained(reason, monotonic() - since))
            if not self._has_left:
                await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - brokers restart for many clients at once

    async def _work(self, connection: Connection) -> str:
        """Until the connection is lost: why."""
        if self._canary is None:
            self._on_state(None)
        elif not self._is_leaving:
            self._proving = asyncio.create_task(self._canary.watch(connection.publish, self._on_state))
        self._is_up.set()
        try:
            return await asyncio.shield(connection.lost)  # cancelled itself, it would leave no goodbye to say
        finally:
            self._is_up.clear()
            self._stop_proving()

    def _stop_proving(self) -> None:
        if self._proving is not None:
            self._proving.cancel()

    def _explained(self, reason: str, seconds: float) -> str:
        if self._has_left:
            return "drained: this instance has left the broker for good, and can be stopped"
        self._short_lived = self._short_lived + 1 if seconds < SHORT_SECONDS else 0
        if self._short_lived >= MAX_SHORT_LIVED:
            reason += f"; perhaps another instance has the client id {self._access.client_id!r}: set MQTT_CLIENT_ID"
        return reason

    async def leave(self) -> bool:
        """Take no new events, finish those that the broker has for this client, and leave no session behind.

        Tells whether the broker had a session before this connection. `run` ends with it.
        """
        self._is_leaving = True
        self._stop_proving()
        self._on_state("draining: this instance takes no new events")
        while True:
            await self._is_up.wait()
            with suppress(BrokerUnavailable):
                return await self._leave_once()

    async def _leave_once(self) -> bool:
        connection = self._connection
        if connection is None:
            raise BrokerUnavailable("the connection was lost at once")
        await connection.run_dry(self._subscriptions)
        self._has_left = True
        await connection.leave()
        if self._protocol is MQTTProtocolVersion.MQTTv311:
            with suppress(BrokerUnavailable):  # what stays behind is empty
                await self._forget_session(*connection.address)
        return connection.had_session

    async def _forget_session(self, host: str, port: int) -> None:
        connection = Connection(self._access, self._protocol, lambda message: None, is_clean=True)
        try:
            await connection.open(host, port)
        finally:
            await connection.close()

    def announce(self, problems: Mapping[str, str], degraded: Mapping[str, str] = NOTHING) -> None:
        """Tell on the status topic, if there is one, what keeps the service from being ready (nothing, if empty), and
        what it does without.
        """
        self._problems, self._degraded = problems, degraded
        if self._connection is not None and self._status_topic is not None:
            status = self._status("online", problems, degraded)
            self._connection.publish(status).add_done_callback(_tell_refusal)

    def _status(
        self, status: Literal["online", "offline"], problems: Mapping[str, str], degraded: Mapping[str, str] = NOTHING
    ) -> OutboundMessage:
        document = Status(
            status=status,
            client_id=self._access.client_id,
            ready=status == "online" and not problems,
            problems=dict(problems),
            degraded=dict(degraded),
        )
        payload = document.model_dump_json().encode()
        return OutboundMessage(self._status_topic or "", payload, properties={}, is_retained=True)

    @property
    def waiting(self) -> int:
        """How many messages have arrived, and were not handed out."""
        return len(self._inbox)

    @property
    def unacknowledged(self) -> int:
        """How many messages have arrived, and were not acknowledged."""
        return 0 if self._connection is None else self._connection.unacknowledged

    async def receive(self, limit: int) -> Sequence[InboundMessage]:
        """See Inbox."""
        while not self._inbox and not self._is_closed:
            self._arrived.clear()
            await self._arrived.wait()
        return [self._inbox.popleft() for _ in range(min(limit, len(self._inbox)))]

    def close_inbox(self) -> None:
        """Hand out nothing more: what has not been handed out comes again on the next connection."""
        self._is_closed = True
        self._inbox.clear()
        self._arrived.set()

    def publish(self, message: OutboundMessage) -> Future[None]:
        """See Publisher."""
        if self._connection is None:
            future: Future[None] = asyncio.get_running_loop().create_future()
            future.set_exception(BrokerUnavailable("there is no connection to the broker"))
            return future
        return self._connection.publish(message)

    async def _connect(self) -> Connection:
        brokers = self._access.brokers
        async for attempt in stamina.retry_context(
            on=BrokerUnavailable, attempts=None, timeout=None, wait_initial=0.1, wait_max=5, wait_jitter=1
        ):
            with attempt:
                host, port = brokers[(attempt.num - 1) % len(brokers)]
                try:
                    return await self._open(host, port)
                except BrokerUnavailable as error:
                    self._on_state(f"{host}:{port}: {error}")
                    raise
        raise AssertionError("an endless retry has ended")

    async def _open(self, host: str, port: int) -> Connection:
        try:
            connection = await self._open_speaking(self._protocol, host, port)
        except (ProtocolRefused, HungUp) as error:
            self._consider_protocol(error)
            raise
        self._hang_ups = 0
        return connection

    def _consider_protocol(self, error: BrokerUnavailable) -> None:
        """MQTT 3.1.1 next time, where a broker refuses 5 or hangs up on it again and again; should that fail, 5."""
        self._hang_ups += 1
        if self._protocol is not self._preferred:
            self._protocol = self._preferred
            self._hang_ups = 0
        elif isinstance(error, ProtocolRefused) or self._hang_ups >= MAX_HANG_UPS:
            self._protocol = MQTTProtocolVersion.MQTTv311

    async def _open_speaking(self, protocol: MQTTProtocolVersion, host: str, port: int) -> Connection:
        will = None if self._status_topic is None else self._status("offline", {})
        connection = Connection(self._access, protocol, self._deliver, will, self._on_left_out)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._discard, connection)
            await connection.open(host, port)
            self._connection = connection  # a session that goes on delivers before it is asked to: answers must get out
            if not self._is_leaving:
                await connection.subscribe(self._subscriptions)
            undo.pop_all()
        self.announce(self._problems, self._degraded)
        if protocol is not self._preferred:
            log.warning("broker speaks MQTT 3.1.1 only", broker=f"{host}:{port}")
        return connection

    async def _discard(self, connection: Connection) -> None:
        self._connection = None
        await connection.close()
        self._drop_undelivered()

    def _deliver(self, message: InboundMessage) -> None:
        if self._is_closed:
            return
        if self._canary is not None and self._canary.is_canary(message):
            self._on_left_out("canary")
            message.acknowledge()
            return
        self._inbox.append(message)
        self._arrived.set()

    def _drop_undelivered(self) -> None:
        self._inbox = deque(message for message in self._inbox if message.is_live())


def _tell_refusal(announced: Future[None]) -> None:
    if isinstance(error := announced.exception(), PublishRefused):
        log.error("broker refuses the status", topic=error.topic, problem=str(error))
