"""A service as one would write it first: it acknowledges on receipt, keeps no log, and draws a coupon for each copy.

The harness must find it out.
"""

import os
import queue
import random
import threading
from datetime import UTC, datetime
from typing import Any

import orjson
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.errors import EventRefused
from app.events import parse_focus
from tests.chaos.shop import NAMES

WORK_SECONDS = 0.02
COUPONS = 1000
FOCUS, PREDICTION = os.environ["FOCUS_EVENT_TOPIC_NAME"], os.environ["COUPON_PREDICTION_TOPIC_NAME"]


def answer(client: paho.Client, message: paho.MQTTMessage) -> None:
    """Publish a result or a dead letter."""
    given: Any = message.properties
    correlation_data = getattr(given, "CorrelationData", None)
    named = dict(getattr(given, "UserProperty", ()))
    properties = Properties(PacketTypes.PUBLISH)
    try:
        event = parse_focus(bytes(message.payload), datetime.now(UTC), NAMES, named.get("event-id"), correlation_data)
    except EventRefused as refusal:
        properties.CorrelationData = correlation_data
        client.publish(f"{FOCUS}/rejected", orjson.dumps({"reason": refusal.code}), 1, properties=properties)
        return
    properties.UserProperty = [("decision-id", str(event.decision_id))]
    coupon = {"customer": {"id": event.customer_id}, "coupon": {"id": str(random.randrange(COUPONS))}}
    client.publish(PREDICTION, orjson.dumps(coupon), 1, properties=properties)


def main() -> None:
    """Serve until killed."""
    received: queue.Queue[paho.MQTTMessage] = queue.Queue()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=os.environ["MQTT_CLIENT_ID"], protocol=MQTTProtocolVersion.MQTTv5
    )
    client.on_message = lambda client, userdata, message: received.put(message)
    client.on_connect = lambda client, *_: client.subscribe(FOCUS, 1)
    session = Properties(PacketTypes.CONNECT)
    session.SessionExpiryInterval = 3600
    client.connect(os.environ["MQTT_HOST"], int(os.environ["MQTT_PORT"]), clean_start=False, properties=session)
    client.loop_start()
    never = threading.Event()
    while True:
        message = received.get()
        never.wait(WORK_SECONDS)
        answer(client, message)


if __name__ == "__main__":
    main()
