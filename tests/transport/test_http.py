"""Every route, with the application in memory and no network."""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator
from prometheus_client.parser import text_string_to_metric_families

from app.adapters.memory import MemoryBroker
from app.embedded.ports import free_port
from app.errors import DatabaseUnavailable
from app.events import MAX_BODY_BYTES
from app.handlers import decide_batch
from app.ports import OutboundMessage
from app.transport.http.score import MAX_REQUEST_BYTES
from tests.transport.application import client_of, running_app, running_of, with_ports
from tests.transport.builders import AskedCentral, FailingCache, Shop, context, focus, on
from tests.transport.eventually import eventually

PROJECT = Path(__file__).parents[2]
SCHEMAS = PROJECT / "schema"
EVENT = {"id": "127", "ts": 192322800, "dep": "Boys"}
PROBLEM = "application/problem+json"
HOSTILE = "\"'><script>alert(1)</script>{}\\"
CUSTOMER = {
    "customer_id": 1,
    "gender": "F",
    "age": 34,
    "mean_buy_price": 28.5,
    "total_coupons_used": 11,
    "mean_discount_received": 22.25,
    "unique_products_bought": 60,
    "unique_products_bought_with_coupons": 9,
    "total_items_bought": 90,
}
SCORED = {
    "coupon_id": 8,
    "coupon_type": "buy_more",
    "department": "Boys",
    "discount": 50,
    "how_many_products_required": 3,
    "product_mean_price": 12.5,
    "products_available": 5,
}


@pytest.fixture(scope="module")
async def app() -> AsyncIterator[FastAPI]:
    async with running_app() as started:
        yield started


@pytest.fixture(scope="module")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


def published(app: FastAPI) -> list[OutboundMessage]:
    broker = running_of(app).outbox._publisher
    assert isinstance(broker, MemoryBroker)
    return list(broker.published)


def is_problem(response: httpx.Response, status: int) -> bool:
    body = response.json()
    return (
        (response.status_code, response.headers["content-type"], body["status"]) == (status, PROBLEM, status)
        and body["type"] == "about:blank"
        and bool(body["title"] and body["detail"])
    )


class References(HTMLParser):
    """What a browser fetches for a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "action", "srcset", "data"}]


async def test_a_customer_who_enters_is_known_from_the_cache(client: httpx.AsyncClient) -> None:
    response = await client.post("/mock_entry", json={"id": "127", "ts": 192322800})

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer = response.json()
    assert answer.keys() == {"event_id", "context_source", "context"}
    assert (answer["context_source"], answer["context"]["customer_id"]) == ("cache", "127")


async def test_a_customer_who_enters_is_fetched_from_the_central(app: FastAPI, client: httpx.AsyncClient) -> None:
    async with with_ports(app, central=AskedCentral(context("new"))):
        answer = (await client.post("/mock_entry", json={"id": "new", "ts": 1})).json()

    assert (answer["context_source"], answer["context"]["age"]) == ("central", context("new").age)


async def test_a_customer_whom_nobody_knows_enters_with_the_defaults(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/mock_entry", json={"id": "stranger", "ts": 1})).json()

    assert (answer["context_source"], answer["context"]["customer_id"]) == ("defaults", "stranger")


async def test_the_answer_is_the_published_result_byte_for_byte_with_the_decision_behind_it(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    response = await client.post("/mock_focus", json=EVENT)

    message = published(app)[-1]
    head, separator, tail = response.content.rpartition(b',"decision":')
    assert head + b"}" == message.payload
    decision = json.loads(tail[:-1])
    assert (response.status_code, response.headers["content-type"], separator != b"") == (200, "application/json", True)
    assert message.properties["decision-id"] == decision["id"]
    assert (decision["reason"], decision["context_source"], decision["scorer"]) == ("offered", "cache", "in_process")
    assert decision["score"] > decision["threshold"]
    assert decision["timings"].keys() == {"context_ms", "score_ms", "decide_ms", "record_ms", "total_ms"}
    offered = [one for one in decision["candidates"] if one["fate"] == "offered"]
    assert offered == [{"coupon_id": response.json()["coupon"]["id"], "fate": "offered", "score": decision["score"]}]


async def test_a_result_follows_its_schema(client: httpx.AsyncClient) -> None:
    schema = json.loads((SCHEMAS / "prediction_result.schema.json").read_text())
    offer = (await client.post("/mock_focus", json={**EVENT, "ts": 10})).json()
    no_offer = (await client.post("/mock_focus", json={**EVENT, "ts": 10, "dep": "Garden"})).json()

    Draft202012Validator(schema).validate(offer)
    Draft202012Validator(schema).validate(no_offer)
    assert (no_offer["coupon"], no_offer["reason"]) == (None, "no_candidates")


async def test_a_copy_repeats_the_bytes_and_says_so(app: FastAPI, client: httpx.AsyncClient) -> None:
    first = await client.post("/mock_focus", json={**EVENT, "ts": 11})
    second = await client.post("/mock_focus", json={**EVENT, "ts": 11})

    before, after = published(app)[-2:]
    assert before.payload == after.payload
    assert second.content.startswith(after.payload[:-1] + b',"decision":')
    assert second.content.endswith(b',"repeated":true}')
    assert "repeated" not in first.json()
    assert first.json()["decision"]["candidates"] == second.json()["decision"]["candidates"]


async def test_a_copy_after_the_catalogue_has_changed_says_nothing_of_the_candidates(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    first = (await client.post("/mock_focus", json={**EVENT, "ts": 12})).json()
    async with with_ports(app, catalogue=Shop().catalogue):
        second = (await client.post("/mock_focus", json={**EVENT, "ts": 12})).json()

    assert second["decision"]["candidates"] is None
    assert (second["coupon"], second["decision"]["score"]) == (first["coupon"], first["decision"]["score"])


async def test_a_dry_run_publishes_and_stores_nothing(app: FastAPI, client: httpx.AsyncClient) -> None:
    before = published(app)
    dry = (await client.post("/mock_focus?dry_run=true", json={**EVENT, "ts": 13})).json()
    again = (await client.post("/mock_focus?dry_run=true", json={**EVENT, "ts": 13})).json()
    after_dry = published(app)
    real = (await client.post("/mock_focus", json={**EVENT, "ts": 13})).json()

    assert after_dry == before
    assert ["repeated" in answer for answer in (dry, again, real)] == [False, False, False]
    assert dry["coupon"] == again["coupon"] == real["coupon"]


async def test_a_decision_without_an_offer_is_answered_and_not_published(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    before = published(app)
    answer = (await client.post("/mock_focus", json={**EVENT, "dep": "Garden"})).json()

    assert (answer["coupon"], answer["decision"]["propensity"], answer["decision"]["candidates"]) == (None, None, [])
    assert published(app) == before


async def test_the_central_is_asked_for_a_customer_who_is_not_known_here(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async with with_ports(app, central=AskedCentral(context("someone"))):
        answer = (await client.post("/mock_focus", json={**EVENT, "id": "someone"})).json()

    assert answer["decision"]["context_source"] == "central"


async def test_healthcheck_says_ok(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthcheck")

    assert (response.status_code, response.headers["content-type"], response.text) == (
        200,
        "text/plain; charset=utf-8",
        "OK",
    )


@pytest.mark.parametrize("path", ["/healthcheck", "/livez", "/readyz"])
async def test_who_asks_for_health_need_not_read_the_answer(client: httpx.AsyncClient, path: str) -> None:
    response = await client.head(path)

    assert (response.status_code, response.content) == (200, b"")


async def test_every_part_of_a_service_in_memory_is_ready(client: httpx.AsyncClient) -> None:
    brief, verbose, alive = [await client.get(path) for path in ("/readyz", "/readyz?verbose", "/livez")]

    assert (brief.status_code, brief.json()) == (200, {"status": "ready"})
    assert (verbose.json()["status"], verbose.json()["parts"]) == (
        "ready",
        {"model": "ready", "champion": "ready"},
    )
    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})


async def test_metrics_can_be_read_by_prometheus(client: httpx.AsyncClient) -> None:
    await client.post("/mock_focus", json={**EVENT, "ts": 14})

    response = await client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples["recommendation_events_total", "focus"] >= 1
    assert samples["recommendation_decisions_total", "false", "offered"] >= 1
    assert samples["recommendation_ready", "model"] == 1


async def test_scores_every_coupon_best_first(client: httpx.AsyncClient) -> None:
    coupons = [{**SCORED, "coupon_id": str(n), "discount": n} for n in (5.5, 50, 20)]

    response = await client.post("/score", json={"customer": CUSTOMER, "coupons": coupons})

    answer = response.json()
    predictions = [line["prediction"] for line in answer]
    assert response.status_code == 200
    assert {line["coupon_id"] for line in answer} == {"5.5", "50", "20"}
    assert {line["customer_id"] for line in answer} == {"1"}
    assert predictions == sorted(predictions, reverse=True)
    assert all(0 <= prediction <= 1 for prediction in predictions)
    schema = json.loads((SCHEMAS / "prediction.schema.json").read_text())
    Draft202012Validator(schema).validate(answer)
    Draft202012Validator(schema).validate({"customer": CUSTOMER, "coupons": coupons})


async def test_scores_a_coupon_whatever_its_dates_and_its_stock(client: httpx.AsyncClient) -> None:
    coupons = [{**SCORED, "start_date": "1999-01-01", "end_date": "1999-01-02", "products_available": 0}]

    answer = (await client.post("/score", json={"customer": CUSTOMER, "coupons": coupons})).json()

    assert [line["coupon_id"] for line in answer] == ["8"]


async def test_nothing_to_score_is_an_empty_answer(client: httpx.AsyncClient) -> None:
    response = await client.post("/score", json={"customer": CUSTOMER, "coupons": []})

    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"discount": 101}, "discount"),
        ({"coupon_type": "gift"}, "coupon_type"),
        ({"coupon_id": True}, "coupon_id"),
        ({"coupon_id": ""}, "coupon_id"),
        ({"product_mean_price": "NaN"}, "product_mean_price"),
        ({"department": ""}, "department"),
    ],
)
async def test_a_wrong_request_for_scores_is_refused_by_field(
    client: httpx.AsyncClient, change: dict[str, Any], field: str
) -> None:
    response = await client.post("/score", json={"customer": CUSTOMER, "coupons": [{**SCORED, **change}]})

    assert is_problem(response, 422)
    assert [error["field"] for error in response.json()["errors"]] == [f"coupons.0.{field}"]


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    assert is_problem(await client.get("/nothing/here"), 404)
    assert is_problem(await client.get("/docs/assets/nothing.js"), 404)


async def test_a_wrong_method_is_a_problem_that_names_the_right_one(client: httpx.AsyncClient) -> None:
    response = await client.get("/mock_focus")

    assert is_problem(response, 405)
    assert response.headers["allow"] == "POST"


async def test_a_refused_event_is_a_problem_that_names_every_field(client: httpx.AsyncClient) -> None:
    response = await client.post("/mock_focus", json={"id": True, "ts": "yesterday"})

    assert is_problem(response, 422)
    assert [(error["field"], error["code"]) for error in response.json()["errors"]] == [
        ("id", "invalid_customer_id"),
        ("ts", "invalid_timestamp"),
        ("dep", "invalid_department"),
    ]


@pytest.mark.parametrize("path", ["/mock_focus?dry_run=perhaps", "/score"])
async def test_a_request_that_breaks_its_schema_is_a_problem(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, content=b"{")

    assert is_problem(response, 422)
    assert response.json()["errors"]


async def test_a_fault_is_a_problem_without_its_details(app: FastAPI) -> None:
    async with (
        with_ports(app, cache=FailingCache({}, 1, ZeroDivisionError("secret"))),
        client_of(app, raises=False) as c,
    ):
        response = await c.post("/mock_focus", json=EVENT)

    assert is_problem(response, 500)
    assert "secret" not in response.text


async def test_a_database_that_is_away_is_a_problem_to_try_again(app: FastAPI, client: httpx.AsyncClient) -> None:
    async with with_ports(app, cache=FailingCache({}, 1, DatabaseUnavailable("asking the database: away"))):
        response = await client.post("/mock_focus", json=EVENT)

    assert is_problem(response, 503)
    assert response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("path", "limit"),
    [("/mock_entry", MAX_BODY_BYTES), ("/mock_focus", MAX_BODY_BYTES), ("/score", MAX_REQUEST_BYTES)],
)
async def test_a_body_over_the_limit_is_refused_before_it_is_read(
    client: httpx.AsyncClient, path: str, limit: int
) -> None:
    chunks_read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal chunks_read
        while True:
            chunks_read += 1
            yield b" " * 1024

    async with asyncio.timeout(5):
        response = await client.post(path, content=endless())

    assert is_problem(response, 422)
    assert response.json()["errors"][0]["code"] == "too_large"
    assert chunks_read == limit // 1024 + 1


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
async def test_the_documentation_fetches_nothing_from_the_internet(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path, headers={"accept": "text/html,application/xhtml+xml"})

    found = [*References(page.text).found, *re.findall(r"url: '([^']*)'", page.text)]
    answers = [await client.get(reference) for reference in found]
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert found
    assert [reference for reference in found if not reference.startswith("/") or reference.startswith("//")] == []
    assert [answer.status_code for answer in answers] == [200] * len(found)
    styles = "".join(answer.text for answer in answers if "css" in answer.headers["content-type"])
    assert re.findall(r"@import.{0,80}|url\((?![\"']?data:).{0,80}", styles + page.text) == []


async def test_the_openapi_document_describes_every_route_and_its_references_lead_somewhere(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    assert document["paths"].keys() == {
        "/healthcheck",
        "/livez",
        "/readyz",
        "/metrics",
        "/mock_entry",
        "/mock_focus",
        "/score",
        "/api/v1/decisions",
        "/api/v1/decisions/{decision_id}",
        "/api/v1/keys",
        "/api/v1/keys/{key_id}",
        "/api/v1/models",
        "/api/v1/models/serving",
        "/api/v1/models/aliases",
        "/api/v1/models/aliases/{alias}",
        "/api/v1/models/aliases/{alias}/rollback",
        "/api/v1/models/{version}",
        "/api/v1/models/{version}/download",
    }
    assert unresolved(document, document) == []
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    body = document["paths"]["/mock_focus"]["post"]["requestBody"]["content"]["application/json"]
    inlined = {"$defs": {}, **body["schema"], "components": document["components"]}
    Draft202012Validator(inlined).validate(body["example"])


async def test_the_asyncapi_document_is_the_generated_one_with_the_references_leading_somewhere(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/asyncapi", headers={"accept": "application/json"})).json()
    same = (await client.get("/asyncapi?format=json", headers={"accept": "text/html"})).json()

    assert document == same == json.loads((SCHEMAS / "asyncapi.yaml").read_text())
    assert unresolved(document, document) == []


def unresolved(document: Any, part: Any) -> list[str]:
    """The references below `part` that lead nowhere in the document."""
    if isinstance(part, list):
        return [one for item in part for one in unresolved(document, item)]
    if not isinstance(part, dict):
        return []
    found = [one for item in part.values() for one in unresolved(document, item)]
    reference = part.get("$ref")
    if isinstance(reference, str) and not leads_somewhere(document, reference):
        found.append(reference)
    return found


def leads_somewhere(document: Any, reference: str) -> bool:
    root, *names = reference.split("/")
    for name in names:
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return root == "#"


@pytest.mark.parametrize("field", ["id", "dep"])
async def test_hostile_text_comes_back_as_text(client: httpx.AsyncClient, field: str) -> None:
    response = await client.post("/mock_focus", json={**EVENT, field: HOSTILE})

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    assert response.json()["customer"]["id"] == (HOSTILE if field == "id" else "127")


@pytest.mark.parametrize("field", ["id", "dep"])
@pytest.mark.parametrize("text", ["a\nb", "a\r\n{}", "a\x1b[2J", "a\u2028b"])
async def test_control_characters_in_names_are_refused(client: httpx.AsyncClient, field: str, text: str) -> None:
    response = await client.post("/mock_focus", json={**EVENT, field: text})

    assert is_problem(response, 422)
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_hostile_text_never_splits_a_line_of_the_log(tmp_path: Path) -> None:
    file = tmp_path / "messages.log"
    async with running_app(LOG_FILENAME=str(file), LOG_LEVEL="DEBUG") as app, client_of(app) as client:
        for text in (HOSTILE, "a\nb", "\u2028", "\x85"):
            for field in ("id", "dep"):
                await client.post("/mock_focus", json={**EVENT, field: text})
        await client.get("/nothing%0A%7B%22event%22%3A%22forged%22%7D")
        logging.getLogger("uvicorn.error").info('127.0.0.1 - "GET /%s"', 'x\n{"event": "forged"}')

    lines = file.read_bytes().splitlines()
    events = [json.loads(line)["event"] for line in lines]
    assert "started" in events
    assert "forged" not in events
    assert all(line.isascii() for line in lines)


async def test_topics_are_escaped_on_the_page_that_describes_them() -> None:
    variables = {"MQTT_HOST": f"127.0.0.1:{free_port()}", "TESTING_NO_MQTT": False}
    topics = dict.fromkeys(("ENTER_TOPIC", "FOCUS_TOPIC", "COUPON_PREDICTION_TOPIC"), HOSTILE)
    async with running_app(**variables, **topics) as app, client_of(app) as client:
        page = await client.get("/asyncapi", headers={"accept": "text/html"})

    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_without_its_broker_the_service_starts_and_says_what_is_missing() -> None:
    port = free_port()
    async with running_app(**with_broker(port)) as app, client_of(app) as client:
        health = running_of(app).health
        await eventually(lambda: "refused" in health.problems.get("broker", ""))
        ready, verbose = await client.get("/readyz"), await client.get("/readyz?verbose")
        alive, check = await client.get("/livez"), await client.get("/healthcheck")

    assert (ready.status_code, ready.json()["status"]) == (503, "not ready")
    assert ready.json()["problems"].keys() == {"broker", "broker_entry_events"}
    assert f"127.0.0.1:{port}" in ready.json()["problems"]["broker"]
    assert verbose.json()["parts"]["model"] == "ready"
    assert [alive.status_code, check.status_code] == [200, 200]


async def test_without_its_central_the_service_is_ready_and_says_what_it_does_without() -> None:
    async with running_app(CLIENT_CONTEXT_URL=f"http://127.0.0.1:{free_port()}") as app, client_of(app) as client:
        entered = [await client.post("/mock_entry", json={"id": "stranger", "ts": ts}) for ts in range(5)]
        ready = await client.get("/readyz")

    assert {answer.json()["context_source"] for answer in entered} == {"defaults"}
    assert (ready.status_code, ready.json()["status"], ready.json()["degraded"].keys()) == (200, "ready", {"central"})


async def test_beside_mqtt_the_mock_endpoints_are_there_only_when_asked_for() -> None:
    async with running_app(**with_broker(free_port())) as app, client_of(app) as client:
        without = [await client.post(path, json=EVENT) for path in ("/mock_entry", "/mock_focus")]
        document = (await client.get("/openapi.json")).json()
    async with running_app(**with_broker(free_port()), MOCK_ENDPOINTS=True) as app, client_of(app) as client:
        response = await client.post("/mock_focus", json=EVENT)

    assert all(is_problem(answer, 404) for answer in without)
    assert "/mock_focus" not in document["paths"]
    assert response.status_code == 200


async def test_work_in_the_background_that_has_crashed_is_told_by_livez() -> None:
    async with running_app() as app, client_of(app) as client:
        running = running_of(app)
        (decided,) = await decide_batch(running.services, on([replace(focus(), department="Boys")]))
        impossible = replace(decided.decision, decision_id=cast(UUID, []))  # marking its result as published fails
        running.outbox.publish_result(impossible, decided.result)
        await eventually(lambda: bool(running.health.crashed))
        response = await client.get("/livez")
        check = await client.get("/healthcheck")

    assert (response.status_code, response.json()) == (503, {"status": "crashed", "crashed": ["outbox"]})
    assert check.status_code == 200


def with_broker(port: int) -> dict[str, Any]:
    return {
        "TESTING_NO_MQTT": False,
        "MQTT_HOST": f"127.0.0.1:{port}",
        "ENTRY_EVENT_TOPIC_NAME": "shop/entry",
        "FOCUS_EVENT_TOPIC_NAME": "shop/focus",
        "COUPON_PREDICTION_TOPIC_NAME": "shop/prediction",
    }
