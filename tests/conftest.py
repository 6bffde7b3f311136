"""Fixtures that everybody may use."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from app.adapters.postgres import migrations
from tests import postgres
from tests.postgres import PostgresServer
from tests.small_models import SmallModel, train_small

if TYPE_CHECKING:
    from tests.drift_shop import DriftShop


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the session."""
    with postgres.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The name of a database with all migrations, to copy from."""
    async with postgres_server.database() as name:
        await migrations.upgrade(postgres_server.database_url(name))
        yield name


@pytest.fixture(scope="session")
def drift_shop(tmp_path_factory: pytest.TempPathFactory) -> "DriftShop":
    """A small shop with a model of its own."""
    from app.adapters.scorer_sklearn import load_model
    from app.datagen.generate import generate
    from app.training.service_model import Order, train
    from tests.drift_shop import NOON, DriftShop

    folder = tmp_path_factory.mktemp("drift_model")
    shop = generate(1, customers=400, products=60, coupons=400, years=1)
    train(shop.history, Order(seed=1), out=folder, created_at=NOON)
    return DriftShop(shop, load_model(folder), folder)


@pytest.fixture
async def empty_database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a fresh database without any table."""
    async with postgres_server.database() as name:
        yield postgres_server.database_url(name)


@pytest.fixture
async def database_url(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a fresh, migrated, empty database."""
    async with postgres_server.database(migrated_template) as name:
        yield postgres_server.database_url(name)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a fresh, migrated, empty database."""
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """A logistic model, trained on a small shop."""
    return train_small(tmp_path_factory.mktemp("small-model"), seed=1)


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    """The same of another shop, neither better nor worse by the gates."""
    return train_small(tmp_path_factory.mktemp("other-model"), seed=6)
