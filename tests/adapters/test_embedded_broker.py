"""The broker that `run` and the tests start on this machine."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Queue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from app.embedded.broker import SHIPPED_CONFIGURATION, EmbeddedBroker, find_mosquitto
from app.embedded.ports import answers, free_port
from app.errors import EmbeddedFailed

PATIENCE_SECONDS = 10
WITHOUT_MOSQUITTO = ""

StartBroker = Callable[..., EmbeddedBroker]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    with ExitStack() as stack:

        def start(**options: str) -> EmbeddedBroker:
            broker = EmbeddedBroker(tmp_path, free_port(), **options)
            stack.callback(broker.stop)
            broker.start()
            return broker

        yield start


@contextmanager
def connected(
    broker: EmbeddedBroker, client_id: str = "", version: MQTTProtocolVersion = mqtt.MQTTv311
) -> Iterator[tuple[mqtt.Client, Queue[str]]]:
    """A client, and what comes to it: 'subscribed' and the payloads."""
    arrived: Queue[str] = Queue()
    clean_session = None if version == mqtt.MQTTv5 else not client_id
    client = mqtt.Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean_session, protocol=version
    )
    client.on_connect = lambda *_: arrived.put("connected")
    client.on_subscribe = lambda *_: arrived.put("subscribed")
    client.on_message = lambda _client, _userdata, message: arrived.put(message.payload.decode())
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        assert arrived.get(timeout=PATIENCE_SECONDS) == "connected"
        yield client, arrived
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("options", [{}, {"program_folders": WITHOUT_MOSQUITTO}], ids=["mosquitto", "amqtt"])
def test_a_message_goes_through_the_broker(start_broker: StartBroker, options: dict[str, str]) -> None:
    broker = start_broker(**options)

    with connected(broker) as (client, arrived):
        client.subscribe("shop/door", qos=1)
        assert arrived.get(timeout=PATIENCE_SECONDS) == "subscribed"
        client.publish("shop/door", "hello", qos=1)

        assert arrived.get(timeout=PATIENCE_SECONDS) == "hello"


def test_mosquitto_is_preferred_and_amqtt_the_way_out(tmp_path: Path) -> None:
    kinds = [EmbeddedBroker(tmp_path, 1).kind, EmbeddedBroker(tmp_path, 1, program_folders=WITHOUT_MOSQUITTO).kind]

    assert kinds == ["mosquitto", "amqtt"]


def test_what_waited_for_a_client_outlives_a_restart_of_mosquitto(start_broker: StartBroker) -> None:
    before = start_broker()
    with connected(before, "service") as (service, arrived):
        service.subscribe("shop/door", qos=1)
        assert arrived.get(timeout=PATIENCE_SECONDS) == "subscribed"
    with connected(before) as (device, _):
        for number in range(1500):
            sent = device.publish("shop/door", str(number), qos=1)
        sent.wait_for_publish(PATIENCE_SECONDS)
    before.stop()

    with connected(start_broker(), "service") as (_, arrived):
        received = [arrived.get(timeout=PATIENCE_SECONDS) for _ in range(1500)]

    assert received == [str(number) for number in range(1500)]


def test_who_sends_too_large_a_message_is_cut_off(start_broker: StartBroker) -> None:
    with connected(start_broker(), version=mqtt.MQTTv5) as (client, arrived):
        client.on_disconnect = lambda *_: arrived.put("cut off")
        client.publish("shop/door", bytes(17 * 1024 * 1024), qos=0)

        assert arrived.get(timeout=PATIENCE_SECONDS) == "cut off"


@pytest.mark.parametrize("folders", [None, WITHOUT_MOSQUITTO], ids=["mosquitto", "amqtt"])
def test_no_process_and_no_listener_are_left(start_broker: StartBroker, folders: str | None) -> None:
    broker = start_broker() if folders is None else start_broker(program_folders=folders)
    pid = broker.process.pid

    broker.stop()

    assert not answers(broker.port)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        with pytest.raises(EmbeddedFailed, match=f"port {port} is taken"):
            EmbeddedBroker(tmp_path, port).start()


def test_a_broker_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    broken = tmp_path / "mosquitto"
    broken.write_text("#!/bin/sh\necho 'out of order'\nexit 3\n")
    broken.chmod(0o755)

    with pytest.raises(EmbeddedFailed, match=r"(?s)ended with code 3.*out of order"):
        EmbeddedBroker(tmp_path / "data", free_port(), program_folders=str(tmp_path)).start()


def test_the_shipped_configuration_keeps_and_limits() -> None:
    lines = [line.split() for line in SHIPPED_CONFIGURATION.read_text().splitlines()]
    options = {line[0]: line[1] for line in lines if line and line[0] != "#"}

    assert options["persistence"] == "true"
    assert int(options["max_queued_messages"]) >= 1_000_000
    assert options["set_tcp_nodelay"] == "true"


def test_a_daemon_is_found_outside_the_path_of_users() -> None:
    assert find_mosquitto() is not None
    assert find_mosquitto("/nonexistent") is None
