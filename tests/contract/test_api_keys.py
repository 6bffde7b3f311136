"""What every store of API keys does: the one in memory, and the one in PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from app.access import make_key
from app.adapters.memory import MemoryApiKeys
from app.adapters.postgres.database import Database
from app.adapters.postgres.keys import PostgresApiKeys
from app.domain.access import Role
from app.errors import DatabaseUnavailable
from app.ports import ApiKeys
from tests.builders import NOW

READER, READER_TEXT = make_key(Role.READ, "Prometheus, Kraków", NOW, expires_days=30)
ADMIN, _ = make_key(Role.ADMIN, "", NOW + timedelta(seconds=1))


@pytest.fixture
def memory_keys() -> ApiKeys:
    return MemoryApiKeys()


@pytest.fixture
async def postgres_keys(database_url: str) -> AsyncIterator[ApiKeys]:
    async with Database.open(database_url, size=1) as database:
        yield PostgresApiKeys(database)


@pytest.fixture(params=["memory_keys", "postgres_keys"])
def keys(request: pytest.FixtureRequest) -> ApiKeys:
    store: ApiKeys = request.getfixturevalue(request.param)
    return store


async def test_a_new_store_has_no_keys(keys: ApiKeys) -> None:
    assert list(await keys.all()) == []


async def test_keys_are_kept_whole_and_oldest_first(keys: ApiKeys) -> None:
    await keys.add(ADMIN)
    await keys.add(READER)

    assert list(await keys.all()) == [READER, ADMIN]


async def test_a_revoked_key_stays_in_the_store_with_its_end(keys: ApiKeys) -> None:
    await keys.add(READER)

    assert await keys.revoke(READER.key_id, NOW)
    assert list(await keys.all()) == [replace(READER, revoked_at=NOW)]


async def test_a_key_that_is_revoked_twice_ended_the_first_time(keys: ApiKeys) -> None:
    await keys.add(READER)
    await keys.revoke(READER.key_id, NOW)

    assert await keys.revoke(READER.key_id, NOW + timedelta(days=1))
    assert list(await keys.all()) == [replace(READER, revoked_at=NOW)]


async def test_a_key_that_nobody_made_cannot_be_revoked(keys: ApiKeys) -> None:
    await keys.add(READER)

    assert not await keys.revoke("rk_0000", NOW)
    assert list(await keys.all()) == [READER]


async def test_the_database_holds_no_secret(database_url: str, postgres_keys: ApiKeys) -> None:
    await postgres_keys.add(READER)
    connection = await asyncpg.connect(database_url)
    try:
        row = await connection.fetchval("SELECT api_key::text FROM api_key")
    finally:
        await connection.close()

    secret = READER_TEXT.partition(".")[2]
    assert READER.key_id in row
    assert [text for text in (secret, secret.encode().hex()) if text in row] == []


async def test_a_database_without_the_table_is_one_that_is_away(empty_database_url: str) -> None:
    async with Database.open(empty_database_url, size=1) as database:
        with pytest.raises(DatabaseUnavailable):
            await PostgresApiKeys(database).all()
