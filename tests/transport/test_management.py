"""The management routes under /api/v1."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI

from app.domain.access import Role
from app.handlers import decide_batch
from tests.transport.application import client_of, running_app, running_of, with_ports
from tests.transport.builders import Clock, Shop, focus, on

PROBLEM = "application/problem+json"
ADMIN_KEY = "an-admin-key-of-the-environment-0"
EVENT = {"id": "127", "ts": 192322800, "dep": "Boys"}


@pytest.fixture(scope="module")
async def app() -> AsyncIterator[FastAPI]:
    async with running_app(ADMIN_API_KEY=ADMIN_KEY) as started:
        yield started


@pytest.fixture(scope="module")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        client.headers["X-API-Key"] = ADMIN_KEY
        yield client


async def test_a_decision_is_told_as_it_was_answered_with_what_it_was_made_from(client: httpx.AsyncClient) -> None:
    event = {**EVENT, "x": 1.5}
    answer = (await client.post("/mock_focus", json=event)).json()

    response = await client.get(f"/api/v1/decisions/{answer['decision']['id']}")

    told, decision = response.json(), answer["decision"]
    assert response.status_code == 200
    assert {name: value for name, value in told.items() if name in decision} == {
        name: value for name, value in decision.items() if name != "timings"
    }
    assert (told["coupon_id"], told["context"]["customer_id"]) == (answer["coupon"]["id"], "127")
    assert told["event"] == {
        "customer_id": "127",
        "ts": 192322800,
        "department": "Boys",
        "department_asked": "Boys",
        "x": 1.5,
        "y": None,
        "event_id": None,
        "correlation_data": None,
    }
    assert int(datetime.fromisoformat(told["decided_at"]).timestamp()) == answer["ts"]


async def test_a_decision_without_an_offer_is_told_with_its_reason(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/mock_focus", json={**EVENT, "dep": "Garden"})).json()

    told = (await client.get(f"/api/v1/decisions/{answer['decision']['id']}")).json()

    assert (told["reason"], told["coupon_id"], told["propensity"], told["candidates"]) == (
        "no_candidates",
        None,
        None,
        [],
    )


async def test_of_a_decision_from_another_catalogue_the_candidates_are_not_made_up(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    answer = (await client.post("/mock_focus", json={**EVENT, "ts": 2})).json()
    async with with_ports(app, catalogue=Shop().catalogue):
        told = (await client.get(f"/api/v1/decisions/{answer['decision']['id']}")).json()

    assert (told["candidates"], told["score"]) == (None, answer["decision"]["score"])
    assert told["not_remade"].startswith(f"made with catalogue {told['catalogue_version']}; now there is ")


async def test_the_names_that_a_sender_gave_its_event_are_told(app: FastAPI, client: httpx.AsyncClient) -> None:
    event = replace(focus("named", "Boys"), event_id="camera-7/42", correlation_data=b"\x00\xff")
    await decide_batch(running_of(app).services, on([event]))

    told = (await client.get(f"/api/v1/decisions/{event.decision_id}")).json()

    assert (told["event"]["event_id"], told["event"]["correlation_data"]) == ("camera-7/42", "00ff")


async def test_a_decision_that_was_never_made_is_not_there(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/decisions/00000000-0000-0000-0000-000000000000")

    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/decisions/127",
        "/api/v1/decisions",
        "/api/v1/decisions?customer_id=",
        "/api/v1/decisions?customer_id=%00",
        "/api/v1/decisions?customer_id=127&limit=0",
        "/api/v1/decisions?customer_id=127&limit=101",
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)

    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)


async def test_the_decisions_for_a_customer_come_newest_first(app: FastAPI, client: httpx.AsyncClient) -> None:
    clock = Clock()
    async with with_ports(app, clock=clock) as services:
        for ts in (1, 2, 3):
            await decide_batch(services, on([focus("several", "Boys", ts=ts), focus("other", "Boys", ts=ts)]))
            clock.now += timedelta(seconds=1)

    every, some = [
        (await client.get("/api/v1/decisions", params={"customer_id": " several ", **more})).json()
        for more in ({}, {"limit": 2})
    ]

    assert [one["event"]["ts"] for one in every] == [3, 2, 1]
    assert some == every[:2]
    assert "candidates" not in every[0]


async def test_a_customer_without_decisions_has_none(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/decisions?customer_id=nobody")

    assert (response.status_code, response.json()) == (200, [])


async def test_a_key_is_made_shown_once_used_and_revoked(client: httpx.AsyncClient) -> None:
    made = await client.post("/api/v1/keys", json={"role": "read", "name": "Prometheus", "expires_days": 30})
    new = made.json()
    key = {"X-API-Key": new.pop("key")}
    listed = (await client.get("/api/v1/keys")).json()
    used = await client.get("/metrics", headers=key)
    gone = await client.delete(f"/api/v1/keys/{new['key_id']}")
    refused = await client.get("/metrics", headers=key)
    kept = [one for one in (await client.get("/api/v1/keys")).json() if one["key_id"] == new["key_id"]]

    assert made.status_code == 201
    assert new in listed
    assert all(one.keys() == new.keys() for one in listed)
    assert (new["role"], new["name"], new["revoked_at"]) == (Role.READ, "Prometheus", None)
    assert datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"]) == timedelta(days=30)
    assert (used.status_code, gone.status_code, gone.content, refused.status_code) == (200, 204, b"", 401)
    assert kept[0]["revoked_at"] is not None


async def test_a_key_that_nobody_made_cannot_be_revoked(client: httpx.AsyncClient) -> None:
    response = await client.delete("/api/v1/keys/rk_nobody")

    assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)


@pytest.mark.parametrize("key_id", ["%00", "%0A", "rk_%C5%BC", "x" * 65])
async def test_what_cannot_be_the_id_of_a_key_is_refused(client: httpx.AsyncClient, key_id: str) -> None:
    response = await client.delete(f"/api/v1/keys/{key_id}")

    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "role"),
        ({"role": "root"}, "role"),
        ({"role": "read", "expires_days": 0}, "expires_days"),
        ({"role": "read", "expires_days": 10**9}, "expires_days"),
        ({"role": "read", "name": "x" * 101}, "name"),
        ({"role": "read", "name": "a\nb"}, "name"),
        ({"role": "read", "name": "\x00"}, "name"),
        ({"role": "read", "expires": 1}, "expires"),
    ],
)
async def test_a_wrong_request_for_a_key_is_refused_by_field(
    client: httpx.AsyncClient, body: dict[str, object], field: str
) -> None:
    response = await client.post("/api/v1/keys", json=body)

    assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
    assert [one["field"] for one in response.json()["errors"]] == [field]
