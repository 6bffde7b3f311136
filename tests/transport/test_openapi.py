"""Requests made up from the OpenAPI document: no fault, and every answer is one that the document tells of."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import CheckFunction, load_all_checks
from schemathesis.specs.openapi import checks

from tests.transport.server import served

ADMIN_KEY = "an-admin-key-of-the-environment-0"
EXAMPLES = 40
OPERATIONS = [
    ("GET", "/healthcheck"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/mock_entry"),
    ("POST", "/mock_focus"),
    ("POST", "/score"),
    ("GET", "/api/v1/decisions"),
    ("GET", "/api/v1/decisions/{decision_id}"),
    ("GET", "/api/v1/keys"),
    ("POST", "/api/v1/keys"),
    ("DELETE", "/api/v1/keys/{key_id}"),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(ADMIN_API_KEY=ADMIN_KEY) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def schema(url: str) -> Any:
    document = httpx.get(f"{url}/openapi.json", headers={"X-API-Key": ADMIN_KEY}, trust_env=False).json()
    return schemathesis.openapi.from_dict(document)


def test_every_operation_is_tried(schema: Any) -> None:
    assert {(one.ok().method.upper(), one.ok().path) for one in schema.get_all_operations()} == set(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_one_that_the_document_tells_of(url: str, schema: Any, method: str, path: str) -> None:
    operation = schema[path][method]

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def try_it(case: Any) -> None:
        case.call_and_validate(base_url=url, headers={"X-API-Key": ADMIN_KEY})

    try_it()
