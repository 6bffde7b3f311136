"""The link over its connections, against a broker that is played."""

import asyncio
from asyncio import StreamReader, StreamWriter

from app.adapters.mqtt import MqttLink
from app.adapters.mqtt_connection import BrokerAccess

CONNECT, SUBSCRIBE = 1, 8
CONNACK_RESUMED = bytes((0x20, 3, 1, 0, 0))
NOT_AUTHORISED = 0x87
EVENT = b"\x00\x0ecustomer/focus\x00\x01\x00{}"


async def read_packet(reader: StreamReader) -> tuple[int, bytes]:
    """Kind and body; none of these is longer than 127 bytes."""
    first, length = await reader.readexactly(2)
    return first >> 4, await reader.readexactly(length)


class RefusingBroker:
    """Goes on with the session, delivers what it has, and then grants no subscription."""

    def __init__(self) -> None:
        self.connections = 0
        self.has_seen_three = asyncio.Event()

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        if self.connections == 3:
            self.has_seen_three.set()
        try:
            while True:
                kind, body = await read_packet(reader)
                if kind == CONNECT:
                    writer.write(CONNACK_RESUMED + bytes((0x32, len(EVENT))) + EVENT)
                elif kind == SUBSCRIBE:
                    writer.write(bytes((0x90, 4)) + body[:2] + bytes((0, NOT_AUTHORISED)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


async def test_events_of_connections_that_came_to_nothing_are_not_kept() -> None:
    broker = RefusingBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
    link = MqttLink(
        BrokerAccess([("127.0.0.1", server.sockets[0].getsockname()[1])], "x", keepalive_seconds=10),
        ["customer/focus"],
        lambda problem: None,
    )
    async with server:
        running = asyncio.create_task(link.run())
        async with asyncio.timeout(60):
            await broker.has_seen_three.wait()
        waiting = link.waiting
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert waiting <= 1
