"""uvicorn, with limits."""

from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 that ends quietly with a client whose request turns out to be no HTTP while it is being answered.

    uvicorn would answer such a request twice, and log the second answer as a fault.
    """

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
