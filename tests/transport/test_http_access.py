"""Who may use which route."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.access import KeyRing, make_key
from app.adapters.memory import MemoryApiKeys
from app.domain.access import Role
from app.embedded.ports import free_port
from app.transport.http.access import access_by_path
from tests.builders import NOW
from tests.transport.application import client_of, running_app, running_of
from tests.transport.eventually import eventually

EVENT = {"id": "127", "ts": 192322800, "dep": "Boys"}
SCORE = {
    "customer": {
        "customer_id": 1,
        "gender": "F",
        "age": 34,
        "mean_buy_price": 28.5,
        "total_coupons_used": 11,
        "mean_discount_received": 22.25,
        "unique_products_bought": 60,
        "unique_products_bought_with_coupons": 9,
        "total_items_bought": 90,
    },
    "coupons": [],
}
PROBLEM = "application/problem+json"
ADMIN_KEY = "an-admin-key-of-the-environment-0"
WRONG_KEY = "rk_0123456789abcdef.0123456789012345678901234567890123456789012"

PUBLIC = {"/healthcheck", "/livez", "/readyz", "/", "/docs/assets"}
Call = tuple[str, str, object]
OPEN: list[tuple[Role, Call]] = [
    (Role.READ, ("GET", "/metrics", None)),
    (Role.READ, ("GET", "/docs", None)),
    (Role.READ, ("GET", "/openapi.json", None)),
    (Role.READ, ("GET", "/asyncapi", None)),
    (Role.OPERATE, ("POST", "/score", SCORE)),
    (Role.OPERATE, ("POST", "/mock_entry", {"id": "127", "ts": 1})),
    (Role.OPERATE, ("POST", "/mock_focus", EVENT)),
]
MANAGEMENT: list[tuple[Role, Call]] = [
    (Role.READ, ("GET", "/api/v1/decisions?customer_id=127", None)),
    (Role.READ, ("GET", "/api/v1/decisions/00000000-0000-0000-0000-000000000000", None)),
    (Role.READ, ("GET", "/api/v1/models", None)),
    (Role.READ, ("GET", "/api/v1/models/serving", None)),
    (Role.READ, ("GET", "/api/v1/models/aliases", None)),
    (Role.READ, ("GET", "/api/v1/models/aliases/champion", None)),
    (Role.READ, ("GET", "/api/v1/models/logistic-0", None)),
    (Role.READ, ("GET", "/api/v1/models/logistic-0/download", None)),
    (Role.ADMIN, ("POST", "/api/v1/models", {})),
    (Role.ADMIN, ("PUT", "/api/v1/models/aliases/champion", {"version": "logistic-0"})),
    (Role.ADMIN, ("POST", "/api/v1/models/aliases/champion/rollback", {})),
    (Role.ADMIN, ("DELETE", "/api/v1/models/logistic-0", None)),
    (Role.ADMIN, ("GET", "/api/v1/keys", None)),
    (Role.ADMIN, ("POST", "/api/v1/keys", {"role": "read"})),
    (Role.ADMIN, ("DELETE", "/api/v1/keys/rk_nobody", None)),
]
HEALTH = ("/healthcheck", "/livez", "/readyz", "/readyz?verbose")


def name_of(case: object) -> str:
    return f"{case[0]} {case[1]}" if isinstance(case, tuple) else str(case)


@pytest.fixture(scope="module")
async def open_app() -> AsyncIterator[FastAPI]:
    """Without any key."""
    async with running_app() as started:
        yield started


@pytest.fixture(scope="module")
async def app() -> AsyncIterator[FastAPI]:
    """With an admin key of the environment."""
    async with running_app(ADMIN_API_KEY=ADMIN_KEY) as started:
        yield started


@pytest.fixture(scope="module")
async def keys(app: FastAPI) -> dict[Role, str]:
    """A key of each role."""
    ring, texts = running_of(app).keys, {}
    for role in Role:
        key, texts[role] = make_key(role, "", NOW)
        await ring.store.add(key)
    await ring.read()
    return texts


async def ask(app: FastAPI, call: Call, key: str | None = None) -> httpx.Response:
    method, path, body = call
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    async with client_of(app) as client:
        return await client.request(method, path, json=body, headers=headers)


def refused(app: FastAPI, reason: str) -> float:
    return float(running_of(app).metrics.http_refused.labels(reason)._value.get())


def test_every_route_that_is_not_known_to_be_public_wants_a_key(open_app: FastAPI) -> None:
    routes = list(access_by_path(open_app))

    assert {path for path, access in routes if access is None} == PUBLIC
    assert {path for path, access in routes if access and not access.is_open_without_keys} == {
        "/api/v1/decisions",
        "/api/v1/decisions/{decision_id}",
        "/api/v1/keys",
        "/api/v1/keys/{key_id}",
        "/api/v1/models",
        "/api/v1/models/aliases",
        "/api/v1/models/aliases/{alias}",
        "/api/v1/models/aliases/{alias}/rollback",
        "/api/v1/models/serving",
        "/api/v1/models/{version}",
        "/api/v1/models/{version}/download",
    }


@pytest.mark.parametrize("call", [call for _, call in OPEN], ids=name_of)
async def test_without_any_key_these_answer_anyone(open_app: FastAPI, call: Call) -> None:
    assert (await ask(open_app, call)).status_code == 200
    assert (await ask(open_app, call, WRONG_KEY)).status_code == 200


@pytest.mark.parametrize("call", [call for _, call in MANAGEMENT], ids=name_of)
async def test_without_any_key_management_says_how_to_make_the_first(open_app: FastAPI, call: Call) -> None:
    response = await ask(open_app, call)

    assert (response.status_code, response.headers["content-type"]) == (401, PROBLEM)
    assert response.headers["www-authenticate"] == "Bearer"
    assert "python -m app key create --role admin" in response.json()["detail"]


@pytest.mark.parametrize(("role", "call"), OPEN + MANAGEMENT, ids=name_of)
async def test_once_there_is_a_key_no_other_route_answers_without_one(app: FastAPI, role: Role, call: Call) -> None:
    none, wrong = await ask(app, call), await ask(app, call, WRONG_KEY)

    assert (none.status_code, none.headers["www-authenticate"]) == (401, "Bearer")
    assert wrong.status_code in {401, 429}
    if call[1] != "/docs":  # a page, which asks people for their key
        assert none.headers["content-type"] == PROBLEM
        assert f"the role {role}" in none.json()["detail"]


@pytest.mark.parametrize(("role", "call"), OPEN + MANAGEMENT, ids=name_of)
async def test_each_route_wants_its_role_or_a_greater_one(
    app: FastAPI, keys: dict[Role, str], role: Role, call: Call
) -> None:
    answers = {held: await ask(app, call, key) for held, key in keys.items()}

    assert [held for held, answer in answers.items() if answer.status_code not in {401, 403}] == [
        held for held in Role if held.covers(role)
    ]
    for held, answer in answers.items():
        if not held.covers(role):
            assert (answer.status_code, answer.headers["content-type"]) == (403, PROBLEM)
            assert f"a key with the role {role}; yours has the role {held}" in answer.json()["detail"]


@pytest.mark.parametrize("path", HEALTH)
async def test_health_answers_everybody(app: FastAPI, path: str) -> None:
    assert (await ask(app, ("GET", path, None))).status_code == 200
    assert (await ask(app, ("GET", path, None), WRONG_KEY)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {ADMIN_KEY}"},
        {"Authorization": f"bearer  {ADMIN_KEY} "},
        {"X-API-Key": ADMIN_KEY},
        {"Authorization": "Basic dXNlcjpwYXNz", "X-API-Key": ADMIN_KEY},
    ],
)
async def test_a_key_comes_in_either_header(app: FastAPI, headers: dict[str, str]) -> None:
    async with client_of(app) as client:
        assert (await client.get("/api/v1/keys", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ADMIN_KEY},
        {"Authorization": f"Basic {ADMIN_KEY}"},
        {"Authorization": "Bearer"},
        {"X-API-Key": ""},
        {"Cookie": f"X-API-Key={ADMIN_KEY}"},
    ],
)
async def test_a_key_that_comes_otherwise_is_none(app: FastAPI, headers: dict[str, str]) -> None:
    async with client_of(app) as client:
        by_header = await client.get("/api/v1/keys", headers=headers)
        by_query = await client.get("/api/v1/keys", params={"X-API-Key": ADMIN_KEY, "api_key": ADMIN_KEY})

    assert (by_header.status_code, by_query.status_code) == (401, 401)


@pytest.mark.parametrize("end", ["expired", "revoked"])
async def test_a_key_that_has_ended_is_refused(app: FastAPI, end: str) -> None:
    ring = running_of(app).keys
    key, text = make_key(Role.ADMIN, "", NOW - timedelta(days=9000), expires_days=1 if end == "expired" else None)
    await ring.store.add(replace(key, revoked_at=NOW if end == "revoked" else None))
    await ring.read()

    assert (await ask(app, ("GET", "/api/v1/keys", None), text)).status_code in {401, 429}


async def test_a_key_that_another_process_revokes_is_refused_soon(
    app: FastAPI, keys: dict[Role, str], database_url: str
) -> None:
    async with running_app(
        TESTING_NO_POSTGRES=False, DATABASE_URL=database_url, ADMIN_API_KEY=ADMIN_KEY
    ) as with_database:
        ring = running_of(with_database).keys
        key, text = make_key(Role.READ, "", NOW)
        await ring.store.add(key)
        await eventually(lambda: ring.find(text) is not None)
        before = await ask(with_database, ("GET", "/metrics", None), text)
        await ring.store.revoke(key.key_id, NOW)
        await eventually(lambda: ring.find(text) is None)
        after = await ask(with_database, ("GET", "/metrics", None), text)

    assert (before.status_code, after.status_code) == (200, 401)


async def test_as_long_as_the_keys_were_never_read_only_health_and_the_admin_key_of_the_environment_are_served() -> (
    None
):
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    async with running_app(TESTING_NO_POSTGRES=False, DATABASE_URL=away, ADMIN_API_KEY=ADMIN_KEY) as app:
        answers = [await ask(app, call) for _, call in OPEN + MANAGEMENT]
        health = [(await ask(app, ("GET", path, None))).status_code for path in ("/healthcheck", "/livez")]
        ready = await ask(app, ("GET", "/readyz?verbose", None))
        metrics = await ask(app, ("GET", "/metrics", None), ADMIN_KEY)

    assert {(answer.status_code, answer.headers["content-type"]) for answer in answers} == {(503, PROBLEM)}
    assert {answer.headers["retry-after"] for answer in answers} == {"2"}
    assert (health, ready.status_code, metrics.status_code) == ([200, 200], 503, 200)
    assert ready.json()["problems"]["database"] == "not ready"
    assert ready.json()["problems"]["migrations"] == "not asked yet"


async def test_what_is_wrong_with_a_part_is_told_to_those_with_a_key() -> None:
    address = f"127.0.0.1:{free_port()}"
    topics = {"ENTER_TOPIC": "shop/entry", "FOCUS_TOPIC": "shop/focus", "COUPON_PREDICTION_TOPIC": "shop/prediction"}
    async with running_app(TESTING_NO_MQTT=False, MQTT_HOST=address, ADMIN_API_KEY=ADMIN_KEY, **topics) as app:
        health = running_of(app).health
        await eventually(lambda: address in health.problems.get("broker", ""))
        stranger, known = [await ask(app, ("GET", "/readyz?verbose", None), key) for key in (None, ADMIN_KEY)]

    parts = {"broker": "not ready", "broker_entry_events": "not ready"}
    assert (stranger.status_code, known.status_code) == (503, 503)
    assert stranger.json()["problems"] == parts
    assert stranger.json()["parts"].items() >= {"model": "ready", **parts}.items()
    assert address in known.json()["parts"]["broker"]
    assert address in known.json()["problems"]["broker"]


async def test_what_answers_anyone_is_told_in_readyz_and_in_a_metric(open_app: FastAPI, app: FastAPI) -> None:
    ready, metrics = [await ask(open_app, ("GET", path, None)) for path in ("/readyz?verbose", "/metrics")]
    closed, closed_metrics = [
        await ask(app, ("GET", path, None), ADMIN_KEY) for path in ("/readyz?verbose", "/metrics")
    ]

    assert set(ready.json()["open_to_anyone"]) == {path for _, (_, path, _) in OPEN}
    assert 'recommendation_open_routes{route="/mock_focus"} 1.0' in metrics.text
    assert "open_to_anyone" not in closed.json()
    assert 'recommendation_open_routes{route="/mock_focus"} 0.0' in closed_metrics.text


async def test_what_answers_anyone_is_warned_of_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "messages.log"
    async with running_app(LOG_FILENAME=str(file), LOG_LEVEL="WARNING"):
        pass

    entries = [json.loads(line) for line in file.read_text().splitlines()]
    (warning,) = [one for one in entries if "no API key" in one["event"]]
    assert {"/mock_focus", "/mock_entry", "/score", "/metrics"} <= set(warning["routes"])


async def test_the_first_key_that_is_made_closes_what_was_open() -> None:
    async with running_app() as app:
        ring = running_of(app).keys
        key, text = make_key(Role.OPERATE, "", NOW)
        before = await ask(app, ("POST", "/mock_focus", EVENT))
        await ring.store.add(key)
        await ring.read()
        after, with_key = [await ask(app, ("POST", "/mock_focus", EVENT), presented) for presented in (None, text)]
        await ring.store.revoke(key.key_id, NOW)
        await ring.read()
        last = await ask(app, ("POST", "/mock_focus", EVENT))

    assert [one.status_code for one in (before, after, with_key, last)] == [200, 401, 200, 401]


async def test_what_was_not_let_in_is_counted_by_reason(app: FastAPI, keys: dict[Role, str]) -> None:
    before = [refused(app, reason) for reason in ("no_key", "role")]
    await ask(app, ("GET", "/metrics", None))
    await ask(app, ("GET", "/api/v1/keys", None), keys[Role.READ])

    assert [refused(app, reason) for reason in ("no_key", "role")] == [count + 1 for count in before]


async def test_the_page_of_the_interface_asks_people_for_a_key_and_holds_nothing_else(app: FastAPI) -> None:
    page, with_key = [await ask(app, ("GET", "/docs", None), key) for key in (None, ADMIN_KEY)]
    assets = [
        await ask(app, ("GET", path, None)) for path in ("/docs/assets/docs.js", "/docs/assets/swagger-ui-bundle.js")
    ]

    assert (page.status_code, with_key.status_code) == (401, 200)
    assert 'id="key-form"' in page.text
    assert page.text == with_key.text
    assert [asset.status_code for asset in assets] == [200, 200]


async def test_the_openapi_document_declares_how_a_key_is_sent(open_app: FastAPI) -> None:
    document = (await ask(open_app, ("GET", "/openapi.json", None))).json()

    schemes = document["components"]["securitySchemes"]
    wanted = {(one["type"], one.get("scheme") or one["name"]) for one in schemes.values()}
    public = {
        path for path, methods in document["paths"].items() if not any("security" in one for one in methods.values())
    }
    assert wanted == {("http", "bearer"), ("apiKey", "X-API-Key")}
    assert public == {"/healthcheck", "/livez", "/readyz"}


def test_the_ring_of_a_service_does_not_show_its_admin_key() -> None:
    ring = KeyRing(MemoryApiKeys(), ADMIN_KEY, lambda: NOW, lambda _: None)

    assert ADMIN_KEY not in repr(vars(ring))
