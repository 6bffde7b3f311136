"""No line of the log names a customer: a keyed hash does, whatever goes wrong."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
import stamina
import uvicorn
from fastapi import FastAPI

from app.adapters.breaker import Breaker
from app.adapters.central import HttpCentral
from app.adapters.memory import MemoryBroker
from app.adapters.postgres.errors import database_errors
from app.domain.customer import CustomerContext
from app.embedded.ports import LOOPBACK, free_port
from app.errors import CentralUnavailable, DatabaseUnavailable
from app.transport.consumer import EntryConsumer, FocusConsumer
from app.transport.health import Health
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox, Topics
from app.utils.log_config import configure_logging, customer_hash
from tests.transport.application import logging_untouched, running_app, with_ports
from tests.transport.builders import (
    DEFAULTS,
    NAMES,
    AskedCentral,
    FailingCache,
    FullInbox,
    Letter,
    ScoresByCoupon,
    Shop,
    context,
)
from tests.transport.eventually import eventually

KEY = "a key that is for tests alone"
ADMIN_KEY = "an-admin-key-of-the-environment-0"
WHO = "Wilhelmina-90210"
OTHER = "Ottokar-31337"
HASH = customer_hash(KEY, WHO)


class Log:
    """A log file at DEBUG."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def text(self) -> str:
        return self.path.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of one event."""
        return [line for line in map(json.loads, self.text.splitlines()) if line["event"].strip() == event]


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[Log]:
    async with logging_untouched():
        path = tmp_path / "messages.log"
        configure_logging("DEBUG", str(path), KEY)
        stamina.instrumentation.set_on_retry_hooks([])  # as the service does when it starts
        yield Log(path)


async def consume(shop: Shop, *bodies: bytes, is_entry: bool = False) -> list[str]:
    """The reasons of the dead letters that these messages have become."""
    broker, metrics = MemoryBroker(), Metrics()
    topics = Topics("shop/prediction", "shop/focus/rejected", None)
    outbox = Outbox(shop.services, broker, topics, metrics, lambda problem: None, again_seconds=0)
    inbox = FullInbox(*map(Letter, bodies))
    async with asyncio.timeout(30):
        if is_entry:
            await EntryConsumer(shop.services, inbox, outbox, metrics).run()
        else:
            await FocusConsumer(shop.services, inbox, outbox, NAMES, metrics).run()
    return [orjson.loads(one.payload)["reason"] for one in broker.published if one.topic == topics.dead_letter]


def focus(customer_id: str) -> bytes:
    return orjson.dumps({"id": customer_id, "ts": 1, "dep": "Men"})


def known(*customer_ids: str) -> list[CustomerContext]:
    return [context(customer_id) for customer_id in customer_ids]


async def test_a_focus_event_that_breaks_the_scorer_is_logged_with_a_hash_for_its_customer(log: Log) -> None:
    reasons = await consume(Shop(customers=known(WHO), scorer=ScoresByCoupon(faulty=[WHO])), focus(WHO))

    (line,) = log.lines("event failed")
    assert reasons == ["internal_error"]
    assert (line["customer"], line["kind"]) == (HASH, "focus")
    assert f"ZeroDivisionError: no score for {HASH}" in line["exception"]
    assert "customer_id" not in line
    assert WHO not in log.text


async def test_an_entry_event_that_breaks_the_handler_is_logged_with_a_hash_for_its_customer(log: Log) -> None:
    class BrokenCentral(AskedCentral):
        async def fetch(self, customer_id: str) -> CustomerContext:
            raise KeyError(f"GET /get_context/{customer_id}")

    await consume(Shop(central=BrokenCentral()), orjson.dumps({"id": WHO, "ts": 1}), is_entry=True)

    (line,) = log.lines("event failed")
    assert (line["customer"], line["kind"]) == (HASH, "entry")
    assert f"/get_context/{HASH}" in line["exception"]
    assert WHO not in log.text


async def test_what_the_database_quotes_of_a_row_does_not_name_its_customer(
    log: Log, connection: asyncpg.Connection
) -> None:
    with pytest.raises(asyncpg.NotNullViolationError, match=WHO) as caught:
        await connection.execute("INSERT INTO customer_info_text (customer_id) VALUES ($1)", WHO)
    shop = Shop()
    shop.cache = FailingCache({}, 1, caught.value)

    await consume(shop, focus(WHO))

    (line,) = log.lines("event failed")
    assert f"Failing row contains ({HASH}, null" in line["exception"]
    assert WHO not in log.text


def test_that_the_database_is_away_is_said_without_what_it_quotes_of_a_row() -> None:
    error = asyncpg.DeadlockDetectedError("deadlock detected")
    error.detail = f"Key (customer_id)=({WHO}) is locked."

    with pytest.raises(DatabaseUnavailable) as caught, database_errors("asking the database"):
        raise error

    assert str(caught.value) == "asking the database: deadlock detected"


async def test_the_traceback_of_an_event_does_not_tell_of_the_other_events_of_its_batch(log: Log) -> None:
    shop = Shop(customers=known(WHO, OTHER), scorer=ScoresByCoupon(faulty=[WHO, OTHER]))

    reasons = await consume(shop, focus(WHO), focus(OTHER), focus(WHO))

    lines = log.lines("event failed")
    assert reasons == ["internal_error"] * 3
    assert [line["customer"] for line in lines] == [HASH, customer_hash(KEY, OTHER), HASH]
    assert [line for line in lines if "During handling" in line["exception"]] == []
    assert [name for name in (WHO, OTHER) if name in log.text] == []


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps({"id": WHO, "ts": 1}),
        orjson.dumps({"id": f" {WHO} ", "ts": "never", "dep": "Men"}),
        orjson.dumps({"event_type": "focus event", "payload": {"customer_id": WHO, "category": ""}}),
        orjson.dumps({"id": WHO, "payload": {"customer_id": WHO}}),
        b'{"id": "%b", "ts": NaN, "dep": "Men"}' % WHO.encode(),
    ],
)
async def test_a_refused_event_is_logged_with_a_hash_for_the_customer_it_names(log: Log, body: bytes) -> None:
    await consume(Shop(), body)

    (line,) = log.lines("event refused")
    assert line["customer"] == HASH
    assert WHO not in log.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'"id"',
        b"[]",
        b'{"id": {}}',
        b'{"payload": {"customer_id": []}}',
        b'{"id": "a\\nb"}',
        b"[" * 9999,
        b'{"id": "7", "x": "%b"}' % (b"x" * 70_000),
    ],
    ids=lambda body: ascii(body[:20]),
)
async def test_a_refused_event_that_names_no_customer_is_logged_without_one(log: Log, body: bytes) -> None:
    await consume(Shop(), body)

    (line,) = log.lines("event refused")
    assert line.keys() == {"event", "kind", "reason", "level", "logger", "timestamp"}


@pytest.mark.parametrize(
    "error",
    [
        httpx.RemoteProtocolError(f"illegal header line: bytearray(b'x-customer {WHO}')"),
        httpx.UnsupportedProtocol(f"no protocol for http://central/get_context/{WHO}"),
        httpx.DecodingError(f"cannot decode {WHO}"),
        httpx.InvalidURL(f"http://central/get_context/{WHO}"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_what_goes_wrong_with_the_central_is_said_without_what_it_was_asked_or_has_answered(
    log: Log, error: Exception
) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    health = Health({"central": None})
    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
        central = HttpCentral(client, "http://central", 30, DEFAULTS, Breaker(failures=1), health.reporter("central"))
        with pytest.raises(CentralUnavailable) as caught:
            await central.fetch(WHO)

    (line,) = log.lines("part is not ready")
    assert line["problem"] == f"could not be asked: {type(error).__name__}"
    assert WHO not in f"{log.text}{caught.value}"


@pytest.mark.parametrize(
    "answer", [b'{"customer_id": "%b", "age": "%b"}', b"%b %b", b'{"customer_id": "x%b", "y": "%b"}']
)
async def test_an_answer_of_the_central_that_cannot_be_used_is_not_quoted(answer: bytes) -> None:
    body = answer % (WHO.encode(), WHO.encode())
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=body))) as client:
        with pytest.raises(CentralUnavailable) as caught:
            await HttpCentral(client, "http://central", 30, DEFAULTS, Breaker()).fetch(WHO)

    assert WHO not in str(caught.value)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application on a real server, which logs all it can."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, host=LOOPBACK, port=port, lifespan="off", log_config=None, log_level="debug")
    )
    serving = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started)
        async with httpx.AsyncClient(base_url=f"http://{LOOPBACK}:{port}", trust_env=False, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


@contextmanager
def access_logged() -> Iterator[None]:
    """As uvicorn sets up its access log when nobody tells it not to."""
    access = logging.getLogger("uvicorn.access")
    handlers, propagate = list(access.handlers), access.propagate
    access.handlers, access.propagate = [logging.StreamHandler()], True
    try:
        yield
    finally:
        access.handlers, access.propagate = handlers, propagate


async def test_the_requests_of_a_customer_are_logged_with_a_hash_and_without_path_or_query(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(tmp_path / "messages.log")
    event: Mapping[str, Any] = {"id": WHO, "ts": 1, "dep": "Boys"}
    variables = {"LOG_FILENAME": str(log.path), "LOG_LEVEL": "DEBUG", "LOG_HASH_KEY": KEY}
    with access_logged():
        async with running_app(**variables) as app, served(app) as client:
            answers = [
                await client.post("/mock_focus", json=event, params={"dry_run": True, "customer": WHO}),
                await client.get(f"/no/such/page/{WHO}?id={WHO}"),
                await client.post("/mock_focus", json={"id": WHO}),
            ]
            async with with_ports(app, scorer=ScoresByCoupon(faulty=[WHO])):
                answers.append(await client.post("/mock_focus", json=event))
            async with with_ports(app, cache=FailingCache({}, 1, DatabaseUnavailable(f"no row of {WHO}"))):
                answers.append(await client.post("/mock_entry", json=event))
            answers.append(await client.get("/healthcheck"))
            await eventually(lambda: len(log.lines("answered")) == len(answers))

    told = [(line["method"], line["route"], line["status"], line.get("customer")) for line in log.lines("answered")]
    assert [answer.status_code for answer in answers] == [200, 404, 422, 500, 503, 200]
    assert told == [
        ("POST", "/mock_focus", 200, HASH),
        ("GET", "none", 404, None),
        ("POST", "/mock_focus", 422, None),
        ("POST", "/mock_focus", 500, HASH),
        ("POST", "/mock_entry", 503, HASH),
        ("GET", "/healthcheck", 200, None),
    ]
    (failed,), (put_off,) = log.lines("Exception in ASGI application"), log.lines("request put off")
    assert (failed["customer"], f"no score for {HASH}" in failed["exception"]) == (HASH, True)
    assert (put_off["customer"], put_off["problem"]) == (HASH, f"no row of {HASH}")
    captured = capsys.readouterr()
    assert WHO not in f"{log.text}{captured.out}{captured.err}"


async def test_who_asks_for_the_decisions_of_a_customer_is_logged_with_a_hash(tmp_path: Path) -> None:
    log = Log(tmp_path / "messages.log")
    variables = {"LOG_FILENAME": str(log.path), "LOG_LEVEL": "DEBUG", "LOG_HASH_KEY": KEY, "ADMIN_API_KEY": ADMIN_KEY}
    async with running_app(**variables) as app, served(app) as client:
        client.headers["X-API-Key"] = ADMIN_KEY
        decision = (await client.post("/mock_focus", json={"id": WHO, "ts": 1, "dep": "Boys"})).json()["decision"]
        await client.get("/api/v1/decisions", params={"customer_id": WHO})
        await client.get(f"/api/v1/decisions/{decision['id']}")
        await eventually(lambda: len(log.lines("answered")) == 3)

    assert [line.get("customer") for line in log.lines("answered")] == [HASH] * 3
    assert WHO not in log.text


async def test_without_a_key_the_log_says_that_its_hashes_are_those_of_one_start(tmp_path: Path) -> None:
    log = Log(tmp_path / "messages.log")
    told = []
    for key in ("", KEY):
        async with running_app(LOG_FILENAME=str(log.path), LOG_LEVEL="INFO", LOG_HASH_KEY=key):
            told.append(log.text.count("LOG_HASH_KEY is not set"))

    assert told == [1, 1]
    assert KEY not in log.text
