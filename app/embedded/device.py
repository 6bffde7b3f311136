"""A device at the door and in the departments: any MQTT client, for the first events of `run`."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from app.embedded.dataset import Visit
from app.embedded.plan import BrokerAccess, Topics
from app.embedded.watch import Watch
from app.errors import BrokerUnavailable
from app.tls import client_context, problem_of

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CouponArrived:
    """The published prediction result, and the seconds from the focus event to it."""

    visit: Visit
    result: Mapping[str, Any]
    seconds: float


class Device:
    """Publishes events and reads prediction results, in MQTT 3.1.1, which every broker speaks."""

    def __init__(self, client: mqtt.Client, topics: Topics, watch: Watch) -> None:
        self._client = client
        self._topics = topics
        self._watch = watch
        self._arrivals: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._refusal = ""
        self._is_subscribed = False
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    def visit(self, visit: Visit, seconds: float) -> CouponArrived | None:
        """Enter the shop and stop at the department; the coupon, or None when none came in time."""
        entry = {"id": visit.customer_id, "ts": int(time.time())}
        self._client.publish(self._topics.entry, json.dumps(entry), qos=1)
        published_at = time.perf_counter()
        self._client.publish(self._topics.focus, json.dumps({**entry, "dep": visit.department}), qos=1)
        if not self._watch.wait_until(lambda: visit.customer_id in self._arrivals, seconds):
            return None
        arrived_at, result = self._arrivals[visit.customer_id]
        return CouponArrived(visit, result, arrived_at - published_at)

    def wait_until_subscribed(self) -> None:
        """Raises BrokerUnavailable when the broker refuses, or does not answer in time."""
        is_answered = self._watch.wait_until(lambda: self._is_subscribed or bool(self._refusal), CONNECT_SECONDS)
        if self._refusal:
            raise BrokerUnavailable(f"the broker refuses the first device: {self._refusal}")
        if not is_answered:
            raise BrokerUnavailable(f"the broker did not answer the first device in {CONNECT_SECONDS:.0f} s")

    def _on_connect(self, client: mqtt.Client, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        if code.is_failure:
            self._refusal = str(code)
        else:
            client.subscribe(self._topics.prediction, qos=1)

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: Any, codes: list[ReasonCode], _properties: Any) -> None:
        if codes[0].is_failure:
            self._refusal = f"subscribing to {self._topics.prediction}: {codes[0]}"
        self._is_subscribed = True

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        arrived_at = time.perf_counter()
        try:
            result = json.loads(message.payload)
            customer_id, coupon = str(result["customer"]["id"]), result["coupon"]
        except (ValueError, KeyError, TypeError):
            return  # not a prediction result: not for this device
        if coupon:
            self._arrivals.setdefault(customer_id, (arrived_at, result))


@contextmanager
def connected_device(access: BrokerAccess, topics: Topics, watch: Watch) -> Iterator[Device]:
    """A device that hears results from now on. Raises BrokerUnavailable."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.username_pw_set(access.username, access.password)
    client.on_socket_open = lambda _client, _userdata, opened: _send_at_once(opened)
    device = Device(client, topics, watch)
    try:
        if access.ca_file is not None:
            client.tls_set_context(client_context(access.ca_file, access.certificate_file, access.key_file))
        client.connect(access.host, access.port)
    except (OSError, ValueError) as error:
        raise BrokerUnavailable(
            f"the broker {access.host}:{access.port} cannot be reached: {problem_of(error)}"
        ) from error
    client.loop_start()
    try:
        device.wait_until_subscribed()
        yield device
    finally:
        client.disconnect()
        client.loop_stop()


def _send_at_once(opened: Any) -> None:
    # Else the focus event waits 40 ms for the broker's word that the entry event has come.
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
