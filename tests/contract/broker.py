"""What the tests of the broker link share: devices of the shop, a line that can be cut, the link itself."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.adapters.canary import Canary
from app.adapters.mqtt import MqttLink
from app.adapters.mqtt_connection import BrokerAccess
from app.embedded.broker import EmbeddedBroker
from app.ports import InboundMessage, Inbox, OutboundMessage
from tests.builders import stop
from tests.plain_client import PlainClient

PATIENCE_SECONDS = 10.0
LIMIT = 100
RESULT = OutboundMessage(
    topic="",
    payload=b'{"customer":{"id":"127"}}',
    properties={"decision-id": "d-1", "event-id": "camera-7/42 \xfc", "deployment": "default@1"},
    correlation_data=b"\x00\xff",
    expiry=timedelta(hours=1),
)


# A device of the shop: a plain client


@dataclass
class Device:
    """A paho client with its callbacks brought to the event loop."""

    client: paho.Client
    loop: asyncio.AbstractEventLoop
    arrived: asyncio.Queue[paho.MQTTMessage] = field(default_factory=asyncio.Queue)
    answers: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    def listen(self) -> None:
        self.client.on_connect = lambda *_: self._hand_over(self.answers, "connected")
        self.client.on_subscribe = lambda *_: self._hand_over(self.answers, "subscribed")
        self.client.on_publish = lambda *_: self._hand_over(self.answers, "published")
        self.client.on_message = lambda client, userdata, message: self._hand_over(self.arrived, message)

    def _hand_over(self, queue: asyncio.Queue[Any], item: object) -> None:
        self.loop.call_soon_threadsafe(queue.put_nowait, item)

    async def hears(self, answer: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await self.answers.get() == answer

    async def subscribe(self, topic: str) -> None:
        self.client.subscribe(topic, qos=1)
        await self.hears("subscribed")

    async def publish(
        self, topic: str, payload: bytes, event_id: str | None = None, correlation_data: bytes | None = None
    ) -> None:
        """Send at QoS 1, and wait for the broker's acknowledgement."""
        properties = Properties(PacketTypes.PUBLISH)
        if event_id is not None:
            properties.UserProperty = [("colour", "red"), ("event-id", event_id)]
        if correlation_data is not None:
            properties.CorrelationData = correlation_data
        self.client.publish(topic, payload, 1, properties=properties)
        await self.hears("published")

    async def next_message(self) -> paho.MQTTMessage:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.arrived.get()

    async def next_status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads((await self.next_message()).payload)
        return status


@asynccontextmanager
async def device(broker: EmbeddedBroker) -> AsyncIterator[Device]:
    client = PlainClient(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    one = Device(client, asyncio.get_running_loop())
    one.listen()
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        await one.hears("connected")
        yield one
    finally:
        client.leave()


# A line that can be cut


@dataclass
class Line:
    """A TCP line to a broker. With a `refusal`, it hangs up on clients of MQTT 5, saying this."""

    broker: EmbeddedBroker
    refusal: bytes | None
    port: int = 0
    ends: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def access(self) -> BrokerAccess:
        return BrokerAccess([("127.0.0.1", self.port)], f"client of {self.port}")

    def cut(self) -> None:
        for end in self.ends:
            end.transport.abort()
        self.ends.clear()

    async def connect(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.ends.append(to_client)
        start = await from_client.readuntil(b"MQTT") + await from_client.readexactly(1)
        if self.refusal is not None and start[-1] == MQTTProtocolVersion.MQTTv5:
            to_client.write(self.refusal)
            to_client.close()
            return
        from_broker, to_broker = await asyncio.open_connection(self.broker.host, self.broker.port)
        self.ends.append(to_broker)
        to_broker.write(start)
        await asyncio.gather(pump(from_client, to_broker), pump(from_broker, to_client))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
    writer.close()


@asynccontextmanager
async def line_to(broker: EmbeddedBroker, refusal: bytes | None = None) -> AsyncIterator[Line]:
    line = Line(broker, refusal)
    async with await asyncio.start_server(line.connect, "127.0.0.1") as server:
        line.port = server.sockets[0].getsockname()[1]
        yield line


async def read_packet(reader: asyncio.StreamReader) -> int:
    """Read one short packet; its type."""
    header = await reader.readexactly(2)
    await reader.readexactly(header[1])
    return header[0] >> 4


# The link under test


@dataclass
class States:
    """What the link has said of itself."""

    said: list[str | None] = field(default_factory=list)
    spoken: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, problem: str | None) -> None:
        self.said.append(problem)
        self.spoken.set()

    async def until(self, is_true: Callable[[Sequence[str | None]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_true(self.said):
                self.spoken.clear()
                await self.spoken.wait()

    async def until_up(self) -> None:
        await self.until(lambda said: said[-1:] == [None])

    async def until_down(self) -> None:
        await self.until(lambda said: said[-1:] not in ([], [None]))


@asynccontextmanager
async def linked(
    access: BrokerAccess,
    *topics: str,
    status_topic: str | None = None,
    canary: Canary | None = None,
    states: States | None = None,
    left_out: list[str] | None = None,
) -> AsyncIterator[MqttLink]:
    """A link that is up, with a broker, until the end of the block."""
    states = states or States()
    link = MqttLink(access, topics, states, status_topic, canary, (left_out if left_out is not None else []).append)
    running = asyncio.create_task(link.run())
    try:
        await states.until_up()
        yield link
    finally:
        await stop(running)


async def received(inbox: Inbox, count: int, limit: int = LIMIT) -> list[InboundMessage]:
    """The next messages."""
    messages: list[InboundMessage] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(messages) < count:
            batch = await inbox.receive(limit)
            assert 1 <= len(batch) <= limit
            messages += batch
    return messages


def payloads(messages: Sequence[InboundMessage]) -> list[bytes]:
    return [message.payload for message in messages]


async def done(future: asyncio.Future[None]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await future


async def has_read(link: MqttLink, topic: str) -> None:
    """The broker has read everything before this: it answers in order."""
    await done(link.publish(replace(RESULT, topic=f"{topic}/read")))


def access_to(broker: EmbeddedBroker, client_id: str | None = None) -> BrokerAccess:
    return BrokerAccess([(broker.host, broker.port)], client_id or str(uuid4()))


def restart_with(broker: EmbeddedBroker, *lines: str) -> None:
    """Stop, and start with more lines in the configuration, of which the last word counts."""
    broker.stop()
    path = broker.data_dir / "mosquitto.conf"
    path.write_text("\n".join([path.read_text(), *lines, ""]))
    broker.process.start()
