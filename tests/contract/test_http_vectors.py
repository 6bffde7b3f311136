"""The contract's vectors against the two mock endpoints."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text())["cases"]
ACCEPTED = [case for case in CASES if "error" not in case]
REFUSED = [case for case in CASES if "error" in case]


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


async def post(client: httpx.AsyncClient, case: dict[str, Any]) -> httpx.Response:
    body = case["raw"] if "raw" in case else json.dumps(case["input"])
    return await client.post(f"/mock_{case['kind']}", content=body)


@pytest.mark.parametrize("case", ACCEPTED, ids=name_of)
async def test_accepts(app_client: httpx.AsyncClient, case: dict[str, Any]) -> None:
    response = await post(app_client, case)

    assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
    answer = response.json()
    customer_id = answer["customer"]["id"] if case["kind"] == "focus" else answer["context"]["customer_id"]
    if "customer_id" in case["expect"]:
        assert customer_id == case["expect"]["customer_id"]


@pytest.mark.parametrize("case", REFUSED, ids=name_of)
async def test_refuses_with_the_reason(app_client: httpx.AsyncClient, case: dict[str, Any]) -> None:
    response = await post(app_client, case)

    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert response.json()["errors"][0]["code"] == case["error"]


async def test_an_unknown_department_is_decided_with_a_reason(app_client: httpx.AsyncClient) -> None:
    response = await app_client.post("/mock_focus", json={"id": "127", "ts": 1, "dep": "Garden", "x": 1})
    answer = response.json()

    assert (answer["coupon"], answer["reason"]) == (None, "no_candidates")
    assert (answer["decision"]["reason"], answer["decision"]["candidates"]) == ("no_candidates", [])


async def test_a_copy_of_an_event_repeats_its_decision(app_client: httpx.AsyncClient) -> None:
    copies = [{"id": 127, "ts": 2, "dep": "sport", "x": 10}, {"id": "127", "ts": "2", "dep": "sport", "x": 10.0}]

    first, second = [(await app_client.post("/mock_focus", json=copy)).json() for copy in copies]

    assert ("repeated" in first, second["repeated"]) == (False, True)
    assert [second[name] for name in ("customer", "coupon", "ts")] == [
        first[name] for name in ("customer", "coupon", "ts")
    ]
    assert second["decision"]["id"] == first["decision"]["id"]
    assert second["decision"]["candidates"] == first["decision"]["candidates"]


async def test_a_body_over_the_limit_is_refused(app_client: httpx.AsyncClient) -> None:
    response = await app_client.post("/mock_entry", content=b" " * (64 * 1024 + 1))

    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "too_large")
