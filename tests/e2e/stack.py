"""The whole product on free ports: mosquitto, PostgreSQL, the stand-in central and the service, each a real process."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.embedded.broker import EmbeddedBroker
from app.embedded.ports import LOOPBACK, free_port
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.process import ChildProcess
from tests.plain_client import PlainClient
from tests.postgres import open_directory

PROJECT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.05
ENTRY, FOCUS, PREDICTION = "customer/enter", "customer/focus", "customer/prediction"
REJECTED = f"{FOCUS}/rejected"
STATUS = f"{PREDICTION}/status"


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; says what did not happen when it does not."""
    never, deadline = threading.Event(), time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen that {what}"
        never.wait(LOOK_AGAIN_SECONDS)


class Device:
    """A plain MQTT client of the shop: it publishes events, and hears outcomes."""

    def __init__(self, port: int) -> None:
        self.heard: list[paho.MQTTMessage] = []
        self.statuses: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._is_subscribed = threading.Event()
        self._client = PlainClient(
            CallbackAPIVersion.VERSION2, client_id=f"device-{os.urandom(4).hex()}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = self._hear
        self._client.on_subscribe = lambda *_: self._is_subscribed.set()
        self._client.connect(LOOPBACK, port, properties=_lasting_session(), clean_start=False)
        self._client.loop_start()
        self._client.subscribe([(PREDICTION, 1), (REJECTED, 1), (STATUS, 1)])
        assert self._is_subscribed.wait(PATIENCE_SECONDS)

    def publish(self, topic: str, payload: bytes, properties: Properties | None = None) -> paho.MQTTMessageInfo:
        """Send at QoS 1; the answer tells when the broker has it."""
        return self._client.publish(topic, payload, 1, properties=properties)

    def hears(self, enough: Callable[[list[paho.MQTTMessage]], bool], what: str) -> list[paho.MQTTMessage]:
        """Wait until what has been heard is enough."""
        with self._news:
            assert self._news.wait_for(lambda: enough(self.heard), PATIENCE_SECONDS), f"it was not heard: {what}"
            return list(self.heard)

    def hears_about(self, customer_id: str, copies: int = 1) -> list[bytes]:
        """The payloads of the results for a customer, when there are so many."""
        start = b'{"customer":{"id":"%b"}' % customer_id.encode()

        def about(messages: list[paho.MQTTMessage]) -> list[bytes]:
            return [bytes(one.payload) for one in messages if one.payload.startswith(start)]

        return about(self.hears(lambda heard: len(about(heard)) >= copies, f"a result for customer {customer_id}"))

    def close(self) -> None:
        """Leave."""
        self._client.leave()

    def _hear(self, client: paho.Client, userdata: object, message: paho.MQTTMessage) -> None:
        with self._news:
            if message.topic == STATUS:
                self.statuses.append(json.loads(message.payload))
            else:
                self.heard.append(message)
            self._news.notify_all()


def _lasting_session() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    return properties


@dataclass
class Stack:
    """Everything, and how to take parts of it away."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    broker_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    central_port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.postgres = EmbeddedPostgres(self.folder / "postgres", free_port(), password="test")
        self.broker = EmbeddedBroker(self.folder / "broker", self.broker_port)
        self.central = self.process("central", "central", "--port", str(self.central_port), CLIENT_CONTEXT_URL="")
        self.service = self.process("service", "serve", "--host", LOOPBACK)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the service."""
        return {
            **os.environ,
            "DATABASE_URL": self.postgres.url,
            "MQTT_HOST": LOOPBACK,
            "MQTT_PORT": str(self.broker_port),
            "MQTT_CLIENT_ID": "service-under-test",
            "ENTRY_EVENT_TOPIC_NAME": ENTRY,
            "FOCUS_EVENT_TOPIC_NAME": FOCUS,
            "COUPON_PREDICTION_TOPIC_NAME": PREDICTION,
            "CLIENT_CONTEXT_URL": f"http://{LOOPBACK}:{self.central_port}",
            "PREDICTION_THRESHOLD": "0",
            "MOCK_ENDPOINTS": "true",
            "PORT": str(self.http_port),
            "LOG_FILENAME": "",
            **self.environment,
        }

    def process(self, name: str, *arguments: str, **variables: str) -> ChildProcess:
        """A command of the product."""
        command = [sys.executable, "-m", "app", *arguments]
        return ChildProcess(name, command, self.folder / f"{name}.log", {**self.variables, **variables})

    def command(self, *arguments: str) -> None:
        """Run a command of the product to its end."""
        process = self.process(arguments[0], *arguments)
        process.start()
        eventually(lambda: process.has_ended, f"{arguments} came to its end: {process.log_tail()}")
        process.stop()

    def load(self) -> None:
        """Tables and demo data."""
        self.command("migrate")
        self.command("load", str(PROJECT / "data4db"), "--shift-dates")

    def readiness(self) -> Mapping[str, Any]:
        """What /readyz says; empty while nobody answers."""
        try:
            answer: dict[str, Any] = httpx.get(f"{self.url}/readyz", trust_env=False).json()
        except httpx.HTTPError:
            return {}
        return answer

    def is_ready(self) -> bool:
        return self.readiness().get("status") == "ready"

    def wait_until_ready(self) -> None:
        eventually(self.is_ready, f"the service was ready: {self.readiness()} {self.service.log_tail()}")

    def query(self, statement: str) -> list[Any]:
        """The first column of what the database answers."""

        async def ask() -> list[Any]:
            connection = await asyncpg.connect(self.postgres.url)
            try:
                return [row[0] for row in await connection.fetch(statement)]
            finally:
                await connection.close()

        return asyncio.run(ask())

    def stop(self) -> None:
        for part in (self.service, self.central, self.broker, self.postgres):
            part.stop()


@contextmanager
def running_stack(**environment: str) -> Iterator[Stack]:
    """A stack that is ready, with these variables beside the usual ones."""
    with open_directory() as folder, ExitStack() as parts:
        stack = Stack(folder, environment)
        parts.callback(stack.stop)
        stack.postgres.start()
        stack.broker.start()
        stack.load()
        stack.central.start()
        stack.service.start()
        stack.wait_until_ready()
        yield stack


@contextmanager
def device_at(stack: Stack) -> Iterator[Device]:
    """A device at the stack's broker."""
    device = Device(stack.broker_port)
    try:
        yield device
    finally:
        device.close()
