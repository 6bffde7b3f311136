"""What is wrong about variables together."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.settings.values import has_wildcard, matches
from app.tls import FileRefused

if TYPE_CHECKING:
    from app.settings import Settings

ENTRY_SUFFIX = "-entry"  # tells the link of entry events from that of focus events


def broker_problems(settings: "Settings") -> Iterator[str]:
    """What is wrong about variables together."""
    if has_wildcard(settings.dead_letter_topic):
        yield "Cannot make a topic for dead letters of FOCUS_EVENT_TOPIC_NAME: set DEAD_LETTER_TOPIC_NAME."
    if settings.client_id.endswith(ENTRY_SUFFIX):
        yield f"Cannot use MQTT_CLIENT_ID env variable: {ENTRY_SUFFIX} at its end is for entry events of another."
    if has_wildcard(settings.status_topic):
        yield "Cannot make a topic for the status with MQTT_CLIENT_ID in it: choose one without + and #."
    yield from _circles(settings)
    if settings.mqtt_client_cert_file is not None and settings.mqtt_broker_cert_file is None:
        yield "Cannot use MQTT_CLIENT_CERT_FILE env variable: TLS needs MQTT_BROKER_CERT_FILE."
    yield from _tls_problems(settings)


def _circles(settings: "Settings") -> Iterator[str]:
    """What is written must not be read as an event: it would be refused with a dead letter, and that one, for ever."""
    written = (
        ("COUPON_PREDICTION_TOPIC_NAME", settings.coupon_prediction_topic_name),
        ("DEAD_LETTER_TOPIC_NAME", settings.dead_letter_topic),
        ("STATUS_TOPIC_NAME", settings.status_topic),
    )
    read = (
        ("ENTRY_EVENT_TOPIC_NAME", settings.entry_event_topic_name),
        ("FOCUS_EVENT_TOPIC_NAME", settings.focus_event_topic_name),
    )
    for name, topic in written:
        for reader, topic_filter in read:
            if topic and topic_filter and not has_wildcard(topic) and matches(topic_filter, topic):
                yield f"Cannot use {name} env variable: {reader} would read it, too; choose a topic outside of that."


def _tls_problems(settings: "Settings") -> Iterator[str]:
    has_key = (settings.mqtt_client_cert_file is None) == (settings.mqtt_client_key_file is None)
    if not has_key:
        yield "Cannot use MQTT_CLIENT_CERT_FILE and MQTT_CLIENT_KEY_FILE env variables: both are needed."
    names = ("mqtt_broker_cert_file", "mqtt_client_cert_file", "mqtt_client_key_file")
    paths = [(name.upper(), path) for name in names if (path := getattr(settings, name)) is not None]
    unreadable = [(name, path) for name, path in paths if not (path.is_file() and os.access(path, os.R_OK))]
    for name, path in unreadable:
        yield f"Cannot use {name} env variable: {path} cannot be read."
    if has_key and not unreadable:
        try:
            settings.broker_tls()
        except FileRefused as error:
            yield str(error)
