"""How much one client may send, and what every answer tells browsers."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from limits import RateLimitItemPerMinute
from starlette.exceptions import HTTPException

from app.adapters.memory import MemoryCache
from app.transport.http.limits import FAILURES_PER_MINUTE, MAX_CLIENTS, RateLimit, client_address
from app.transport.http.running import read_body
from tests.transport.application import client_of, running_app, running_of, with_ports
from tests.transport.builders import FailingCache

PROBLEM = "application/problem+json"
ADMIN_KEY = "an-admin-key-of-the-environment-0"
EVENT = {"id": "127", "ts": 192322800, "dep": "Boys"}
ENOUGH = 50


def request_from(host: str | None) -> Request:
    return Request({"type": "http", "headers": [], "client": None if host is None else (host, 1)})


async def until_refused(client: httpx.AsyncClient, path: str, **headers: str) -> httpx.Response:
    """Ask until it is too much."""
    for _ in range(ENOUGH):
        response = await client.get(path, headers=headers)
        if response.status_code == 429:
            return response
    raise AssertionError(f"{ENOUGH} requests were not too many")


def client_at(app: FastAPI, host: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(host, 1)), base_url="http://service")


async def test_too_many_requests_are_refused_with_the_time_to_come_again() -> None:
    async with running_app(HTTP_RATE_LIMIT=1) as app, client_of(app) as client:
        response = await until_refused(client, "/metrics")
        counted = running_of(app).metrics.http_refused.labels("rate")._value.get()

    assert (response.headers["content-type"], response.headers["retry-after"]) == (PROBLEM, "1")
    assert counted == 1


async def test_who_sends_too_much_takes_nothing_from_others_and_not_from_health() -> None:
    async with (
        running_app(HTTP_RATE_LIMIT=2, ADMIN_API_KEY=ADMIN_KEY) as app,
        client_at(app, "192.0.2.1") as greedy,
        client_at(app, "192.0.2.2") as other,
    ):
        await until_refused(greedy, "/metrics")
        by_address = await other.get("/metrics")
        by_key = await greedy.get("/metrics", headers={"X-API-Key": ADMIN_KEY})
        health = [(await greedy.get("/healthcheck")).status_code for _ in range(ENOUGH)]

    assert (by_address.status_code, by_key.status_code) == (401, 200)
    assert set(health) == {200}


async def test_a_key_is_limited_wherever_it_is_sent_from() -> None:
    async with running_app(HTTP_RATE_LIMIT=1, ADMIN_API_KEY=ADMIN_KEY) as app:
        answers = []
        for number in range(ENOUGH):
            async with client_at(app, f"192.0.2.{number}") as client:
                answers.append((await client.get("/metrics", headers={"X-API-Key": ADMIN_KEY})).status_code)

    assert 429 in answers


async def test_who_tries_wrong_keys_is_stopped_and_a_right_key_from_the_same_address_is_not() -> None:
    async with running_app(ADMIN_API_KEY=ADMIN_KEY) as app, client_of(app) as client:
        answers = [await client.get("/metrics", headers={"X-API-Key": f"rk_{n}.x"}) for n in range(ENOUGH)]
        right = await client.get("/metrics", headers={"X-API-Key": ADMIN_KEY})

    statuses = [answer.status_code for answer in answers]
    assert statuses[:FAILURES_PER_MINUTE] == [401] * FAILURES_PER_MINUTE
    assert 429 in statuses
    assert answers[statuses.index(429)].headers["retry-after"] == "60"
    assert right.status_code == 200


async def test_without_a_limit_nothing_is_refused() -> None:
    async with running_app(HTTP_RATE_LIMIT=0) as app, client_of(app) as client:
        answers = {(await client.get("/asyncapi")).status_code for _ in range(ENOUGH)}

    assert answers == {200}


async def test_what_a_limit_remembers_is_bounded() -> None:
    limit = RateLimit(RateLimitItemPerMinute(1))
    for number in range(2 * MAX_CLIENTS):
        await limit.admits(f"2001:db8::{number:x}")

    storage: Any = limit._limiter.storage
    assert len(limit._recent) == MAX_CLIENTS
    assert len(storage.storage) <= 2 * MAX_CLIENTS  # one counter for this window, one for the last


@pytest.mark.parametrize(
    ("one", "other", "are_one_client"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("a unix socket", None, False),
        (None, None, True),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(one: str | None, other: str | None, are_one_client: bool) -> None:
    assert (client_address(request_from(one)) == client_address(request_from(other))) is are_one_client


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def never() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("it has come")

    request = Request({"type": "http", "headers": []}, never)
    with pytest.raises(HTTPException) as caught:
        await read_body(request, 10, seconds=0.01)

    assert caught.value.status_code == 408


async def test_no_route_leaves_the_reading_of_bodies_to_the_framework_which_knows_no_limit() -> None:
    async with running_app() as app:
        routes = list(iter_route_contexts(app.routes))

    assert [route.path for route in routes if getattr(route, "body_field", None) is not None] == []


async def test_the_body_of_a_request_for_a_key_is_small() -> None:
    async with running_app(ADMIN_API_KEY=ADMIN_KEY) as app, client_of(app) as client:
        body = b'{"role": "read", "name": "%b"}' % (b"x" * 5000)
        response = await client.post("/api/v1/keys", content=body, headers={"X-API-Key": ADMIN_KEY})

    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "too_large")


@pytest.mark.parametrize(
    "path",
    ["/healthcheck", "/readyz", "/metrics", "/docs", "/asyncapi", "/nothing", "/mock_focus", "/docs/assets/docs.js"],
)
async def test_every_answer_tells_browsers_to_guess_frame_and_tell_nothing(path: str) -> None:
    async with running_app() as app, client_of(app) as client:
        headers = (await client.get(path)).headers

    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_the_answer_to_a_fault_has_these_headers_too() -> None:
    async with running_app() as app, client_of(app, raises=False) as client:
        async with with_ports(app, cache=FailingCache({}, 1, ZeroDivisionError("secret"))):
            response = await client.post("/mock_focus", json=EVENT)
        async with with_ports(app, cache=MemoryCache()):
            answer = await client.post("/mock_focus", json=EVENT)

    assert (response.status_code, response.headers["cache-control"]) == (500, "no-store")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize("path", ["/docs", "/asyncapi"])
async def test_pages_may_use_what_comes_from_here_and_hold_no_script_of_their_own(path: str) -> None:
    async with running_app() as app, client_of(app) as client:
        page = await client.get(path, headers={"accept": "text/html"})

    policy = dict(one.split(maxsplit=1) for one in page.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert page.text.count("<script") == page.text.count("<script src=")
