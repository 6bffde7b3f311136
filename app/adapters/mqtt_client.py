"""paho's client on the event loop, with the packets of every event read and written here.

paho connects, subscribes, pings and says goodbye. What there is one of for every event goes past its bookkeeping, which
keeps messages to send them again on the next connection, and reads a socket a few bytes at a time.
"""

import asyncio
import socket
import ssl
from asyncio import TimerHandle
from collections.abc import Callable, Container
from contextlib import ExitStack, suppress
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from app.adapters.mqtt_packets import Publish, Unreadable, read_puback, read_publish, write_publish
from app.ports import OutboundMessage

log = structlog.get_logger(__name__)

CONNECT_SECONDS = 5.0
TICK_SECONDS = 1.0
READ_BYTES = 1 << 16
JOINED_BYTES = 1 << 20
DISCONNECT = 0xE0


class LoopClient(paho.Client):
    """paho without its thread: `connect` may block, and then `attach` gives the socket to the event loop.

    `on_event` is told of messages and `on_acknowledged` of the packet ids and reason codes of those that were sent.
    `tls_error` is what TLS said last: paho keeps it to itself.
    """

    def __init__(
        self,
        client_id: str,
        protocol: MQTTProtocolVersion,
        on_event: Callable[[Publish], None],
        on_acknowledged: Callable[[int, int], None],
        *,
        is_clean: bool = False,
    ) -> None:
        self._has_properties = protocol is MQTTProtocolVersion.MQTTv5
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=protocol,
            clean_session=None if self._has_properties else is_clean,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self.connect_timeout = CONNECT_SECONDS
        self.tls_error: ssl.SSLError | None = None
        self._on_event = on_event
        self._on_acknowledged = on_acknowledged
        self._event_loop = asyncio.get_running_loop()
        self._attached: int | None = None
        self._is_watching_for_room = False
        self._ticking: TimerHandle | None = None
        self._unread = b""
        self._read_to = 0
        self._may_receive = False
        self.on_socket_open = _send_at_once
        self.on_socket_close = self._detach
        self.on_socket_register_write = self._write_soon

    @property
    def is_attached(self) -> bool:
        """Whether there is a connection to say something on."""
        return self._attached is not None

    def attach(self) -> None:
        """From now on the event loop, which this must be called on, reads and writes."""
        if (sock := self.socket()) is None:
            return
        self._attached = sock.fileno()
        self._event_loop.add_reader(self._attached, self._read)
        self._tick()
        self._read()  # what TLS has to say comes before an error in writing
        self._write()

    def release(self) -> None:
        """Close the socket, whatever is still to be sent."""
        self._sock_close()

    def send(self, message: OutboundMessage, in_flight: Container[int]) -> int:
        """Publish at QoS 1; the packet id by which `on_acknowledged` tells of it, none of those. Raises ValueError."""
        while (packet_id := self._mid_generate()) in in_flight:
            pass
        packet = write_publish(message, packet_id, has_properties=self._has_properties)
        self._packet_queue(packet[0], packet, packet_id, 1)
        return packet_id

    def _detach(self, *_: object) -> None:
        if self._attached is None:
            return
        self._event_loop.remove_reader(self._attached)
        self._event_loop.remove_writer(self._attached)
        self._attached = None
        if self._ticking is not None:
            self._ticking.cancel()

    def _tick(self) -> None:
        self.loop_misc()
        if self._attached is not None:
            self._ticking = self._event_loop.call_later(TICK_SECONDS, self._tick)

    def _read(self) -> None:
        """Handle what has arrived: one reading of the socket at a time, for others have a turn too."""
        self._may_receive = True
        self.loop_read()
        while self._attached is not None and self._read_to < len(self._unread):
            self.loop_read()
        sock = self.socket()
        if isinstance(sock, ssl.SSLSocket) and sock.pending():  # TLS has taken it from the socket already
            self._event_loop.call_soon(self._read_if_attached)

    def _read_if_attached(self) -> None:
        if self._attached is not None:
            self._read()

    def _write_soon(self, *_: object) -> None:
        """What is sent in one turn of the loop goes to the socket at once."""
        if self._attached is not None:
            self._event_loop.call_soon(self._write)

    def _write(self) -> None:
        if self._attached is None:
            return
        self.loop_write()
        if self._attached is not None and self.want_write() != self._is_watching_for_room:
            self._is_watching_for_room = not self._is_watching_for_room
            if self._is_watching_for_room:
                self._event_loop.add_writer(self._attached, self._write)
            else:
                self._event_loop.remove_writer(self._attached)

    def _packet_write(self) -> MQTTErrorCode:
        """As paho does it, which gives every packet to the socket alone, with the first ones made one.

        A DISCONNECT stays alone, for paho closes the connection after it.
        """
        queue, parts, size = self._out_packet, list[bytes | bytearray](), 0
        while queue and queue[0]["command"] & 0xF0 != DISCONNECT and size + queue[0]["to_process"] <= JOINED_BYTES:
            last = queue.popleft()
            parts.append(last["packet"][last["pos"] :])
            size += last["to_process"]
        if parts:
            queue.appendleft({**last, "pos": 0, "to_process": size, "packet": b"".join(parts)})
        return super()._packet_write()

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._read_to == len(self._unread):
            if not self._may_receive:
                raise BlockingIOError
            self._may_receive = False
            try:
                self._unread, self._read_to = super()._sock_recv(READ_BYTES), 0
            except ssl.SSLError as error:  # in TLS 1.3 a client certificate is refused only after the handshake
                self.tls_error = error
                raise
        read = self._unread[self._read_to : self._read_to + bufsize]
        self._read_to += len(read)
        return read

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        self._on_event(read_publish(self._in_packet["command"], packet, has_properties=self._has_properties))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: str) -> MQTTErrorCode:
        self._on_acknowledged(*read_puback(self._in_packet["packet"]))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _packet_handle(self) -> MQTTErrorCode:
        """Hang up on a packet that cannot be read, and on one that cannot be handled: paho would handle it again."""
        try:
            return super()._packet_handle()
        except MalformedPacket:
            raise
        except Exception as error:
            if not isinstance(error, Unreadable):
                log.exception("packet of the broker could not be handled")
            raise MalformedPacket(str(error)) from error

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        """As paho does it, which leaves a socket whose handshake fails to the garbage collector."""
        if self._ssl_context is None:
            raise ValueError("TLS has no terms")
        with ExitStack() as undo:
            sock = self._ssl_context.wrap_socket(tcp_sock, server_hostname=self._host, do_handshake_on_connect=False)
            undo.callback(sock.close)
            sock.settimeout(CONNECT_SECONDS)
            sock.do_handshake()
            undo.pop_all()
        return sock


def _send_at_once(client: paho.Client, userdata: object, sock: Any) -> None:
    """Turn off Nagle's algorithm, which holds small packets back for up to 40 ms."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
