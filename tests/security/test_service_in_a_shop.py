"""The whole service at a shop's broker: TLS, a user of its own, and access rules."""

import json
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest
import trustme

from tests.e2e.stack import ENTRY, FOCUS, PREDICTION, Stack, eventually
from tests.postgres import open_directory
from tests.security.shop import ACCESS_RULES, ShopBroker, client_of, password_of, write_pem

MAY_PUBLISH = f"topic write {PREDICTION}\n"
REFUSAL = f"the broker refuses to publish on '{PREDICTION}': Not authorized"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """Everything but the service, which each test starts itself."""
    with open_directory() as folder, ExitStack() as parts:
        broker = ShopBroker(folder / "shop", trustme.CA())
        certificate = broker.ca.issue_cert("service@shop.example")
        stack = Stack(
            folder,
            {
                "MQTT_HOST": "localhost",
                "MQTT_PORT": str(broker.service_port),
                "MQTT_BROKER_CERT_FILE": str(broker.ca_file),
                "MQTT_CLIENT_CERT_FILE": str(write_pem(folder / "client.crt", *certificate.cert_chain_pems)),
                "MQTT_CLIENT_KEY_FILE": str(write_pem(folder / "client.key", certificate.private_key_pem)),
                "MQTT_USERNAME": "service",
                "MQTT_PASSWORD": password_of("service"),
            },
        )
        stack.broker = broker
        parts.callback(stack.stop)
        broker.start()
        stack.postgres.start()
        stack.load()
        yield stack


@pytest.fixture
def broker(stack: Stack) -> Iterator[ShopBroker]:
    """The stack's broker; a test that changes its rules leaves the next one those that are shipped."""
    assert isinstance(stack.broker, ShopBroker)
    yield stack.broker
    stack.service.stop()
    stack.broker.change_rules(ACCESS_RULES.read_text())


def focus_event(ts: int) -> bytes:
    return json.dumps({"id": "127", "ts": ts, "dep": "Boys"}).encode()


def publish_failures(stack: Stack) -> float:
    text = httpx.get(f"{stack.url}/metrics", trust_env=False).text
    counter = f'publish_failures_total{{topic="{PREDICTION}"}}'
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if counter in line)


def test_the_roles_of_the_shop_work_together(stack: Stack, broker: ShopBroker) -> None:
    stack.service.start()
    stack.wait_until_ready()
    with client_of(broker, "sensors") as sensor, client_of(broker, "tills") as till:
        till.subscribe(PREDICTION)
        with client_of(broker, "monitoring") as watch:
            watch.subscribe(f"{PREDICTION}/status")
            watch.subscribe(f"{FOCUS}/rejected")
            assert json.loads(watch.next_payload())["status"] == "online"
            assert sensor.publish(ENTRY, b'{"id": "127", "ts": 1700000000}') == 0
            assert sensor.publish(FOCUS, b"nonsense") == 0
            assert json.loads(watch.next_payload())["payload"] == "nonsense"
        sensor.publish(FOCUS, focus_event(1_700_000_001))

        coupon = json.loads(till.next_payload())

    assert coupon["customer"] == {"id": "127"}


def test_a_result_that_the_broker_refuses_shows_and_is_not_lost(stack: Stack, broker: ShopBroker) -> None:
    broker.change_rules(ACCESS_RULES.read_text().replace(MAY_PUBLISH, "", 1))
    stack.service.start()
    stack.wait_until_ready()
    with client_of(broker, "sensors") as sensor, client_of(broker, "tills") as till:
        till.subscribe(PREDICTION)
        sensor.publish(FOCUS, focus_event(1_700_000_002))

        eventually(lambda: stack.readiness().get("problems", {}).get("publishing") == REFUSAL, "the refusal was told")
        eventually(lambda: publish_failures(stack) == 3, "the refusals were counted")
        log = [line for line in stack.service.log_path.read_text().splitlines() if "broker refuses message" in line]
        waiting = stack.query(
            "SELECT count(*) FROM decision JOIN unpublished_decision USING (decision_id) WHERE event_ts = 1700000002"
        )
        broker.change_rules(ACCESS_RULES.read_text())
        sensor.publish(FOCUS, focus_event(1_700_000_002))
        coupon = json.loads(till.next_payload())

        assert till.heard() == []
    stack.wait_until_ready()

    assert (len(log), waiting) == (1, [1])
    assert "error" in log[0].lower()
    assert coupon["customer"] == {"id": "127"}
    assert stack.query("SELECT count(*) FROM decision WHERE event_ts = 1700000002") == [1]


def test_a_service_with_a_wrong_password_says_so_and_serves_when_it_is_put_right(
    stack: Stack, broker: ShopBroker
) -> None:
    stranger = stack.process("service with a wrong password", "serve", MQTT_PASSWORD="guess")
    stranger.start()
    try:
        refusal = f"localhost:{broker.service_port}: the broker refuses the connection: Not authorized"
        eventually(lambda: stack.readiness().get("problems", {}).get("broker") == refusal, "the refusal was told")
        assert "Traceback" not in stranger.log_path.read_text()
    finally:
        stranger.stop()
    stack.service.start()

    stack.wait_until_ready()


def test_a_service_that_may_not_read_its_events_is_not_ready_and_says_why(stack: Stack, broker: ShopBroker) -> None:
    broker.change_rules(ACCESS_RULES.read_text().replace(f"topic readwrite {FOCUS}", f"topic write {FOCUS}"))
    stack.service.start()

    def problem() -> str:
        return str(stack.readiness().get("problems", {}).get("broker"))

    eventually(lambda: f"nothing that is published on '{FOCUS}' arrives here" in problem(), "the silence was told")


def test_a_service_that_may_not_prove_its_subscription_is_ready_and_says_so(stack: Stack, broker: ShopBroker) -> None:
    broker.change_rules(ACCESS_RULES.read_text().replace("topic readwrite", "topic read"))
    stack.service.start()
    stack.wait_until_ready()

    degraded = stack.readiness()["degraded"]

    assert {"canary", "canary_entry_events"} <= degraded.keys()
    assert "Not authorized" in degraded["canary"]
