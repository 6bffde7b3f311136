"""The bare limit: answers each focus event with a fixed result, and keeps the same promise for nothing else.

An event is acknowledged when the broker has acknowledged its result. No decision, no log; paho-mqtt as it comes, on one
thread, with its own reading and bookkeeping, which the service goes past.
"""

import sys

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.embedded.ports import LOOPBACK

RECEIVE_MAXIMUM = 200
RESULT_BYTES = 1500
FOCUS, PREDICTION = "echo/focus", "echo/prediction"
FILLER = b"x" * (RESULT_BYTES - 60)


def main(port: int) -> None:
    """Answer until the connection is lost."""
    unanswered: dict[int, paho.MQTTMessage] = {}

    def answer(client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        customer_id = bytes(message.payload[7 : message.payload.index(b'"', 7)])
        result = b'{"customer":{"id":"%b"},"pad":"%b"}' % (customer_id, FILLER)
        unanswered[client.publish(PREDICTION, result, 1).mid] = message

    def acknowledge(client: paho.Client, userdata: object, packet_id: int, *_: object) -> None:
        message = unanswered.pop(packet_id)
        client.ack(message.mid, message.qos)

    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id="echo", protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.max_inflight_messages_set(RECEIVE_MAXIMUM)
    client.on_connect = lambda client, *_: client.subscribe(FOCUS, 1)
    client.on_message = answer
    client.on_publish = acknowledge
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = RECEIVE_MAXIMUM
    client.connect(LOOPBACK, port, properties=properties)
    client.loop_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
