"""Of the properties of a message, those that may name its event are kept: whatever else it carries."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.adapters.mqtt_properties import with_names_alone, without_properties

AT_QOS_0, AT_QOS_1 = 0x30, 0x32
TOPIC = b"\x00\x05shop/"

texts = st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"), max_size=20)
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
def test_the_names_of_an_event_are_kept_and_nothing_else(
    pairs: list[tuple[str, str]],
    correlation_data: bytes | None,
    response_topic: str | None,
    content_type: str | None,
    expiry: int | None,
    command: int,
    payload: bytes,
) -> None:
    sent: Any = Properties(PacketTypes.PUBLISH)
    kept: Any = Properties(PacketTypes.PUBLISH)
    if pairs:
        sent.UserProperty = pairs
    if correlation_data is not None:
        sent.CorrelationData = kept.CorrelationData = correlation_data
    if response_topic is not None:
        sent.ResponseTopic = response_topic
    if content_type is not None:
        sent.ContentType = content_type
    if expiry is not None:
        sent.MessageExpiryInterval, sent.PayloadFormatIndicator = expiry, 1
    names = [value for key, value in pairs if key == "event-id"]
    if names:
        kept.UserProperty = ("event-id", names[-1])

    trimmed = bytes(with_names_alone(command, packet(sent, command, payload)))

    read: Any = Properties(PacketTypes.PUBLISH)
    start = len(TOPIC) + (2 if command == AT_QOS_1 else 0)
    _, length = read.unpack(trimmed[start:])
    assert (trimmed[:start], trimmed[start + length :]) == (packet(sent, command, b"")[:start], payload)
    assert read.json() == kept.json()


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
def test_properties_that_mqtt_does_not_have_are_left_out(properties: bytes) -> None:
    start = TOPIC + b"\x00\x07"

    assert with_names_alone(AT_QOS_1, start + properties) == start + b"\x00"


def test_all_properties_can_be_left_out() -> None:
    sent: Any = Properties(PacketTypes.PUBLISH)
    sent.CorrelationData = b"x" * 300

    assert without_properties(AT_QOS_1, packet(sent, AT_QOS_1, b"{}")) == TOPIC + b"\x00\x07\x00{}"
