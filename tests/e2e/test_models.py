"""A promotion on the command line decides in all instances, without a restart."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.embedded.ports import LOOPBACK, free_port
from tests.e2e.stack import FOCUS, PREDICTION, Device, Stack, device_at, eventually, running_stack
from tests.small_models import SmallModel

ADMIN_KEY = "an-admin-key-of-the-environment-0"
KEY = {"X-API-Key": ADMIN_KEY}
FIRST, SECOND = 0, 1
BROKEN = "logistic-000000000000"


class Shop:
    """A stack with a second instance of the service, which shares its events."""

    def __init__(self, stack: Stack, device: Device) -> None:
        self.stack = stack
        self.device = device
        self.other_port = free_port()
        self.other = stack.process(
            "other", "serve", "--host", LOOPBACK, MQTT_CLIENT_ID="other", PORT=str(self.other_port)
        )

    def get(self, path: str, instance: int = FIRST) -> Any:
        """What an instance answers; nothing while it does not."""
        url = (self.stack.url, f"http://{LOOPBACK}:{self.other_port}")[instance]
        try:
            return httpx.get(f"{url}{path}", headers=KEY, trust_env=False).json()
        except httpx.HTTPError:
            return {}

    def serves(self, version: str) -> bool:
        """Whether both instances score with this version."""
        found = [self.get("/api/v1/models/serving", instance).get("version") for instance in (FIRST, SECOND)]
        return found == [version] * 2

    def decide(self, customer_id: str, ts: int) -> tuple[str, str]:
        """The version in the decision's row, and in the message."""

        def about(messages: list[Any]) -> list[Any]:
            start = b'{"customer":{"id":"%b"}' % customer_id.encode()
            return [one for one in messages if one.topic == PREDICTION and bytes(one.payload).startswith(start)]

        payload = json.dumps({"id": customer_id, "ts": ts, "dep": "Women"}).encode()
        self.device.publish(FOCUS, payload)
        message = about(self.device.hears(lambda heard: bool(about(heard)), f"a result for {customer_id}"))[0]
        properties = dict(message.properties.UserProperty)
        decision = UUID(properties["decision-id"])
        (row,) = self.stack.query(f"SELECT model_version FROM decision WHERE decision_id = '{decision}'")
        return row, properties["deployment"]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with running_stack(ADMIN_API_KEY=ADMIN_KEY, MQTT_SHARED_GROUP="shop") as stack, ExitStack() as undo:
        device = undo.enter_context(device_at(stack))
        shop = Shop(stack, device)
        undo.callback(shop.other.stop)
        shop.other.start()
        eventually(lambda: shop.get("/readyz", SECOND).get("status") == "ready", "the other instance was ready")
        yield shop


def test_a_promotion_and_a_roll_back_decide_in_all_instances_without_a_restart(
    shop: Shop, small_model: SmallModel
) -> None:
    started = shop.get("/api/v1/models/serving")["version"]
    shop.stack.command("model", "register", str(small_model.folder))
    shop.stack.command("model", "promote", small_model.version)
    eventually(lambda: shop.serves(small_model.version), "both instances served the promoted model")
    promoted = [shop.decide(str(customer), 1) for customer in (301, 302, 303)]
    shop.stack.command("model", "rollback")
    eventually(lambda: shop.serves(started), "both instances served the first model again")
    back = [shop.decide(str(customer), 1) for customer in (304, 305, 306)]

    assert promoted == [(small_model.version, f"default@{small_model.version}")] * 3
    assert back == [(started, f"default@{started}")] * 3


def test_a_champion_that_cannot_be_built_is_told_of_and_the_present_one_goes_on(shop: Shop) -> None:
    started = shop.get("/api/v1/models/serving")["version"]
    shop.stack.query(f"INSERT INTO model VALUES ('{BROKEN}', '{{}}', '', NULL, now(), 'ada')")
    shop.stack.query(
        "INSERT INTO model_alias (alias, since, version, changed_by, reason, is_forced, is_rollback) "
        f"VALUES ('champion', now(), '{BROKEN}', 'ada', '', false, false)"
    )

    def told() -> bool:
        parts = [shop.get("/readyz", instance) for instance in (FIRST, SECOND)]
        return all(BROKEN in one.get("degraded", {}).get("champion", "") for one in parts)

    eventually(told, "both instances told of the champion")
    row, _ = shop.decide("307", 1)
    assert row == started
    assert shop.stack.is_ready()
    shop.stack.query(f"DELETE FROM model_alias WHERE version = '{BROKEN}'")
    eventually(lambda: "degraded" not in shop.stack.readiness(), "the champion was no problem any more")
