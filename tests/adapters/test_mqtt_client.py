"""What goes over the wire, seen by a broker that answers CONNECT and writes down the rest."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from structlog.testing import capture_logs

from app.adapters.mqtt_client import JOINED_BYTES, LoopClient
from app.adapters.mqtt_connection import BrokerAccess, Connection
from app.adapters.mqtt_packets import Publish
from app.errors import PublishRefused
from app.ports import InboundMessage, OutboundMessage
from tests.chaos import wire

PATIENCE_SECONDS = 10.0
CONNACK = b"\x20\x03\x00\x00\x00"


class Notary:
    """Keeps the packets that follow the CONNECT; `answer` says what to reply to each.

    What comes after its first look at them it reads when it may.
    """

    def __init__(self, answer: Callable[[int], bytes] = lambda number: b"") -> None:
        self.packets: list[tuple[int, bytes]] = []
        self.may_read = asyncio.Event()
        self.has_ended = asyncio.Event()
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        buffer = bytearray()
        with closing(writer):
            while data := await reader.read(65_536):
                buffer += data
                for first, body in wire.frames(buffer):
                    if first >> 4 == wire.CONNECT:
                        writer.write(CONNACK)
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


async def attached(port: int, on_event: Callable[[Publish], None] = lambda publish: None) -> LoopClient:
    client = LoopClient("service", MQTTProtocolVersion.MQTTv5, on_event, lambda packet_id, code: None)
    await asyncio.to_thread(client.connect, "127.0.0.1", port)
    client.attach()
    return client


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
            client.send(message, ())
        while client.want_write() and not notary.may_read.is_set():
            await asyncio.to_thread(lambda: None)
            notary.may_read.set()
        client.disconnect()
        await ended(notary)

    assert notary.payloads == [message.payload for message in sent]
    assert [kind for kind, _ in notary.packets] == [*[wire.PUBLISH] * len(sent), wire.DISCONNECT]


async def test_a_goodbye_is_said_although_others_still_speak() -> None:
    notary = Notary()
    notary.may_read.set()
    async with served(notary) as port:
        client = await attached(port)
        before, after = messages([10, 10])
        client.send(before, ())
        client.disconnect()
        client.send(after, ())
        await ended(notary)

    assert [kind for kind, _ in notary.packets] == [wire.PUBLISH, wire.DISCONNECT]
    assert notary.payloads == [before.payload]


@pytest.mark.parametrize("code", [0x87, 0x95, 0xE0], ids=["known", "known for others", "unknown"])
async def test_a_refusal_is_told_whatever_its_reason_code(code: int) -> None:
    def acknowledge(number: int) -> bytes:
        return bytes((0x40, 3, 0, number, code if number == 1 else 0))

    notary = Notary(acknowledge)
    notary.may_read.set()
    async with served(notary) as port:
        connection = Connection(BrokerAccess([("127.0.0.1", port)], "service"), MQTTProtocolVersion.MQTTv5, ignored)
        await connection.open("127.0.0.1", port)
        first, second = (connection.publish(message) for message in messages([10, 10]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await second
        await connection.close()

    with pytest.raises(PublishRefused, match="Not authorized" if code == 0x87 else f"reason code 0x{code:02x}"):
        await first


async def test_a_message_that_cannot_be_handled_is_told_and_ends_the_connection() -> None:
    def fail(publish: Publish) -> None:
        raise LookupError("a mistake of ours")

    notary = Notary(lambda number: wire.publish("shop", 1, wire.NOTHING, b"{}"))
    notary.may_read.set()
    with capture_logs() as logged:
        async with served(notary) as port:
            client = await attached(port, fail)
            client.send(messages([10])[0], ())
            await ended(notary)

    assert [one["event"] for one in logged] == ["packet of the broker could not be handled"]


def ignored(message: InboundMessage) -> None:
    """Nobody sends any."""
