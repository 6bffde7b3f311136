"""What goes over the wire, seen by a broker that answers CONNECT and writes down the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace

import pytest
from paho.mqtt.enums import MQTTProtocolVersion

from app.adapters.mqtt_client import JOINED_BYTES, LoopClient
from app.adapters.mqtt_connection import BrokerAccess, Connection
from app.adapters.mqtt_packets import Publish
from app.errors import BrokerUnavailable, PublishRefused
from app.ports import InboundMessage, OutboundMessage
from tests.chaos import wire

PATIENCE_SECONDS = 10.0
CONNACK = b"\x20\x03\x00\x00\x00"
NEVER_PING = b"\x20\x06\x00\x00\x03\x13\x00\x00"  # a keepalive of 0
ONE_AT_A_TIME = b"\x20\x06\x00\x00\x03\x21\x00\x01"  # a receive maximum of 1
A_THOUSAND_BYTES = b"\x20\x08\x00\x00\x05\x27\x00\x00\x03\xe8"  # a maximum packet size
UNLIMITED = 1 << 28
KEPT = 1_000


class Notary:
    """Keeps the packets that follow the CONNECT; `answer` says what to reply to each.

    What comes after its first look at them it reads when it may.
    """

    def __init__(self, answer: Callable[[int], bytes] = lambda number: b"", connack: bytes = CONNACK) -> None:
        self.packets: list[tuple[int, bytes]] = []
        self.may_read = asyncio.Event()
        self.has_ended = asyncio.Event()
        self._answer = answer
        self._connack = connack

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        with closing(writer), suppress(ConnectionError):
            while data := await reader.read(65_536):
                buffer += data
                for first, body in wire.frames(buffer):
                    if first >> 4 == wire.CONNECT:
                        writer.write(self._connack)
                    else:
                        self.packets.append((first >> 4, body))
                        writer.write(self._answer(len(self.packets)))
                await self.may_read.wait()
        self.has_ended.set()

    @property
    def payloads(self) -> list[bytes]:
        return [wire.read_publish(0x32, body).payload for kind, body in self.packets if kind == wire.PUBLISH]


@asynccontextmanager
async def served(notary: Notary) -> AsyncIterator[int]:
    async with await asyncio.start_server(notary.serve, "127.0.0.1") as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port
        notary.may_read.set()
        await ended(notary)


async def attached(port: int, on_event: Callable[[Publish], None] = lambda publish: None) -> LoopClient:
    client = client_with(on_event)
    await asyncio.to_thread(client.connect, "127.0.0.1", port)
    client.attach()
    return client


def client_with(on_event: Callable[[Publish], None] = lambda publish: None) -> LoopClient:
    protocol = MQTTProtocolVersion.MQTTv5
    return LoopClient("service", protocol, on_event, lambda packet_id, code: None, kept_bytes=KEPT)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    connection = Connection(BrokerAccess([("127.0.0.1", port)], "service"), MQTTProtocolVersion.MQTTv5, ignored)
    await connection.open("127.0.0.1", port)
    try:
        yield connection
    finally:
        await connection.close()


async def ended(notary: Notary) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await notary.has_ended.wait()


def messages(sizes: Sequence[int]) -> list[OutboundMessage]:
    return [OutboundMessage("shop", bytes([65 + number % 26]) * size, {}) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    "sizes",
    [[1_500] * 20_000, [300_000] * 100, [JOINED_BYTES + 9, 7, 3 * JOINED_BYTES, *[100_000] * 40]],
    ids=["small", "middling", "large"],
)
async def test_what_a_full_socket_does_not_take_is_sent_when_there_is_room(sizes: list[int]) -> None:
    notary, sent = Notary(), messages(sizes)
    async with served(notary) as port:
        client = await attached(port)
        for message in sent:
            client.send(message, (), UNLIMITED)
        while client.want_write() and not notary.may_read.is_set():
            await asyncio.to_thread(lambda: None)
            notary.may_read.set()
        client.disconnect()

    assert notary.payloads == [message.payload for message in sent]
    assert [kind for kind, _ in notary.packets] == [*[wire.PUBLISH] * len(sent), wire.DISCONNECT]


async def test_a_goodbye_is_said_although_others_still_speak() -> None:
    notary = Notary()
    notary.may_read.set()
    async with served(notary) as port:
        client = await attached(port)
        before, after = messages([10, 10])
        client.send(before, (), UNLIMITED)
        client.disconnect()
        client.send(after, (), UNLIMITED)

    assert [kind for kind, _ in notary.packets] == [wire.PUBLISH, wire.DISCONNECT]
    assert notary.payloads == [before.payload]


@pytest.mark.parametrize("code", [0x87, 0x95, 0xE0], ids=["known", "known for others", "unknown"])
async def test_a_refusal_is_told_whatever_its_reason_code(code: int) -> None:
    def acknowledge(number: int) -> bytes:
        return bytes((0x40, 3, 0, number, code if number == 1 else 0))

    notary = Notary(acknowledge)
    notary.may_read.set()
    async with served(notary) as port, connected(port) as connection, asyncio.timeout(PATIENCE_SECONDS):
        first, second = (connection.publish(message) for message in messages([10, 10]))
        await second

    with pytest.raises(PublishRefused, match="Not authorized" if code == 0x87 else f"reason code 0x{code:02x}"):
        await first


async def test_a_message_that_cannot_be_handled_is_told_and_ends_the_connection() -> None:
    def fail(publish: Publish) -> None:
        raise LookupError("a mistake of ours")

    notary = Notary(lambda number: wire.publish("shop", 1, wire.NOTHING, b"{}"))
    notary.may_read.set()
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
    try:
        async with served(notary) as port:
            client = await attached(port, fail)
            client.send(messages([10])[0], (), UNLIMITED)
    finally:
        loop.set_exception_handler(None)

    assert told == ["a mistake of ours"]
    assert not client.is_attached


async def test_a_message_that_is_too_large_with_all_its_properties_is_refused() -> None:
    notary = Notary(lambda number: wire.puback(2), A_THOUSAND_BYTES)
    notary.may_read.set()
    small, *_ = messages([10])
    async with served(notary) as port, connected(port) as connection:
        too_large = connection.publish(replace(small, correlation_data=bytes(1_000)))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await connection.publish(small)

    with pytest.raises(PublishRefused, match=r"10\d\d bytes are more than the 1000 it takes"):
        await too_large
    assert notary.payloads == [small.payload]


async def test_what_nobody_waits_for_any_more_is_not_sent_when_its_turn_comes() -> None:
    notary = Notary(lambda number: wire.puback(number), ONE_AT_A_TIME)
    notary.may_read.set()
    sent = messages([10, 20, 30])
    async with served(notary) as port, connected(port) as connection, asyncio.timeout(PATIENCE_SECONDS):
        first, second, third = map(connection.publish, sent)
        second.cancel()
        await first
        await third

    assert notary.payloads == [sent[0].payload, sent[2].payload]


async def test_a_refusal_to_end_the_subscription_is_told() -> None:
    notary = Notary(lambda number: b"\xb0\x04\x00\x01\x00\x87")
    notary.may_read.set()
    async with served(notary) as port, connected(port) as connection:
        with pytest.raises(BrokerUnavailable, match="refuses to end the subscription"):
            await connection.unsubscribe(["shop"])


async def test_a_connection_that_took_long_to_make_is_used() -> None:
    notary = Notary()
    notary.may_read.set()
    async with served(notary) as port:
        client = client_with()
        await asyncio.to_thread(client.connect, "127.0.0.1", port)
        client._last_msg_out = client._last_bytes_received = 0.0
        client.attach()
        client.send(messages([10])[0], (), UNLIMITED)
        client.disconnect()

    assert len(notary.payloads) == 1


async def test_a_broker_cannot_turn_pings_off() -> None:
    notary = Notary(connack=NEVER_PING)
    async with served(notary) as port:
        client, accepted = client_with(), asyncio.Event()
        client.on_connect = lambda *_: accepted.set()
        await asyncio.to_thread(client.connect, "127.0.0.1", port, 7)
        client.attach()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await accepted.wait()
        client.release()

    assert client._keepalive == 7


async def test_a_ping_without_an_answer_ends_the_connection_although_something_arrives() -> None:
    async with served(Notary()) as port:
        client = await attached(port)
        client._ping_t = 1.0
        client._tick()

    assert not client.is_attached


async def test_nothing_is_kept_for_a_connection_that_is_gone() -> None:
    async with served(Notary()) as port:
        client = await attached(port)
        for message in messages([JOINED_BYTES] * 20):
            client.send(message, (), UNLIMITED)
        client.release()

    assert not client.want_write()


def ignored(message: InboundMessage) -> None:
    """Nobody sends any."""
