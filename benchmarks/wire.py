"""A connection for load: packets are made beforehand, sent when the socket takes them, and read in bulk."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from select import select

from app.embedded.ports import LOOPBACK
from tests.chaos import wire

PATIENCE_SECONDS = 10.0
READ_BYTES = 1 << 18
RECEIVE_BUFFER_BYTES = 1 << 22


class Wire:
    """One MQTT 5 connection; `out` is what is still to be sent."""

    def __init__(self, port: int, client_id: str) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), PATIENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.socket.setblocking(False)
        self.out = bytearray(wire.connect(client_id, is_clean=True, receive_maximum=0xFFFF, keepalive=0))
        self._in = bytearray()
        self._last_packet_id = 0
        self._wait_for(wire.CONNACK)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.flush()
            if not self.out:  # else it is cut: a broker that is too slow would keep us waiting
                self.socket.send(wire.GOODBYE)
        self.socket.close()

    def fileno(self) -> int:
        """For select."""
        return self.socket.fileno()

    def subscribe(self, topic: str) -> None:
        """At QoS 1; returns when the broker has agreed."""
        self.out += wire.subscribe(self.packet_id(), [topic])
        self._wait_for(wire.SUBACK)

    def packet_id(self) -> int:
        """The next one."""
        self._last_packet_id = self._last_packet_id % 0xFFFF + 1
        return self._last_packet_id

    def flush(self) -> None:
        """Send what the socket takes."""
        while self.out:
            try:
                sent = self.socket.send(self.out)
            except BlockingIOError:
                return
            del self.out[:sent]

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Kind and body of the packets that have arrived; messages are acknowledged."""
        try:
            while data := self.socket.recv(READ_BYTES):
                self._in += data
                if len(data) < READ_BYTES:
                    break
            else:
                raise ConnectionError("the broker has closed the connection")
        except BlockingIOError:
            pass
        for first, body in wire.frames(self._in):
            kind = first >> 4
            if kind == wire.PUBLISH and first & 0x06:
                end_of_topic = 2 + int.from_bytes(body[:2])
                self.out += b"\x40\x02" + body[end_of_topic : end_of_topic + 2]
            yield kind, body
        self.flush()

    def _wait_for(self, wanted: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            self.flush()
            select([self], [], [], 0.1)
            for kind, body in self.read():
                if kind == wanted:
                    if kind == wire.CONNACK:
                        wire.receive_maximum(body)  # raises when the broker refuses
                    return
        raise TimeoutError(f"the broker did not answer: packet {wanted}")
