"""paho's client on the event loop, with the packets of every event read and written here.

paho connects, subscribes, pings and says goodbye. What there is one of for every event goes past it: it reads a socket
a few bytes at a time, writes each packet alone, and keeps messages to send them again on the next connection.
"""

import asyncio
import socket
import ssl
from asyncio import TimerHandle
from collections.abc import Callable, Container
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from app.adapters.mqtt_packets import (
    Publish,
    Unreadable,
    Unwritable,
    read_puback,
    read_publish,
    take_packets,
    write_puback,
    write_publish,
)
from app.ports import OutboundMessage

CONNECT_SECONDS = 5.0
TICK_SECONDS = 1.0
READ_BYTES = 1 << 16
JOINED_BYTES = 1 << 20
PUBLISH, PUBACK, KIND_BITS = 0x30, 0x40, 0xF0


class LoopClient(paho.Client):
    """paho without its thread: `connect` may block, and then `attach` gives the socket to the event loop.

    `on_event` is told of messages and `on_acknowledged` of the packet ids and reason codes of those that were sent.
    Of their payloads, so many bytes are kept. `tls_error` is what TLS said last: paho keeps it to itself.
    """

    def __init__(
        self,
        client_id: str,
        protocol: MQTTProtocolVersion,
        on_event: Callable[[Publish], None],
        on_acknowledged: Callable[[int, int], None],
        *,
        kept_bytes: int,
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
        self._kept_bytes = kept_bytes
        self._on_event = on_event
        self._on_acknowledged = on_acknowledged
        self._event_loop = asyncio.get_running_loop()
        self._attached: int | None = None
        self._is_watching_for_room = False
        self._ticking: TimerHandle | None = None
        self._unread = bytearray()
        self._unsaid: list[bytes] = []
        self._unsaid_bytes = 0
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
        # Connecting may have taken longer than a keepalive.
        self._last_msg_out = self._last_bytes_received = monotonic()
        self._event_loop.add_reader(self._attached, self._read)
        self._tick()
        self._event_loop.call_soon(self._read_if_attached)  # what TLS has to say comes before an error in writing
        self._write_soon()

    def release(self) -> None:
        """Close the socket, whatever is still to be sent."""
        self._sock_close()
        for left in (self._out_packet, self._unsaid, self._unread):  # megabytes may wait for a broker that is too slow
            left.clear()

    def send(self, message: OutboundMessage, in_flight: Container[int], max_bytes: int) -> int:
        """Publish at QoS 1; the packet id by which `on_acknowledged` tells of it, none of those in flight.

        Raises Unwritable, also for a packet of more than `max_bytes`.
        """
        while (packet_id := self._mid_generate()) in in_flight:
            pass
        packet = write_publish(message, packet_id, has_properties=self._has_properties)
        if len(packet) > max_bytes:
            raise Unwritable(f"{len(packet)} bytes are more than the {max_bytes} it takes")
        self._say(packet)
        return packet_id

    def acknowledge(self, packet_id: int) -> None:
        """Tell the broker that a message is done."""
        self._say(write_puback(packet_id))

    def _detach(self, *_: object) -> None:
        if self._attached is None:
            return
        self._event_loop.remove_reader(self._attached)
        self._event_loop.remove_writer(self._attached)
        self._attached = None
        if self._ticking is not None:
            self._ticking.cancel()

    def _handle_connack(self) -> MQTTErrorCode:
        """A broker may ask for more pings, but not for fewer: then its end would not be noticed."""
        asked = self._keepalive
        answer = super()._handle_connack()
        self._keepalive = min(self._keepalive or asked, asked)
        return answer

    def _tick(self) -> None:
        if self._ping_t and monotonic() - self._ping_t >= self._keepalive:
            self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_KEEPALIVE)  # paho would ping again while anything arrives
            return
        self.loop_misc()
        if self._attached is not None:
            self._ticking = self._event_loop.call_later(TICK_SECONDS, self._tick)

    def _read(self) -> None:
        """Handle what has arrived: one reading of the socket at a time, for others have a turn too."""
        try:
            data = self._sock_recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if isinstance(error, ssl.SSLError):  # in TLS 1.3 a client certificate is refused only after the handshake
                self.tls_error = error
            data = b""
        if not data:
            self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
            return
        self._last_bytes_received = monotonic()
        self._unread += data
        with ExitStack() as undo:  # a packet that cannot be handled would otherwise be handled again and again
            undo.callback(self._loop_rc_handle, MQTTErrorCode.MQTT_ERR_PROTOCOL)
            problem = self._handle_all()
            undo.pop_all()
        if problem != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._loop_rc_handle(problem)
            return
        sock = self.socket()
        if isinstance(sock, ssl.SSLSocket) and sock.pending():  # TLS has taken it from the socket already
            self._event_loop.call_soon(self._read_if_attached)

    def _handle_all(self) -> MQTTErrorCode:
        """What there is of whole packets; an error to hang up with at one that cannot be read."""
        try:
            for first, body in take_packets(self._unread):
                problem = self._handle(first, body)
                if problem != MQTTErrorCode.MQTT_ERR_SUCCESS or self._attached is None:
                    return problem
        except (MalformedPacket, Unreadable):
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle(self, first: int, body: bytes) -> MQTTErrorCode:
        if first & KIND_BITS == PUBLISH:
            self._on_event(read_publish(first, body, self._kept_bytes, has_properties=self._has_properties))
        elif first & KIND_BITS == PUBACK:
            self._on_acknowledged(*read_puback(body))
        else:
            self._in_packet["command"], self._in_packet["pos"] = first, 0
            self._in_packet["packet"], self._in_packet["remaining_length"] = bytearray(body), len(body)
            return self._packet_handle()
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _read_if_attached(self) -> None:
        if self._attached is not None:
            self._read()

    def _say(self, packet: bytes) -> None:
        """What is said in one turn of the loop goes to the socket at once."""
        self._unsaid.append(packet)
        self._unsaid_bytes += len(packet)
        if self._unsaid_bytes > JOINED_BYTES:
            self._hand_over()
        elif len(self._unsaid) == 1:
            self._write_soon()

    def _hand_over(self) -> None:
        """To paho, as one packet."""
        packet = b"".join(self._unsaid)
        self._unsaid.clear()
        self._unsaid_bytes = 0
        super()._packet_queue(packet[0], packet, 0, 1)

    def _packet_queue(self, *packet: Any, **more: Any) -> MQTTErrorCode:
        """What was said before a packet of paho's leaves before it."""
        if self._unsaid:
            self._hand_over()
        return super()._packet_queue(*packet, **more)

    def _write_soon(self, *_: object) -> None:
        if self._attached is not None:
            self._event_loop.call_soon(self._write)

    def _write(self) -> None:
        if self._attached is None:
            return
        if self._unsaid:
            self._hand_over()
        self.loop_write()
        if self._attached is not None and self.want_write() != self._is_watching_for_room:
            self._is_watching_for_room = not self._is_watching_for_room
            if self._is_watching_for_room:
                self._event_loop.add_writer(self._attached, self._write)
            else:
                self._event_loop.remove_writer(self._attached)

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
