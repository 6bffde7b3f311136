"""An MQTT client that comes back whenever it can."""

import asyncio
from asyncio import Future, Transport
from contextlib import suppress
from typing import cast

from app.embedded.ports import LOOPBACK
from tests.chaos import wire

AGAIN_SECONDS = 0.1
ACCEPT_SECONDS = 5.0
PING_SECONDS = 10.0


class Client(asyncio.Protocol):
    """One client id; `takes_session` keeps what the broker has for it over a lost connection."""

    def __init__(self, port: int, client_id: str, *, takes_session: bool, receive_maximum: int = 1000) -> None:
        self._port = port
        self._client_id = client_id
        self._takes_session = takes_session
        self._receive_maximum = receive_maximum
        self._is_first = True
        self._buffer = bytearray()
        self._transport: Transport | None = None
        self._lost: Future[None] | None = None

    async def run(self) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._lost = loop.create_future()
                with suppress(OSError):
                    await loop.create_connection(lambda: self, LOOPBACK, self._port)
                    await self._live(self._lost)
                await asyncio.sleep(AGAIN_SECONDS)
        finally:
            if self._transport is not None:
                self._transport.write(wire.GOODBYE)
                self._transport.close()

    async def _live(self, lost: "Future[None]") -> None:
        while not lost.done():
            await asyncio.wait((lost,), timeout=PING_SECONDS)
            if not lost.done():
                self.write(wire.PING)

    @property
    def is_connected(self) -> bool:
        """Whether packets can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send, if there is a connection."""
        if self._transport is not None:
            self._transport.write(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Introduce itself."""
        self._buffer.clear()
        is_clean = self._is_first or not self._takes_session
        first = wire.connect(self._client_id, is_clean=is_clean, receive_maximum=self._receive_maximum)
        cast(Transport, transport).write(first)
        self._opening = cast(Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read the packets."""
        self._buffer += data
        for first, body in wire.frames(self._buffer):
            if first >> 4 == wire.CONNACK:
                self._is_first = False
                self._transport = self._opening
                self.on_connected(wire.receive_maximum(body))
            else:
                self.on_packet(first, body)
        self.on_read()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._transport = None
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def on_connected(self, window: int) -> None:
        """The broker has accepted; so many messages may be in flight."""

    def on_packet(self, first: int, body: bytes) -> None:
        """A packet has arrived."""

    def on_read(self) -> None:
        """All packets that had arrived have been handed over."""
