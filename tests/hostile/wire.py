"""MQTT packets, written byte by byte: a proper client library would refuse to send most of what is sent here."""

import asyncio
import struct
from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK = range(1, 10)
PINGREQ, DISCONNECT = 12, 14
PAYLOAD_FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION = 0x01, 0x02, 0x03, 0x08, 0x09
RECEIVE_MAXIMUM, TOPIC_ALIAS, USER_PROPERTY = 0x21, 0x23, 0x26
SIZES = {0x01: 1, 0x02: 4, 0x11: 4, 0x12: -1, 0x13: 2, 0x21: 2, 0x22: 2, 0x23: 2, 0x24: 1, 0x25: 1, 0x27: 4, 0x28: 1}
SIZES |= {0x29: 1, 0x2A: 1, 0x03: -1, 0x08: -1, 0x09: -1, 0x1A: -1, 0x1C: -1, 0x1F: -1}


@dataclass(frozen=True, slots=True)
class Packet:
    """What came from the broker."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that was published: its topic, payload, packet id and the properties that matter here."""

    topic: str
    payload: bytes
    packet_id: int
    correlation: bytes | None
    user: dict[str, str]


def varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def packet(kind: int, flags: int, body: bytes) -> bytes:
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def connect(client_id: str, version: int) -> bytes:
    properties = b"" if version < 5 else varint(3) + bytes([RECEIVE_MAXIMUM]) + struct.pack(">H", 60_000)
    header = text(b"MQTT") + bytes([version, 0x02]) + struct.pack(">H", 0) + properties
    return packet(CONNECT, 0, header + text(client_id.encode()))


def subscribe(topic: str) -> bytes:
    return packet(SUBSCRIBE, 2, b"\0\1" + b"\0" + text(topic.encode()) + b"\1")


def publish(
    topic: bytes, payload: bytes, qos: int, is_retained: bool, packet_id: int, properties: bytes | None
) -> bytes:
    """`properties` are encoded already; None for MQTT 3.1.1."""
    head = text(topic) + (struct.pack(">H", packet_id) if qos else b"")
    if properties is not None:
        head += varint(len(properties)) + properties
    return packet(PUBLISH, qos << 1 | is_retained, head + payload)


def acknowledge(kind: int, packet_id: int) -> bytes:
    return packet(kind, 2 if kind == PUBREL else 0, struct.pack(">H", packet_id))


async def read(stream: asyncio.StreamReader) -> Packet:
    """The next packet. Raises asyncio.IncompleteReadError or OSError where the broker has hung up."""
    first = (await stream.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await stream.readexactly(1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return Packet(first >> 4, first & 0x0F, await stream.readexactly(length))


def receive_maximum(connack: bytes) -> int:
    """How many messages the broker wants at a time, from an answer of MQTT 5."""
    _, start = _number(connack, 2)
    while start < len(connack):
        kind, start = connack[start], start + 1
        if kind == RECEIVE_MAXIMUM:
            return int.from_bytes(connack[start : start + 2])
        start += SIZES[kind] if SIZES[kind] > 0 else 2 + int.from_bytes(connack[start : start + 2])
    return 65_535


def heard(one: Packet) -> Heard:
    """Read a PUBLISH of MQTT 5."""
    body = one.body
    topic, position = _text(body, 0)
    packet_id = 0
    if one.flags & 0x06:
        packet_id, position = int.from_bytes(body[position : position + 2]), position + 2
    length, position = _number(body, position)
    end = position + length
    correlation, user = None, {}
    while position < end:
        kind, position = body[position], position + 1
        if kind == USER_PROPERTY:
            key, position = _text(body, position)
            value, position = _text(body, position)
            user[key.decode()] = value.decode()
        elif SIZES[kind] > 0:
            position += SIZES[kind]
        else:
            value, position = _text(body, position)
            correlation = value if kind == CORRELATION else correlation
    return Heard(topic.decode(), body[end:], packet_id, correlation, user)


def _text(body: bytes, start: int) -> tuple[bytes, int]:
    end = start + 2 + int.from_bytes(body[start : start + 2])
    return body[start + 2 : end], end


def _number(body: bytes, start: int) -> tuple[int, int]:
    number = 0
    for place in range(4):
        byte = body[start + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, start + place + 1
    raise ValueError("a number of more than four bytes")
