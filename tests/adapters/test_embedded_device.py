"""The device that sends the first events of `run`, on a real broker."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from app.embedded.broker import EmbeddedBroker, find_mosquitto
from app.embedded.dataset import Visit
from app.embedded.device import connected_device
from app.embedded.plan import BrokerAccess, Topics
from app.embedded.ports import answers, free_port
from app.embedded.process import ChildProcess
from app.embedded.watch import Watch
from app.errors import BrokerUnavailable

PATIENCE_SECONDS = 10
TOPICS = Topics()
VISIT = Visit("11", "Boys")
OFFER = {"customer": {"id": "11"}, "coupon": {"id": "22"}, "ts": 1}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path, free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def strict_broker(tmp_path: Path) -> Iterator[BrokerAccess]:
    """A broker that knows nobody."""
    port = free_port()
    configuration = tmp_path / "strict.conf"
    configuration.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\n")
    broker = ChildProcess("the broker", [str(find_mosquitto()), "-c", str(configuration)], tmp_path / "strict.log")
    broker.start()
    try:
        assert Watch().wait_until(lambda: answers(port), PATIENCE_SECONDS)
        yield BrokerAccess("127.0.0.1", port, username="device", password="wrong")
    finally:
        broker.stop()


@pytest.fixture
def service(broker: EmbeddedBroker) -> Iterator[Queue[dict[str, object]]]:
    """Answers each focus event with noise and then an offer; holds the events that came."""
    events: Queue[dict[str, object]] = Queue()
    listened: Queue[object] = Queue()

    def answer(client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        events.put(json.loads(message.payload))
        if message.topic == TOPICS.focus:
            noise = [b"not json", b"[]", json.dumps({**OFFER, "customer": {"id": "12"}}).encode()]
            for payload in (*noise, json.dumps({**OFFER, "coupon": None}).encode(), json.dumps(OFFER).encode()):
                client.publish(TOPICS.prediction, payload, qos=1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = answer
    client.on_connect = lambda *_: listened.put(client.subscribe([(TOPICS.entry, 1), (TOPICS.focus, 1)]))
    client.on_subscribe = lambda *_: listened.put("granted")
    client.connect(broker.host, broker.port)
    client.loop_start()
    while listened.get(timeout=PATIENCE_SECONDS) != "granted":
        pass
    yield events
    client.disconnect()
    client.loop_stop()


def test_enters_stops_and_gets_the_coupon_meant_for_this_customer(
    broker: EmbeddedBroker, service: Queue[dict[str, object]]
) -> None:
    with connected_device(BrokerAccess(broker.host, broker.port), TOPICS, Watch()) as device:
        arrived = device.visit(VISIT, PATIENCE_SECONDS)

    entry, focus = service.get(timeout=PATIENCE_SECONDS), service.get(timeout=PATIENCE_SECONDS)
    assert arrived is not None
    assert (arrived.visit, arrived.result) == (VISIT, OFFER)
    assert 0 < arrived.seconds < PATIENCE_SECONDS
    assert entry == {"id": "11", "ts": entry["ts"]}
    assert focus == {"id": "11", "ts": entry["ts"], "dep": "Boys"}


def test_no_coupon_in_time_is_no_coupon(broker: EmbeddedBroker) -> None:
    with connected_device(BrokerAccess(broker.host, broker.port), TOPICS, Watch()) as device:
        assert device.visit(VISIT, seconds=0) is None


def test_a_broker_that_refuses_is_named_with_its_reason(strict_broker: BrokerAccess) -> None:
    with pytest.raises(BrokerUnavailable, match="refuses the first device: Not authorized"):
        connected_device(strict_broker, TOPICS, Watch()).__enter__()


def test_a_broker_that_is_not_there_is_named() -> None:
    port = free_port()

    with pytest.raises(BrokerUnavailable, match=re.escape(f"127.0.0.1:{port} cannot be reached")):
        connected_device(BrokerAccess("127.0.0.1", port), TOPICS, Watch()).__enter__()


def test_a_certificate_that_is_not_there_is_no_crash(broker: EmbeddedBroker, tmp_path: Path) -> None:
    access = BrokerAccess(broker.host, broker.port, ca_file=tmp_path / "nothing.pem")

    with pytest.raises(BrokerUnavailable, match="cannot be reached"):
        connected_device(access, TOPICS, Watch()).__enter__()


def test_secrets_are_not_shown() -> None:
    access = BrokerAccess("broker", 1883, username="device", password="open sesame")

    assert "sesame" not in repr(access)
