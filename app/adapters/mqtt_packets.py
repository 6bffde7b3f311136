"""PUBLISH and PUBACK, read and written: the packets of which there is one for every event.

Of the properties of a message, those that may name its event are read, whatever else it carries. Packets that are read
are given without their fixed header. See the OASIS standard MQTT 5.0, sections 2.2.2 and 3.3 to 3.4.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from app.ports import OutboundMessage

PUBLISH_AT_QOS_1, RETAIN_BIT, QOS_BITS = 0x32, 0x01, 0x06
PAYLOAD_FORMAT, EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA = 0x01, 0x02, 0x03, 0x08, 0x09
SUBSCRIPTION_ID, USER_PROPERTY = 0x0B, 0x26
TEXTS = (CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION_DATA)
FIXED_SIZES = {PAYLOAD_FORMAT: 1, EXPIRY: 4, 0x23: 2}  # the last is the topic alias
EVENT_ID = b"event-id"
TEXT_IN_JSON = bytes((PAYLOAD_FORMAT, 1, CONTENT_TYPE, 0, 16)) + b"application/json"
PUBACK_HEADER = bytes((0x40, 2))
MAX_HEADER_BYTES = 5
MAX_TEXT_BYTES = 0xFFFF
MAX_REMAINING_BYTES = 268_435_455

Packet = bytes | bytearray


class Unreadable(ValueError):
    """A packet that is not MQTT."""


class Unwritable(ValueError):
    """A message that MQTT cannot carry."""


@dataclass(slots=True)
class Publish:
    """A message as the broker delivers it; `packet_id` is 0 at QoS 0. `cut_bytes` of the payload were left out."""

    topic: bytes
    packet_id: int
    qos: int
    is_retained: bool
    payload: bytes
    event_id: str | None = None
    correlation_data: bytes | None = None
    cut_bytes: int = 0


def take_packets(received: bytearray) -> Iterator[tuple[int, bytes]]:
    """Takes whole packets off the bytes received: the first byte of each, and what comes after its fixed header.

    Raises Unreadable for a length that MQTT does not have.
    """
    start = 0
    try:
        while True:
            length, begin = _read_varint(received, start + 1)
            end = begin + length
            if end > len(received):
                return
            with memoryview(received) as view:
                body = bytes(view[begin:end])
            yield received[start], body
            start = end
    except IndexError:  # the length has not all arrived
        if len(received) - start > MAX_HEADER_BYTES:
            raise Unreadable("a length of more than four bytes") from None
    finally:
        del received[:start]


def read_publish(command: int, packet: Packet, kept_bytes: int, *, has_properties: bool) -> Publish:
    """A PUBLISH, given the first byte of its fixed header, with the beginning of its payload. Raises Unreadable.

    MQTT 3.1.1 has no properties.
    Properties that MQTT does not have, which not every broker looks for, are as good as none.
    """
    try:
        end = _end_of_text(packet, 0)
        topic, qos, packet_id = bytes(packet[2:end]), (command & QOS_BITS) >> 1, 0
        if qos:
            packet_id, end = int.from_bytes(packet[end : end + 2]), end + 2
        event_id = correlation_data = None
        if has_properties:
            length, start = _read_varint(packet, end)
            end = start + length
            if length:
                event_id, correlation_data = _names(packet, start, end)
    except IndexError as error:
        raise Unreadable("a PUBLISH that ends too early") from error
    if end > len(packet) or qos > 1 or (qos and not packet_id):
        raise Unreadable("a PUBLISH that was not asked for, or ends too early")
    is_retained = bool(command & RETAIN_BIT)
    payload, cut_bytes = bytes(packet[end : end + kept_bytes]), max(0, len(packet) - end - kept_bytes)
    return Publish(topic, packet_id, qos, is_retained, payload, event_id, correlation_data, cut_bytes)


def read_puback(packet: Packet) -> tuple[int, int]:
    """Packet id and reason code of a PUBACK; from 0x80 on, the broker refuses the message. Raises Unreadable."""
    if len(packet) < 2:
        raise Unreadable("a PUBACK that ends too early")
    return int.from_bytes(packet[:2]), packet[2] if len(packet) > 2 else 0


def write_puback(packet_id: int) -> bytes:
    """A PUBACK that says that all went well."""
    return PUBACK_HEADER + packet_id.to_bytes(2)


def write_publish(message: OutboundMessage, packet_id: int, *, has_properties: bool) -> bytes:
    """A PUBLISH at QoS 1. MQTT 3.1.1 carries the payload alone. Raises Unwritable."""
    if not message.topic or "+" in message.topic or "#" in message.topic:
        raise Unwritable(f"nothing can be published on the topic {message.topic!r}")
    head = _text(message.topic.encode()) + packet_id.to_bytes(2)
    if has_properties:
        properties = b"".join(_properties(message))
        head += _varint(len(properties)) + properties
    length = len(head) + len(message.payload)
    if length > MAX_REMAINING_BYTES:
        raise Unwritable(f"{len(message.payload)} bytes are more than MQTT can carry")
    first = PUBLISH_AT_QOS_1 | message.is_retained
    return b"".join((bytes((first,)), _varint(length), head, message.payload))


def _properties(message: OutboundMessage) -> Iterator[bytes]:
    yield TEXT_IN_JSON
    if message.expiry is not None:
        yield struct.pack(">BI", EXPIRY, int(message.expiry.total_seconds()))
    if message.correlation_data is not None:
        yield bytes((CORRELATION_DATA,)) + _text(message.correlation_data)
    for key, value in message.properties.items():
        yield bytes((USER_PROPERTY,)) + _text(key.encode()) + _text(value.encode())


def _names(packet: Packet, start: int, end: int) -> tuple[str | None, bytes | None]:
    """The last `event-id` among the user properties, and the correlation data."""
    event_id = correlation_data = None
    try:
        while start < end:
            kind, value = packet[start], start + 1
            after = _end_of_value(packet, kind, value)
            if after > end:
                return None, None
            if kind == CORRELATION_DATA:
                correlation_data = bytes(packet[value + 2 : after])
            elif kind == USER_PROPERTY:
                end_of_key = _end_of_text(packet, value)
                if packet[value + 2 : end_of_key] == EVENT_ID:
                    event_id = packet[end_of_key + 2 : after].decode()
            start = after
    except (IndexError, KeyError, UnicodeDecodeError):
        return None, None
    return event_id, correlation_data


def _end_of_value(packet: Packet, kind: int, start: int) -> int:
    if kind == USER_PROPERTY:
        return _end_of_text(packet, _end_of_text(packet, start))
    if kind in TEXTS:
        return _end_of_text(packet, start)
    if kind == SUBSCRIPTION_ID:
        return _read_varint(packet, start)[1]
    return start + FIXED_SIZES[kind]


def _end_of_text(packet: Packet, start: int) -> int:
    return start + 2 + (packet[start] << 8 | packet[start + 1])


def _read_varint(packet: Packet, start: int) -> tuple[int, int]:
    """A number of one to four bytes, seven bits in each, and where it ends."""
    number = 0
    for place in range(4):
        byte = packet[start + place]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, start + place + 1
    raise IndexError("a number of more than four bytes")


def _text(value: bytes) -> bytes:
    if len(value) > MAX_TEXT_BYTES:
        raise Unwritable(f"a text of {len(value)} bytes is more than MQTT can carry")
    return len(value).to_bytes(2) + value


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*encoded, number))
