"""The link to the broker: it outlives its connections."""

import asyncio
import random
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from time import monotonic

import stamina
import structlog
from paho.mqtt.enums import MQTTProtocolVersion

from app.adapters.mqtt_connection import BrokerAccess, Connection, HungUp, ProtocolRefused
from app.errors import BrokerUnavailable
from app.ports import InboundMessage, OutboundMessage

log = structlog.get_logger(__name__)

MAX_HANG_UPS = 3
SHORT_SECONDS = 5.0
MAX_SHORT_LIVED = 3


class MqttLink:
    """A subscription that outlives its connections: Inbox and Publisher.

    `on_state` is told None when the link is up, and a sentence when it is not. With a `status_topic`, a retained
    message there says whether the service is online.
    """

    def __init__(
        self,
        access: BrokerAccess,
        subscriptions: Sequence[str],
        on_state: Callable[[str | None], None],
        status_topic: str | None = None,
    ) -> None:
        self._access = access
        self._subscriptions = subscriptions
        self._on_state = on_state
        self._status_topic = status_topic
        self._connection: Connection | None = None
        self._inbox: deque[InboundMessage] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False
        self._preferred = MQTTProtocolVersion[access.protocol]
        self._protocol = self._preferred
        self._hang_ups = 0
        self._short_lived = 0

    async def run(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled."""
        while True:
            connection = await self._connect()
            since = monotonic()
            self._on_state(None)
            try:
                reason = await asyncio.shield(connection.lost)  # cancelled itself, it would leave no goodbye to say
            finally:
                await self._discard(connection)
            self._short_lived = self._short_lived + 1 if monotonic() - since < SHORT_SECONDS else 0
            if self._short_lived >= MAX_SHORT_LIVED:
                reason += f"; perhaps another instance has the client id {self._access.client_id!r}: set MQTT_CLIENT_ID"
            self._on_state(reason)
            self._drop_undelivered()
            await asyncio.sleep(random.uniform(0, 1))  # noqa: S311 - brokers restart for many clients at once

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
        connection = Connection(self._access, protocol, self._deliver, self._status_topic)
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self._discard, connection)
            await connection.open(host, port)
            self._connection = connection  # a session that goes on delivers before it is asked to: answers must get out
            await connection.subscribe(self._subscriptions)
            undo.pop_all()
        connection.announce("online")
        if protocol is not self._preferred:
            log.warning("broker speaks MQTT 3.1.1 only", broker=f"{host}:{port}")
        return connection

    async def _discard(self, connection: Connection) -> None:
        self._connection = None
        await connection.close()

    def _deliver(self, message: InboundMessage) -> None:
        if self._is_closed:
            return
        self._inbox.append(message)
        self._arrived.set()

    def _drop_undelivered(self) -> None:
        self._inbox = deque(message for message in self._inbox if message.is_live())
