"""A database that a module's tests share, and the application in memory for those who ask it over HTTP."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import structlog

from app.embedded.broker import EmbeddedBroker
from app.embedded.ports import free_port
from app.main import create_app
from app.settings import Settings
from tests.postgres import PostgresServer

TABLES = (
    "coupon_product",
    "coupon_info",
    "product_info",
    "customer_info",
    "customer_fetch",
    "customer_info_text",
    "decision",
    "unpublished_decision",
    "encoded_coupon",
    "named_event",
    "dead_letter",
    "api_key",
    "model",
    "model_alias",
    "drift_report",
)
IN_MEMORY: dict[str, Any] = {
    "TESTING_NO_MQTT": True,
    "TESTING_NO_POSTGRES": True,
    "TESTING_NO_SCORING_SERVICE": True,
    "CLIENT_CONTEXT_URL": "",
    "HTTP_RATE_LIMIT": 0,
    "LOG_FILENAME": "",
    "LOG_LEVEL": "ERROR",
}


@pytest.fixture(scope="module")
async def shared_database_url(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a migrated database; to make one for each test would take most of the time."""
    async with postgres_server.database(migrated_template) as name:
        yield postgres_server.database_url(name)


@pytest.fixture
async def database_url(shared_database_url: str) -> str:
    """The URL of a migrated, empty database; partitions of the decision log may be there from the tests before."""
    connection = await asyncpg.connect(shared_database_url)
    try:
        await connection.execute(";".join(f"DELETE FROM {table}" for table in TABLES))
    finally:
        await connection.close()
    return shared_database_url


@pytest.fixture(scope="session")
async def app_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application, which runs to the end of the session and leaves the logging of others alone."""
    app = create_app(Settings(**IN_MEMORY))
    async with AsyncExitStack() as stack:
        with logging_kept():
            await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://service"))


@contextmanager
def logging_kept() -> Iterator[None]:
    """Put logging back as it was."""
    root = logging.getLogger()
    handlers, level, configuration = list(root.handlers), root.level, structlog.get_config()
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**configuration)


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path_factory.mktemp("mosquitto"), free_port())
    assert broker.kind == "mosquitto"
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def own_mosquitto(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker to be stopped by the test."""
    broker = EmbeddedBroker(tmp_path, free_port())
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def topic() -> str:
    return f"shop/{uuid4()}"
