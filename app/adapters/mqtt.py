"""The broker: paho-mqtt, wrapped once.

paho keeps a queue of its own and sends it again after a reconnect, and it acknowledges through whatever connection is
there, although packet ids mean other messages once a session is lost. So every connection has a new paho client, and
a message can be acknowledged only through the connection that brought it. paho's callbacks run on its thread and do
nothing but hand over to the event loop.
"""

import asyncio
import json
import random
import socket
import ssl
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as paho
import stamina
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from app.errors import BrokerUnavailable, PublishRefused
from app.ports import InboundMessage, OutboundMessage

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 2.0
SESSION_EXPIRY_SECONDS = 24 * 3600
UNLIMITED = 65_535
NEVER_SEND_RETAINED = SubscribeOptions.RETAIN_DO_NOT_SEND


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """How to reach the broker: addresses tried in order, credentials, and the terms of a connection.

    `tls` is None for plain TCP; `receive_maximum` bounds the messages in work at a time (MQTT 5).
    """

    brokers: Sequence[tuple[str, int]]
    client_id: str
    protocol: Literal["MQTTv5", "MQTTv311"] = "MQTTv5"
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_seconds: int = 15
    receive_maximum: int = 500


class _ProtocolRefused(BrokerUnavailable):
    """The broker does not speak this version of MQTT."""


def tls_context(ca_file: Path, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, the broker's name checked. Raises OSError (ssl.SSLError) for files that cannot be used."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cert_file is not None:
        context.load_cert_chain(cert_file, key_file)
    return context


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
        self._connection: _Connection | None = None
        self._inbox: deque[InboundMessage] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False

    async def run(self) -> None:
        """Connect, and connect again whenever the connection is lost, until cancelled."""
        while True:
            connection = await self._connect()
            self._connection = connection
            self._on_state(None)
            try:
                reason = await asyncio.shield(connection.lost)  # cancelled itself, it would leave no goodbye to say
            finally:
                self._connection = None
                await connection.close()
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

    async def _connect(self) -> "_Connection":
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

    async def _open(self, host: str, port: int) -> "_Connection":
        preferred = MQTTProtocolVersion[self._access.protocol]
        try:
            return await self._open_speaking(preferred, host, port)
        except _ProtocolRefused:
            if preferred is MQTTProtocolVersion.MQTTv311:
                raise
            return await self._open_speaking(MQTTProtocolVersion.MQTTv311, host, port)

    async def _open_speaking(self, protocol: MQTTProtocolVersion, host: str, port: int) -> "_Connection":
        connection = _Connection(self._access, protocol, self._deliver, self._status_topic)
        try:
            await connection.open(host, port)
            await connection.subscribe(self._subscriptions)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _deliver(self, message: InboundMessage) -> None:
        if self._is_closed:
            return
        self._inbox.append(message)
        self._arrived.set()

    def _drop_undelivered(self) -> None:
        self._inbox = deque(message for message in self._inbox if message.is_live())


@dataclass(slots=True)
class _Receipt:
    """An inbound message that waits for its acknowledgement."""

    packet_id: int
    is_done: bool = False


class _Connection:
    """One connection, with the paho client that is thrown away with it."""

    def __init__(
        self,
        access: BrokerAccess,
        protocol: MQTTProtocolVersion,
        deliver: Callable[[InboundMessage], None],
        status_topic: str | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._access = access
        self._protocol = protocol
        self._deliver = deliver
        self._status_topic = status_topic
        self.lost: Future[str] = self._loop.create_future()
        self._accepted: Future[None] = self._loop.create_future()
        self._subscribed: Future[list[ReasonCode]] = self._loop.create_future()
        self._sent: dict[int, tuple[Future[None], str]] = {}
        self._window = UNLIMITED
        self._waiting: deque[tuple[Future[None], OutboundMessage]] = deque()
        self._receipts: deque[_Receipt] = deque()
        self._client = self._make_client()

    def _make_client(self) -> paho.Client:
        is_v5 = self._protocol is MQTTProtocolVersion.MQTTv5
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._access.client_id,
            protocol=self._protocol,
            clean_session=None if is_v5 else False,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_SECONDS
        client.max_inflight_messages_set(UNLIMITED)
        if self._access.username is not None:
            client.username_pw_set(self._access.username, self._access.password)
        if self._access.tls is not None:
            client.tls_set_context(self._access.tls)
        if self._status_topic is not None:
            client.will_set(self._status_topic, self._status("offline"), qos=1, retain=True)
        client.on_socket_open = _send_at_once
        client.on_connect = self._forward(self._on_connect)
        client.on_disconnect = self._forward(self._on_disconnect)
        client.on_subscribe = self._forward(self._on_subscribe)
        client.on_publish = self._forward(self._on_publish)
        client.on_message = self._forward(self._on_message)
        return client

    def _forward(self, callback: Callable[..., None]) -> Callable[..., None]:
        def on_paho_thread(client: paho.Client, userdata: object, *arguments: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process is ending
                self._loop.call_soon_threadsafe(callback, *arguments)

        return on_paho_thread

    async def open(self, host: str, port: int) -> None:
        """Connect and wait until the broker has accepted. Raises BrokerUnavailable."""
        try:
            await asyncio.to_thread(self._connect, host, port)
        except (OSError, ValueError) as error:
            raise BrokerUnavailable(str(error) or type(error).__name__) from error
        self._client.loop_start()
        await self._answer(self._accepted, "accept the connection")
        if self._status_topic is not None:
            self._client.publish(self._status_topic, self._status("online"), qos=1, retain=True)

    def _connect(self, host: str, port: int) -> None:
        if self._protocol is not MQTTProtocolVersion.MQTTv5:
            self._client.connect(host, port, self._access.keepalive_seconds)
            return
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
        properties.ReceiveMaximum = self._access.receive_maximum
        self._client.connect(host, port, self._access.keepalive_seconds, clean_start=False, properties=properties)

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1. Raises BrokerUnavailable, also when the broker refuses a subscription."""
        if not topics:
            return
        if self._protocol is MQTTProtocolVersion.MQTTv5:
            options = SubscribeOptions(qos=1, retainHandling=NEVER_SEND_RETAINED)
            self._client.subscribe([(topic, options) for topic in topics])
        else:
            self._client.subscribe([(topic, 1) for topic in topics])
        codes = await self._answer(self._subscribed, "grant the subscription")
        refused = [f"{topic} ({code})" for topic, code in zip(topics, codes, strict=True) if code.is_failure]
        if refused:
            raise BrokerUnavailable(f"the broker refuses the subscription to {', '.join(refused)}")

    async def _answer(self, future: Future[Any], what: str) -> Any:
        """The broker's answer; raises BrokerUnavailable when the connection is lost first, or time runs out."""
        await asyncio.wait((future, self.lost), timeout=CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self.lost.done():
            error = _ProtocolRefused if future is self._accepted else BrokerUnavailable
            raise error(f"connection closed before the broker could {what}: {self.lost.result()}")
        raise BrokerUnavailable(f"the broker did not {what} within {CONNECT_SECONDS:g} s")

    async def close(self) -> None:
        """Say goodbye, if there is someone to say it to, and end paho's thread."""
        if not self.lost.done():
            if self._status_topic is not None and self._accepted.done():
                self._client.publish(self._status_topic, self._status("offline"), qos=1, retain=True)
            self._client.disconnect()
        with suppress(TimeoutError):  # not wait_for: in Python 3.11 it swallows a cancellation that comes at its end
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(asyncio.to_thread(self._client.loop_stop))
        if not self.lost.done():
            self._give_up("closed")

    def publish(self, message: OutboundMessage) -> Future[None]:
        """Send, or queue while the broker's receive maximum is in flight."""
        future: Future[None] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(BrokerUnavailable("the connection to the broker is lost"))
        elif len(self._sent) < self._window:
            self._send(future, message)
        else:
            self._waiting.append((future, message))
        return future

    def _send(self, future: Future[None], message: OutboundMessage) -> None:
        properties = self._properties(message) if self._protocol is MQTTProtocolVersion.MQTTv5 else None
        try:
            info = self._client.publish(message.topic, message.payload, 1, message.is_retained, properties)
        except ValueError as error:
            future.set_exception(PublishRefused(message.topic, str(error)))
            return
        if info.rc is MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            future.set_exception(BrokerUnavailable("no packet id is free"))
        else:
            self._sent[info.mid] = future, message.topic

    def _properties(self, message: OutboundMessage) -> Properties:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = "application/json"
        properties.PayloadFormatIndicator = 1
        if message.expiry is not None:
            properties.MessageExpiryInterval = int(message.expiry.total_seconds())
        if message.correlation_data is not None:
            properties.CorrelationData = message.correlation_data
        properties.UserProperty = list(message.properties.items())
        return properties

    def _status(self, status: str) -> bytes:
        return json.dumps({"status": status, "client_id": self._access.client_id}).encode()

    def _on_connect(self, flags: object, reason: ReasonCode, properties: Properties | None) -> None:
        if self._accepted.done():
            return
        if reason.is_failure:
            error = _ProtocolRefused if reason == "Unsupported protocol version" else BrokerUnavailable
            self._accepted.set_exception(error(f"the broker refuses the connection: {reason}"))
            return
        self._window = getattr(properties, "ReceiveMaximum", UNLIMITED)
        self._accepted.set_result(None)

    def _on_subscribe(self, packet_id: int, codes: list[ReasonCode], properties: Properties | None) -> None:
        if not self._subscribed.done():
            self._subscribed.set_result(codes)

    def _on_publish(self, packet_id: int, reason: ReasonCode, properties: Properties | None) -> None:
        future, topic = self._sent.pop(packet_id, (None, ""))
        if future is not None and not future.done():
            if reason.is_failure:
                future.set_exception(PublishRefused(topic, str(reason)))
            else:
                future.set_result(None)
        while self._waiting and len(self._sent) < self._window:
            self._send(*self._waiting.popleft())

    def _on_message(self, message: paho.MQTTMessage) -> None:
        receipt = _Receipt(message.mid, is_done=message.qos == 0)
        self._receipts.append(receipt)
        user_properties = dict(getattr(message.properties, "UserProperty", ()))
        self._deliver(
            InboundMessage(
                topic=message.topic,
                payload=bytes(message.payload),
                event_id=user_properties.get("event-id"),
                correlation_data=getattr(message.properties, "CorrelationData", None),
                acknowledge=partial(self._acknowledge, receipt),
                is_live=lambda: not self.lost.done(),
            )
        )

    def _acknowledge(self, receipt: _Receipt) -> None:
        receipt.is_done = True
        while self._receipts and self._receipts[0].is_done:
            first = self._receipts.popleft()
            if first.packet_id and not self.lost.done():
                self._client.ack(first.packet_id, 1)

    def _on_disconnect(self, flags: object, reason: ReasonCode, properties: Properties | None) -> None:
        self._give_up(str(reason))

    def _give_up(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(f"connection lost: {reason}")
        unsent = [future for future, _ in self._waiting]
        for future in (*unsent, *(future for future, _ in self._sent.values())):
            if not future.done():
                future.set_exception(BrokerUnavailable("connection lost before the broker acknowledged"))
        self._waiting.clear()
        self._sent.clear()


def _send_at_once(client: paho.Client, userdata: object, sock: Any) -> None:
    """Turn off Nagle's algorithm, which holds small packets back for up to 40 ms."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
