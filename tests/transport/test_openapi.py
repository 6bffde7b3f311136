"""Requests made up from the OpenAPI document: no fault, and every answer is one that the document tells of."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from tests.transport.server import served

ADMIN_KEY = "an-admin-key-of-the-environment-0"
EXAMPLES = 40
# Not judged here: access, since the cases hold keys of their own beside ours (test_http_access has it); and that all
# that follows the document is accepted: names must be printable and times readable, which a schema does not say.
NOT_OURS = [checks.ignored_auth, checks.positive_data_acceptance]
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
    ("GET", "/api/v1/models"),
    ("POST", "/api/v1/models"),
    ("GET", "/api/v1/models/serving"),
    ("GET", "/api/v1/models/aliases"),
    ("GET", "/api/v1/models/aliases/{alias}"),
    ("PUT", "/api/v1/models/aliases/{alias}"),
    ("POST", "/api/v1/models/aliases/{alias}/rollback"),
    ("GET", "/api/v1/models/{version}"),
    ("GET", "/api/v1/models/{version}/download"),
    ("DELETE", "/api/v1/models/{version}"),
]

TAKE_NOTHING = {"/healthcheck", "/livez"}  # so there is no wrong input to make up
CASES = [
    (method, path, mode)
    for method, path in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or path not in TAKE_NOTHING
]


@schemathesis.serializer("application/zip")
def zip_file(_: Any, value: Any) -> bytes:
    """No model will be made up: whatever it is, it is sent as it is."""
    return value if isinstance(value, bytes) else repr(value).encode(errors="replace")


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


@pytest.mark.parametrize(("method", "path", "mode"), CASES, ids=lambda part: getattr(part, "value", part))
def test_every_answer_is_one_that_the_document_tells_of(
    url: str, schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schema[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def try_it(case: Any) -> None:
        case.call_and_validate(base_url=url, headers={"X-API-Key": ADMIN_KEY}, excluded_checks=NOT_OURS)

    try_it()
