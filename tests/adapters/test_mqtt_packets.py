"""The packets of events, beside paho's reading and writing of the same."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import _packet
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

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
from tests.chaos import wire

AT_QOS_0, AT_QOS_1, AT_QOS_2, RETAINED = 0x30, 0x32, 0x34, 0x31
KEPT = 1_000
TOPIC = b"\x00\x05shop/"
EVENT_7 = TOPIC + b"\x00\x07"

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"), max_size=20)
topics = texts.map(lambda text: text.replace("+", "").replace("#", "")).filter(bool)
keys = st.just("event-id") | texts


def packet(properties: Properties, command: int, payload: bytes) -> bytes:
    packet_id = b"\x00\x07" if command == AT_QOS_1 else b""
    return b"".join([TOPIC, packet_id, properties.pack(), payload])


@given(
    st.lists(st.tuples(keys, texts), max_size=5),
    st.none() | st.binary(max_size=200),
    st.none() | texts,
    st.none() | texts,
    st.none() | st.integers(0, 2**32 - 1),
    st.sampled_from([AT_QOS_0, AT_QOS_1]),
    st.binary(max_size=20),
)
def test_of_what_paho_writes_the_names_of_the_event_are_read(
    pairs: list[tuple[str, str]],
    correlation_data: bytes | None,
    response_topic: str | None,
    content_type: str | None,
    expiry: int | None,
    command: int,
    payload: bytes,
) -> None:
    sent: Any = Properties(PacketTypes.PUBLISH)
    if pairs:
        sent.UserProperty = pairs
    if correlation_data is not None:
        sent.CorrelationData = correlation_data
    if response_topic is not None:
        sent.ResponseTopic = response_topic
    if content_type is not None:
        sent.ContentType = content_type
    if expiry is not None:
        sent.MessageExpiryInterval, sent.PayloadFormatIndicator = expiry, 1
    names = [value for key, value in pairs if key == "event-id"]

    read = read_publish(command, packet(sent, command, payload), KEPT, has_properties=True)

    qos = 1 if command == AT_QOS_1 else 0
    event_id = names[-1] if names else None
    assert read == Publish(b"shop/", 7 * qos, qos, False, payload, event_id, correlation_data)


def test_mqtt_3_1_1_has_no_properties() -> None:
    assert read_publish(RETAINED, TOPIC + b"{}", KEPT, has_properties=False) == Publish(b"shop/", 0, 0, True, b"{}")


@pytest.mark.parametrize(
    "properties",
    [
        b"\x0f\x26\x00\x08event-id\x00\x02\xc0\xaf",
        b"\x02\x7f\x00",
        b"\x01\x26",
        b"\x08\x26\x00\x09event",
        b"\x05\x0b\xff\xff\xff\xff",
    ],
)
def test_properties_that_mqtt_does_not_have_are_as_good_as_none(properties: bytes) -> None:
    read = read_publish(AT_QOS_1, EVENT_7 + properties + b"{}", KEPT, has_properties=True)

    assert (read.payload, read.event_id, read.correlation_data) == (b"{}", None, None)


@pytest.mark.parametrize(
    ("command", "body"),
    [
        (AT_QOS_1, b""),
        (AT_QOS_1, b"\x00"),
        (AT_QOS_1, b"\x00\x05sho"),
        (AT_QOS_1, TOPIC),
        (AT_QOS_1, TOPIC + b"\x00\x00\x00{}"),
        (AT_QOS_1, EVENT_7),
        (AT_QOS_1, EVENT_7 + b"\x7f"),
        (AT_QOS_1, EVENT_7 + b"\xff\xff\xff\xff\x01"),
        (AT_QOS_2, EVENT_7 + b"\x00{}"),
    ],
)
def test_what_is_no_message_is_not_read(command: int, body: bytes) -> None:
    with pytest.raises(Unreadable):
        read_publish(command, body, KEPT, has_properties=True)


@given(
    topic=topics,
    payload=st.binary(max_size=300),
    properties=st.dictionaries(texts, texts, max_size=3),
    correlation_data=st.none() | st.binary(max_size=20),
    expiry=st.none() | st.integers(0, 2**32 - 1).map(lambda seconds: timedelta(seconds=seconds)),
    is_retained=st.booleans(),
    packet_id=st.integers(1, 65_535),
)
def test_what_is_written_is_what_paho_reads(
    topic: str,
    payload: bytes,
    properties: dict[str, str],
    correlation_data: bytes | None,
    expiry: timedelta | None,
    is_retained: bool,
    packet_id: int,
) -> None:
    message = OutboundMessage(topic, payload, properties, correlation_data, expiry, is_retained)

    written = write_publish(message, packet_id, has_properties=True)

    start = 2 if written[1] < 0x80 else 3
    read = _packet.decode_publish(written[0], written[start:], MQTTProtocolVersion.MQTTv5)
    assert (read.topic, read.mid, read.qos, read.retain, read.payload) == (
        topic.encode(),
        packet_id,
        1,
        is_retained,
        payload,
    )
    found: Any = read.properties
    assert (found.ContentType, found.PayloadFormatIndicator) == ("application/json", 1)
    assert getattr(found, "UserProperty", []) == list(properties.items())
    assert getattr(found, "CorrelationData", None) == correlation_data
    seconds = getattr(found, "MessageExpiryInterval", None)
    assert seconds == (None if expiry is None else int(expiry.total_seconds()))


def test_mqtt_3_1_1_carries_the_payload_alone() -> None:
    message = OutboundMessage("shop/", b"{}", {"event-id": "7"}, b"7")

    assert write_publish(message, 7, has_properties=False) == b"\x32\x0b" + EVENT_7 + b"{}"


@pytest.mark.parametrize(
    "message",
    [
        OutboundMessage("t" * 65_536, b"", {}),
        OutboundMessage("shop/#", b"", {}),
        OutboundMessage("", b"", {}),
        OutboundMessage("t", b"", {"event-id": "x" * 65_536}),
        OutboundMessage("t", b"", {"event-id": "\ud800"}),
        OutboundMessage("t", bytes(268_435_456), {}),
    ],
    ids=["topic", "wildcard", "no topic", "property", "surrogate", "payload"],
)
def test_what_mqtt_cannot_carry_is_refused(message: OutboundMessage) -> None:
    with pytest.raises(ValueError, match=r"carry|surrogates|published"):
        write_publish(message, 1, has_properties=True)


def test_an_unwritable_message_is_told_as_such() -> None:
    with pytest.raises(Unwritable, match="a text of 65536 bytes is more than MQTT can carry"):
        write_publish(OutboundMessage("t" * 65_536, b"", {}), 1, has_properties=True)


@pytest.mark.parametrize(
    ("body", "read"),
    [(b"\x00\x07", (7, 0)), (b"\x01\x00\x00", (256, 0)), (b"\x00\x07\x87\x00", (7, 0x87))],
)
def test_an_acknowledgement_has_an_id_and_a_reason(body: bytes, read: tuple[int, int]) -> None:
    assert read_puback(body) == read


def test_an_acknowledgement_without_an_id_is_not_read() -> None:
    with pytest.raises(Unreadable):
        read_puback(b"\x00")


def test_of_a_long_payload_the_beginning_is_kept() -> None:
    read = read_publish(RETAINED, TOPIC + b"0123456789", 4, has_properties=False)

    assert (read.payload, read.cut_bytes) == (b"0123", 6)


# Packets in what a socket gave


def test_packets_are_taken_as_they_become_whole() -> None:
    whole = wire.publish("shop", 7, wire.NOTHING, b"x" * 300) + wire.puback(9) + wire.PING
    received = bytearray()
    taken: list[tuple[int, bytes]] = []
    for byte in whole:
        received.append(byte)
        taken += take_packets(received)

    assert received == b""
    assert taken == list(wire.frames(bytearray(whole)))
    assert list(take_packets(bytearray(whole))) == taken


@pytest.mark.parametrize("length", [b"\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x01"])
def test_a_length_of_more_than_four_bytes_is_refused(length: bytes) -> None:
    with pytest.raises(Unreadable, match="more than four bytes"):
        list(take_packets(bytearray(b"\x30" + length)))


def test_an_acknowledgement_is_read_as_it_is_written() -> None:
    ((first, body),) = take_packets(bytearray(write_puback(0x1234)))

    assert (first, read_puback(body)) == (0x40, (0x1234, 0))
