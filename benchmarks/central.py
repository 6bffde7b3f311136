"""A central that knows everybody, and answers after a millisecond."""

import asyncio
import sys
from asyncio import Transport
from typing import cast

import uvloop

from app.embedded.ports import LOOPBACK

SECONDS = 0.001
CONTEXT = b'{"gender":"F","age":34,"mean_buy_price":28.5,"total_coupons_used":11,"total_items_bought":90}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(CONTEXT), CONTEXT)


class Central(asyncio.Protocol):
    """One connection, one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it to answer on."""
        self._transport = cast(Transport, transport)
        self._head = b""

    def data_received(self, data: bytes) -> None:
        """Answer a request when it is whole."""
        self._head += data
        if self._head.endswith(b"\r\n\r\n"):
            self._head = b""
            asyncio.get_running_loop().call_later(SECONDS, self._transport.write, ANSWER)


async def main(port: int) -> None:
    """Serve until stopped."""
    server = await asyncio.get_running_loop().create_server(Central, LOOPBACK, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
