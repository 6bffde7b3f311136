"""Events in, outcomes out: a real broker, a real database, a real central, the service as a process."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.adapters.memory import MemoryCache, MemoryDeadLetterLog, MemoryDecisionLog
from app.adapters.postgres.catalogue import PostgresCatalogue
from app.adapters.postgres.database import Database
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.scorer_sklearn import load_model
from app.domain.customer import ContextSource
from app.domain.department import DepartmentNames
from app.events import parse_focus
from app.handlers import DecisionTerms, Gathered, NotRemade, Services, decide_batch, remake
from app.results import ResultEncoder
from app.settings import BUILT_IN_MODEL, customer_with
from tests.e2e.stack import ENTRY, FOCUS, PREDICTION, REJECTED, Device, Stack, eventually

VECTORS = json.loads((Path(__file__).parents[1] / "contract" / "vectors.json").read_text())["cases"]
FLAT_ENTRY = '{"id": "127", "ts": 192322800}'
FLAT_FOCUS = '{"id": "127", "ts": 192322800, "dep": "Boys"}'
ENVELOPE_ENTRY = """{
  "event_type": "entry event",
  "event_timestamp": "2021-03-18T08:29:02.160Z",
  "payload": {
    "customer_id": 3
  }
}"""
ENVELOPE_FOCUS = """{
  "event_type": "focus event",
  "event_timestamp": "2021-03-18T08:29:02.160Z",
  "payload": {
    "customer_id": 8,
    "category": "Women"
  }
}"""

WAITING = "SELECT count(*) FROM unpublished_decision JOIN decision USING (event_day, decision_id) "


def post(stack: Stack, path: str, body: str) -> httpx.Response:
    headers = {"accept": "application/json", "Content-Type": "application/json"}
    return httpx.post(f"{stack.url}{path}", content=body, headers=headers, trust_env=False)


def focus(customer_id: str, ts: int, department: str = "Boys") -> bytes:
    return json.dumps({"id": customer_id, "ts": ts, "dep": department}).encode()


async def logged(stack: Stack, customer_id: str) -> list[Mapping[str, Any]]:
    connection = await asyncpg.connect(stack.postgres.url)
    try:
        rows = await connection.fetch("SELECT * FROM decision WHERE customer_id = $1 ORDER BY decided_at", customer_id)
        return [dict(row) for row in rows]
    finally:
        await connection.close()


def test_an_event_of_any_client_gives_a_coupon_on_the_prediction_topic(stack: Stack, device: Device) -> None:
    device.publish(ENTRY, b'{"id": "201", "ts": 192322800}').wait_for_publish()
    device.publish(FOCUS, focus("201", 192322800))

    (payload,) = device.hears_about("201")

    result = json.loads(payload)
    assert list(result) == ["customer", "coupon", "ts"]
    assert result["customer"] == {"id": "201"}
    assert result["coupon"]["department"] == "Boys"
    assert result["coupon"]["products"]


def test_http_answers_with_the_very_bytes_that_were_published(stack: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("202", 1))
    (payload,) = device.hears_about("202")

    answer = post(stack, "/mock_focus", focus("202", 1).decode())

    assert answer.content.startswith(payload[:-1] + b',"decision":')
    assert answer.json()["repeated"] is True


async def test_copies_of_an_event_repeat_one_decision(stack: Stack, device: Device) -> None:
    for _ in range(3):
        device.publish(FOCUS, focus("203", 7, "Sport"))

    first, second, third = device.hears_about("203", copies=3)

    assert first == second == third
    assert json.loads(first)["coupon"]["department"] == "Sport"
    assert len(await logged(stack, "203")) == 1


def test_mqtt_5_carries_the_names_of_event_and_decision(stack: Stack, device: Device) -> None:
    sent = Properties(PacketTypes.PUBLISH)
    sent.CorrelationData = b"\x00corr"
    sent.UserProperty = [("event-id", "sensor-9/4711")]
    device.publish(FOCUS, focus("204", 1), sent)
    device.hears_about("204")

    message = next(one for one in device.heard if one.payload.startswith(b'{"customer":{"id":"204"}'))

    properties: Any = message.properties
    assert (properties.ContentType, properties.PayloadFormatIndicator) == ("application/json", 1)
    assert properties.CorrelationData == b"\x00corr"
    named = dict(properties.UserProperty)
    assert named["event-id"] == "sensor-9/4711"
    assert set(named) == {"event-id", "decision-id", "deployment"}


def test_a_property_with_a_byte_order_mark_stops_nobody(stack: Stack, device: Device) -> None:
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = [("note", "\ufeffhello")]
    device.publish(FOCUS, focus("211", 1), sent)
    device.publish(FOCUS, focus("212", 1))

    assert device.hears_about("211")
    assert device.hears_about("212")


@pytest.mark.parametrize("body", [FLAT_ENTRY, ENVELOPE_ENTRY], ids=["flat", "envelope"])
def test_the_documented_entry_calls_work(stack: Stack, body: str) -> None:
    answer = post(stack, "/mock_entry", body)

    assert answer.status_code == 200
    assert answer.json()["context_source"] in {"central", "cache"}


@pytest.mark.parametrize("body", [FLAT_FOCUS, ENVELOPE_FOCUS], ids=["flat", "envelope"])
def test_the_documented_focus_calls_give_a_coupon_and_why(stack: Stack, body: str) -> None:
    answer = post(stack, "/mock_focus", body)

    assert answer.status_code == 200
    assert answer.json()["coupon"]["id"]
    fates = [one["fate"] for one in answer.json()["decision"]["candidates"]]
    assert fates.count("offered") == 1
    assert "expired" in fates


def test_an_entry_event_brings_the_context_from_the_central(stack: Stack) -> None:
    first = post(stack, "/mock_entry", '{"id": "205", "ts": 1}').json()
    second = post(stack, "/mock_entry", '{"id": "205", "ts": 2}').json()

    assert (first["context_source"], second["context_source"]) == ("central", "cache")
    assert first["context"] == second["context"]


def test_a_focus_event_of_a_customer_not_known_here_brings_the_context_from_the_central(
    stack: Stack, device: Device
) -> None:
    stack.query("DELETE FROM customer_info WHERE customer_id = 207")
    device.publish(FOCUS, focus("207", 1))
    device.hears_about("207")

    assert stack.query("SELECT context_source FROM decision WHERE customer_id = '207'") == ["central"]
    assert stack.query("SELECT customer_id FROM customer_info WHERE customer_id = 207") == [207]


def test_a_customer_nobody_knows_gets_a_coupon_on_defaults(stack: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("visitor-1", 1))
    device.hears_about("visitor-1")

    answer = post(stack, "/mock_focus", focus("visitor-1", 1).decode()).json()

    assert (answer["decision"]["reason"], answer["decision"]["context_source"]) == ("unknown_customer", "defaults")


@pytest.mark.parametrize("case", [case for case in VECTORS if "error" in case], ids=lambda case: case["name"])
def test_a_refused_event_becomes_one_dead_letter(stack: Stack, device: Device, case: dict[str, Any]) -> None:
    body = case["raw"] if "raw" in case else json.dumps(case["input"])
    device.publish(ENTRY if case["kind"] == "entry" else FOCUS, body.encode())
    device.hears(lambda heard: any(one.topic == REJECTED for one in heard), case["name"])
    device.publish(FOCUS, focus("206", 1))
    device.hears_about("206")

    (letter,) = [json.loads(one.payload) for one in device.heard if one.topic == REJECTED]

    assert (letter["reason"], letter["payload"]) == (case["error"], body)


async def test_every_accepted_event_of_the_contract_is_decided(stack: Stack, device: Device) -> None:
    accepted = [case for case in VECTORS if "error" not in case]
    now, names = datetime.now(UTC), DepartmentNames.with_aliases({})
    for case in accepted:
        device.publish(ENTRY if case["kind"] == "entry" else FOCUS, json.dumps(case["input"]).encode())
    device.publish(FOCUS, focus("207", 1))
    device.hears_about("207")

    assert not [one.payload for one in device.heard if one.topic == REJECTED]
    for case in accepted:
        if case["kind"] == "focus" and case["expect"].get("ts", 0) is not None:
            event = parse_focus(json.dumps(case["input"]).encode(), now, names)
            rows = await logged(stack, event.customer_id)
            found = [row for row in rows if row["decision_id"] == event.decision_id]
            assert [row["event_ts"] for row in found] == [event.ts], case["name"]
            assert found[0]["coupon_id"] or found[0]["reason"] == "no_candidates"


async def test_a_decision_can_be_made_again_from_its_row(stack: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("208", 1, "Women"))
    (payload,) = device.hears_about("208")
    event = parse_focus(focus("208", 1, "Women"), datetime.now(UTC), DepartmentNames.with_aliases({}))

    async with Database.open(stack.postgres.url, 2) as database, read_catalogue(database) as catalogue:
        services = services_with(catalogue)
        (other,) = await decide_batch(services, [Gathered(event, customer_with({}), ContextSource.DEFAULTS)])
        ((decision, is_new),) = await PostgresDecisionLog(database).record([other.decision], {})
        remade = await remake(services, decision)

    assert not is_new
    assert not isinstance(remade, NotRemade)
    assert [one.coupon_id for one in remade if one.refusal is None] == [json.loads(payload)["coupon"]["id"]]


@asynccontextmanager
async def read_catalogue(database: Database) -> AsyncIterator[PostgresCatalogue]:
    """The catalogue of the database, read."""
    is_read = asyncio.Event()
    catalogue = PostgresCatalogue(
        database, DepartmentNames.with_aliases({}), lambda _: None, lambda _: None, lambda _: is_read.set()
    )
    task = asyncio.create_task(catalogue.run())
    try:
        async with asyncio.timeout(30):
            await is_read.wait()
        yield catalogue
    finally:
        task.cancel()
        await asyncio.wait((task,))


def services_with(catalogue: PostgresCatalogue) -> Services:
    """A service beside the running one, with the same model and terms of its own."""
    return Services(
        cache=MemoryCache(),
        central=None,
        catalogue=catalogue,
        scorer=load_model(BUILT_IN_MODEL),
        log=MemoryDecisionLog(),
        dead_letters=MemoryDeadLetterLog(),
        encoder=ResultEncoder(),
        terms=DecisionTerms(
            threshold=0.5,
            deployment="another",
            unknown_customer=customer_with({}),
            time_zone=UTC,
            context_ttl=timedelta(hours=1),
        ),
        clock=lambda: datetime.now(UTC),
    )


def test_published_results_are_marked_in_the_log(stack: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("209", 1))
    device.hears_about("209")

    eventually(lambda: stack.query(WAITING + "WHERE customer_id = '209'") == [0], "a mark")


def test_a_result_is_for_subscribers_of_the_prediction_topic_alone(stack: Stack, device: Device) -> None:
    device.publish(FOCUS, focus("210", 1))
    device.hears_about("210")

    assert {one.topic for one in device.heard} == {PREDICTION}
