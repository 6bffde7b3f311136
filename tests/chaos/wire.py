"""MQTT 5 packets: as much as a sensor and a till need, fast enough for a load generator."""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
RECEIVE_MAXIMUM, CORRELATION_DATA, USER_PROPERTY, SESSION_EXPIRY = 0x21, 0x09, 0x26, 0x11
NEVER_SEND_RETAINED = 0x20
NOTHING = b"\x00"
SIZES = {0x01: 1, 0x02: 4, 0x11: 4, 0x13: 2, 0x17: 1, 0x19: 1, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x27: 4}
SIZES |= {0x28: 1, 0x29: 1, 0x2A: 1}
TEXTS = (0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F)


class Malformed(Exception):
    """The broker sent something that is not MQTT 5."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the broker delivers; `is_again` when it has delivered it before."""

    topic: str
    payload: bytes
    packet_id: int
    is_again: bool
    names: Mapping[str, str]
    correlation_data: bytes


def varint(number: int) -> bytes:
    """A variable byte integer."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(data: bytes | bytearray, start: int) -> tuple[int, int]:
    """The number and the place behind it; (-1, start) while it is not complete."""
    number = 0
    for index in range(4):
        if start + index >= len(data):
            return -1, start
        byte = data[start + index]
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    raise Malformed("a length of more than four bytes")


def _packet(first: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes((first,)) + varint(len(body)) + body


def _text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def connect(client_id: str, *, is_clean: bool, receive_maximum: int, keepalive: int = 30) -> bytes:
    """CONNECT, with a session that outlives the connection for an hour."""
    properties = struct.pack(">BIBH", SESSION_EXPIRY, 3600, RECEIVE_MAXIMUM, receive_maximum)
    flags = 0x02 if is_clean else 0
    head = _text("MQTT") + struct.pack(">BBH", 5, flags, keepalive)
    return _packet(CONNECT << 4, head, varint(len(properties)), properties, _text(client_id))


def subscribe(packet_id: int, topics: Sequence[str]) -> bytes:
    """SUBSCRIBE at QoS 1, without the retained messages."""
    filters = b"".join(_text(topic) + bytes((1 | NEVER_SEND_RETAINED,)) for topic in topics)
    return _packet(SUBSCRIBE << 4 | 2, struct.pack(">H", packet_id), NOTHING, filters)


def message_properties(event_id: str = "", correlation_data: bytes = b"") -> bytes:
    """The properties of a PUBLISH, with their length."""
    out = b""
    if event_id:
        out += bytes((USER_PROPERTY,)) + _text("event-id") + _text(event_id)
    if correlation_data:
        out += bytes((CORRELATION_DATA,)) + _text(correlation_data)
    return varint(len(out)) + out


def publish(topic: str, packet_id: int, properties: bytes, payload: bytes, *, is_again: bool = False) -> bytes:
    """PUBLISH at QoS 1."""
    first = PUBLISH << 4 | 0x02 | (0x08 if is_again else 0)
    return _packet(first, _text(topic), struct.pack(">H", packet_id), properties, payload)


def puback(packet_id: int) -> bytes:
    """PUBACK."""
    return struct.pack(">BBH", PUBACK << 4, 2, packet_id)


PING = bytes((PINGREQ << 4, 0))
GOODBYE = bytes((DISCONNECT << 4, 0))


def frames(buffer: bytearray) -> Iterator[tuple[int, bytes]]:
    """First byte and body of each complete packet, taken out of the buffer."""
    start = 0
    while start < len(buffer):
        length, body = _read_varint(buffer, start + 1)
        if length < 0 or body + length > len(buffer):
            break
        yield buffer[start], bytes(buffer[body : body + length])
        start = body + length
    del buffer[:start]


def receive_maximum(body: bytes) -> int:
    """What a CONNACK allows to be in flight. Raises Malformed when it refuses the connection."""
    if body[1] != 0:
        raise Malformed(f"the broker refuses the connection: {body[1]:#x}")
    length, start = _read_varint(body, 2)
    for key, value, _ in _properties(body, start, start + length):
        if key == RECEIVE_MAXIMUM:
            return int.from_bytes(value)
    return 0xFFFF


def read_publish(first: int, body: bytes) -> Received:
    """A delivered message."""
    end = 2 + int.from_bytes(body[:2])
    topic, packet_id = body[2:end].decode(), 0
    if first & 0x06:
        packet_id, end = int.from_bytes(body[end : end + 2]), end + 2
    length, start = _read_varint(body, end)
    names, correlation_data = {}, b""
    for key, value, second in _properties(body, start, start + length):
        if key == USER_PROPERTY:
            names[value.decode()] = second.decode()
        elif key == CORRELATION_DATA:
            correlation_data = value
    return Received(topic, body[start + length :], packet_id, bool(first & 0x08), names, correlation_data)


def _properties(body: bytes, at: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    while at < end:
        key, at = body[at], at + 1
        value, second = b"", b""
        if key in SIZES:
            value, at = body[at : at + SIZES[key]], at + SIZES[key]
        elif key in TEXTS:
            value, at = _sized(body, at)
        elif key == USER_PROPERTY:
            value, at = _sized(body, at)
            second, at = _sized(body, at)
        else:
            _, at = _read_varint(body, at)
        yield key, value, second


def _sized(body: bytes, at: int) -> tuple[bytes, int]:
    length = int.from_bytes(body[at : at + 2])
    return body[at + 2 : at + 2 + length], at + 2 + length
