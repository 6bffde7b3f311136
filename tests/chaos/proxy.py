"""A TCP line that can be cut, silenced, slowed down or refused."""

import asyncio
import contextlib
import socket
import struct
from asyncio import StreamReader, StreamWriter

from app.embedded.ports import LOOPBACK, free_port
from tests.chaos.loop import LoopThread

CHUNK = 1 << 16
RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class FaultProxy:
    """Forwards connections at `port` to the target port, until it is told to do worse."""

    def __init__(self, loop: LoopThread, target_port: int) -> None:
        self.port = free_port()
        self._loop = loop
        self._target_port = target_port
        self._lines: set[StreamWriter] = set()
        self._delay_seconds = 0.0
        self._refuses = False
        self._passes = loop.ask(asyncio.Event)
        loop.ask(self._passes.set)
        self._server = loop.run(asyncio.start_server(self._serve, LOOPBACK, self.port))

    @property
    def connections(self) -> int:
        """How many lines are open."""
        return len(self._lines) // 2

    def reset(self) -> None:
        """Cut all connections, with a reset to both ends."""
        self._loop.ask(self._reset)

    def blackhole(self, is_on: bool) -> None:
        """Accept, and forward nothing either way; what has been swallowed is gone, and so are the lines afterwards."""
        self._loop.ask(self._passes.clear if is_on else self._pass_again)

    def hold(self, is_on: bool) -> None:
        """Forward nothing either way for a while, and then all of it, as TCP does when a cable is plugged in again."""
        self._loop.ask(self._passes.clear if is_on else self._passes.set)

    def delay(self, seconds: float) -> None:
        """Hold each chunk back for so long."""
        self._delay_seconds = seconds

    def refuse(self, is_on: bool) -> None:
        """Cut all connections, and each new one."""
        self._refuses = is_on
        if is_on:
            self.reset()

    def heal(self) -> None:
        """Forward as usual."""
        self.delay(0)
        self.refuse(False)
        self._loop.ask(self._pass_again)

    def close(self) -> None:
        """Cut everything and leave the port."""
        self._loop.ask(self._server.close)
        self.reset()

    def _pass_again(self) -> None:
        if not self._passes.is_set():
            self._reset()  # a line that has lost bytes is of no use
            self._passes.set()

    def _reset(self) -> None:
        for writer in tuple(self._lines):
            _reset(writer)
        self._lines.clear()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._refuses:
            _reset(writer)
            return
        self._lines.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        except OSError:
            self._lines.discard(writer)
            _reset(writer)
            return
        if writer not in self._lines:  # it was cut meanwhile
            _reset(far_writer)
            return
        self._lines.add(far_writer)
        try:
            await asyncio.gather(self._forward(reader, far_writer), self._forward(far_reader, writer))
        finally:
            self._lines -= {writer, far_writer}

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._passes.wait()
                writer.write(chunk)
                await writer.drain()
        writer.close()


def _reset(writer: StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
    writer.transport.abort()
