"""paho's client, mended where messages or certificates of others would stop it."""

import socket
import ssl
import struct
from contextlib import ExitStack

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket

from app.adapters.mqtt_properties import with_names_alone, without_properties

CONNECT_SECONDS = 5.0


class LenientClient(paho.Client):
    """paho, which reads no properties but those that may name an event (see `mqtt_properties`).

    It hangs up when one of these holds U+FEFF, which MQTT 5 allows: the broker would send that message for ever. Such a
    message is read without its properties. `tls_error` is what TLS said last: paho keeps it to itself.
    """

    tls_error: ssl.SSLError | None = None

    def release(self) -> None:
        """Close the pair of sockets that wakes paho's thread; paho leaves it to the garbage collector."""
        self._reset_sockets()

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

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            return super()._sock_recv(bufsize)
        except ssl.SSLError as error:  # in TLS 1.3 a client certificate is refused only after the handshake
            self.tls_error = error
            raise

    def _packet_handle(self) -> MQTTErrorCode:
        """Hang up on a packet that cannot be read: its thread would die of the error, and nobody would hear of it."""
        try:
            return super()._packet_handle()
        except (IndexError, ValueError, struct.error) as error:
            raise MalformedPacket(str(error)) from error

    def _handle_publish(self) -> MQTTErrorCode:
        if self._protocol is not MQTTProtocolVersion.MQTTv5:
            return super()._handle_publish()
        command, packet = self._in_packet["command"], self._in_packet["packet"]
        try:
            self._in_packet["packet"] = with_names_alone(command, packet)
            return super()._handle_publish()
        except MalformedPacket:
            self._in_packet["packet"] = without_properties(command, packet)
            return super()._handle_publish()
