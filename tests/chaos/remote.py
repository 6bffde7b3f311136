"""A central and a prediction service that answer well or badly, as they are told."""

import asyncio
import zlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Literal

import orjson

from app.embedded.ports import LOOPBACK, free_port
from tests.chaos.loop import LoopThread
from tests.chaos.shop import CENTRAL_PREFIX

Mode = Literal["ok", "500", "hang", "garbage", "huge", "wrong ids", "out of range", "down"]
HUGE = 10 * 1024 * 1024
Answer = tuple[int, bytes]


class RemoteServer:
    """One HTTP server; `mode` may be changed at any time."""

    def __init__(self, loop: LoopThread, answer: Callable[[str, bytes, Mode], Answer]) -> None:
        self.port = free_port()
        self.requests = 0
        self._answer = answer
        self._mode: Mode = "ok"
        self._loop = loop
        self._writers: set[StreamWriter] = set()
        self._thaw = loop.ask(asyncio.Event)
        self._server = loop.run(asyncio.start_server(self._serve, LOOPBACK, self.port))

    def turn(self, mode: Mode) -> None:
        """Answer so from now on."""
        self._loop.ask(lambda: self._turn(mode))

    def close(self) -> None:
        """Hang up and leave the port."""
        self._loop.ask(self._server.close)
        self.turn("down")

    def _turn(self, mode: Mode) -> None:
        self._mode = mode
        self._thaw.set()
        self._thaw = asyncio.Event()
        if mode == "down":
            for writer in self._writers:
                writer.transport.abort()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, EOFError, ValueError):
            while self._mode != "down":
                path, body = await _read_request(reader)
                self.requests += 1
                if self._mode == "hang":
                    await self._thaw.wait()
                    break
                writer.write(self._response(path, body))
                await writer.drain()
        self._writers.discard(writer)
        writer.transport.abort() if self._mode == "down" else writer.close()

    def _response(self, path: str, body: bytes) -> bytes:
        status, content = 500, b"out of order"
        match self._mode:
            case "500" | "hang" | "down":
                pass
            case "garbage":
                status, content = 200, b"\x00\xff{]" * 8
            case "huge":
                status, content = 200, b"[" + b" " * HUGE + b"]"
            case "ok" | "wrong ids" | "out of range":
                status, content = self._answer(path, body, self._mode)
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        return head.encode() + content


async def _read_request(reader: StreamReader) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return head.split(" ")[1], await reader.readexactly(length)


def central_answer(path: str, body: bytes, mode: Mode) -> Answer:
    """The context of every customer that the central alone knows."""
    customer_id = path.rpartition("/")[2]
    if not customer_id.startswith(CENTRAL_PREFIX):
        return 404, b"{}"
    age = 18 + zlib.crc32(customer_id.encode()) % 60
    context: Mapping[str, object] = {"customer_id": customer_id, "gender": "F", "age": age, "mean_buy_price": 20.5}
    return 200, orjson.dumps(context)


def scorer_answer(path: str, body: bytes, mode: Mode) -> Answer:
    """A probability for each coupon asked about, or about others, or none at all."""
    coupons = [str(coupon["coupon_id"]) for coupon in orjson.loads(body)["coupons"]]
    lines = [{"coupon_id": one, "prediction": zlib.crc32(one.encode()) % 1000 / 1000} for one in coupons]
    if mode == "wrong ids":
        lines = [{**line, "coupon_id": f"no-{line['coupon_id']}"} for line in lines]
    elif mode == "out of range":
        lines = [{**line, "prediction": 1.7} for line in lines]
    return 200, orjson.dumps(lines)
