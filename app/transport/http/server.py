"""uvicorn, with limits."""

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that waits for so long for the head of a request, and ends quietly with a client that speaks no HTTP.

    uvicorn would wait for ever, so that a thousand connections on which nothing is said would keep out everybody, those
    who ask for health too. A request that turns out to be no HTTP while it is being answered it would answer twice, and
    log the second answer as a fault.
    """

    head_seconds = HEAD_SECONDS
    _overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first request is waited for."""
        super().connection_made(cast(asyncio.Transport, transport))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """What comes in pieces while nothing is answered does not begin the time again with each."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self._overdue is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._overdue = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong, unless an answer has begun; the application's own answer is not sent any more."""
        if self.cycle is not None:
            self.cycle.disconnected = True
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()


# Options of uvicorn. h11 bounds the head of a request, httptools does not. Who sends slowly holds a connection, of
# which there are so many; the time for a body is bounded in `read_body`.
SERVER_OPTIONS: dict[str, Any] = {
    "http": BoundedProtocol,
    "h11_max_incomplete_event_size": 16 * 1024,
    "limit_concurrency": 1000,
    "timeout_keep_alive": 5,
    "ws": "none",
    "server_header": False,
    "access_log": False,
}
