"""The properties of an inbound PUBLISH (MQTT 5), cut down to those that may name the event.

paho copies the rest of the packet for every property it reads: a message with a megabyte of user properties would keep
its thread busy for the better part of a minute, beyond the keepalive, and the broker would send it again and again.
A packet is given and returned without its fixed header.
"""

EVENT_ID = b"event-id"
CORRELATION_DATA, USER_PROPERTY, SUBSCRIPTION_ID = 0x09, 0x26, 0x0B
TEXTS = (0x03, 0x08, CORRELATION_DATA)  # content type, response topic
FIXED_SIZES = {0x01: 1, 0x02: 4, 0x23: 2}  # payload format, message expiry, topic alias
QOS_BITS = 0x06

Packet = bytes | bytearray


def with_names_alone(command: int, packet: Packet) -> bytearray:
    """The packet with no other properties than the last `event-id` and the correlation data."""
    before, start, end = _bounds(command, packet)
    if start == end:
        return bytearray(packet)
    try:
        names = _names(packet, start, end)
    except (IndexError, KeyError, UnicodeDecodeError):  # MQTT has no such property; not every broker looks
        names = b""
    return bytearray(packet[:before]) + _varint(len(names)) + names + packet[end:]


def without_properties(command: int, packet: Packet) -> bytearray:
    """The packet with an empty list of properties."""
    before, _, end = _bounds(command, packet)
    return bytearray(packet[:before]) + b"\0" + packet[end:]


def _bounds(command: int, packet: Packet) -> tuple[int, int, int]:
    """Where the length of the properties stands, where they start, and where they end."""
    before = _end_of_text(packet, 0) + (2 if command & QOS_BITS else 0)
    length, start = _read_varint(packet, before)
    return before, start, start + length


def _names(packet: Packet, start: int, end: int) -> bytes:
    names: dict[int, bytes] = {}
    while start < end:
        kind, value = packet[start], start + 1
        after = _end_of_value(packet, kind, value)
        if after > end:
            raise IndexError("a property that goes on beyond the last")
        if kind == CORRELATION_DATA or (kind == USER_PROPERTY and _is_event_id(packet, value, after)):
            names[kind] = bytes(packet[start:after])
        start = after
    return b"".join(names.values())


def _is_event_id(packet: Packet, start: int, end: int) -> bool:
    """Whether this user property names the event. Raises UnicodeDecodeError where its value is not UTF-8."""
    end_of_key = _end_of_text(packet, start)
    if packet[start + 2 : end_of_key] != EVENT_ID:
        return False
    packet[end_of_key + 2 : end].decode()
    return True


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


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])
