"""How inputs reach the service: pipelined MQTT connections, connections thrown away, and raw HTTP."""

import asyncio
import os
from asyncio import Future, StreamReader, StreamWriter, Task
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.hostile import wire
from tests.hostile.inputs import Input

PATIENCE_SECONDS = 60.0
HEADER_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CONNECTION_LOST = (OSError, asyncio.IncompleteReadError)


class BrokerHungUp(Exception):
    """The broker has closed a connection that did nothing wrong."""


class Publisher:
    """One connection that publishes, many messages at a time."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, version: int, window: int) -> None:
        self._reader, self._writer, self._version = reader, writer, version
        self._slots = asyncio.Semaphore(window)
        self._free = list(range(window, 0, -1))
        self._waiting: dict[int, Future[None]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, port: int, version: int) -> "Publisher":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(wire.connect(f"fuzzer-{os.urandom(4).hex()}", version))
        answer = await wire.read(reader)
        window = wire.receive_maximum(answer.body) if version == 5 else 1_000
        return cls(reader, writer, version, min(window, 1_000))

    async def publish(self, topic: str, one: Input) -> "Future[None]":
        """Send it; the future is done when the broker has acknowledged."""
        if self._reading.done():
            raise BrokerHungUp(f"the broker has hung up before input {one.number}")
        done: Future[None] = asyncio.get_running_loop().create_future()
        packet_id = 0
        if one.qos:
            await self._slots.acquire()
            packet_id = self._free.pop()
            self._waiting[packet_id] = done
        else:
            done.set_result(None)
        properties = one.properties if self._version == 5 else None
        self._writer.write(wire.publish(topic.encode(), one.payload, one.qos, one.is_retained, packet_id, properties))
        await self._writer.drain()
        return done

    async def _read(self) -> None:
        try:
            while True:
                packet = await wire.read(self._reader)
                packet_id = int.from_bytes(packet.body[:2])
                if packet.kind == wire.PUBREC:
                    self._writer.write(wire.acknowledge(wire.PUBREL, packet_id))
                elif packet.kind in (wire.PUBACK, wire.PUBCOMP):
                    self._waiting.pop(packet_id).set_result(None)
                    self._free.append(packet_id)
                    self._slots.release()
        except CONNECTION_LOST:
            for future in self._waiting.values():
                future.set_exception(BrokerHungUp("the broker has hung up"))

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        await close(self._writer)


async def publish_alone(port: int, topic: str, one: Input) -> bool:
    """Send it over a connection of its own; whether the broker has taken it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(wire.connect(f"rough-{os.urandom(4).hex()}", 5))
        await wire.read(reader)
        writer.write(wire.publish(topic.encode(), one.payload, 1, one.is_retained, 1, one.properties))
        async with asyncio.timeout(PATIENCE_SECONDS):
            return (await wire.read(reader)).kind == wire.PUBACK
    except CONNECTION_LOST:
        return False
    finally:
        await close(writer)


class Listener:
    """Hears everything that is published, whoever publishes it."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, hear: Callable[[wire.Heard], None]) -> None:
        self._reader, self._writer, self._hear = reader, writer, hear
        self.listening: Task[None] = asyncio.create_task(self._listen())

    @classmethod
    async def connect(cls, port: int, hear: Callable[[wire.Heard], None]) -> "Listener":
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(wire.connect(f"listener-{os.urandom(4).hex()}", 5))
        await wire.read(reader)
        writer.write(wire.subscribe("#"))
        await wire.read(reader)
        return cls(reader, writer, hear)

    async def _listen(self) -> None:
        while True:
            packet = await wire.read(self._reader)
            if packet.kind == wire.PUBLISH:
                heard = wire.heard(packet)
                if heard.packet_id:
                    self._writer.write(wire.acknowledge(wire.PUBACK, heard.packet_id))
                self._hear(heard)

    async def close(self) -> None:
        self.listening.cancel()
        await asyncio.wait((self.listening,))
        await close(self._writer)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer over HTTP; status 0: none."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def request(port: int, raw: bytes, patience_seconds: float) -> Answer:
    """Send a request as it is, and read the answer to its end, or as long as patience lasts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.create_task(_write(writer, raw))
    answer = bytearray()
    try:
        async with asyncio.timeout(patience_seconds):
            while chunk := await reader.read(1 << 16):
                answer += chunk
    except (OSError, TimeoutError):
        pass  # the server need not read to its end what it has refused, nor wait for what does not come
    finally:
        sending.cancel()
        await asyncio.wait((sending,))
        await close(writer)
    return _parsed(bytes(answer))


async def _write(writer: StreamWriter, raw: bytes) -> None:
    with suppress(OSError):
        writer.write(raw)
        await writer.drain()


def _parsed(raw: bytes) -> Answer:
    head, _, body = raw.removeprefix(CONTINUE).partition(HEADER_END)
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) < 2 or not words[1].isdigit():
        return Answer(0)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(words[1]), headers, body)


async def close(writer: StreamWriter) -> None:
    """Hang up."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()
