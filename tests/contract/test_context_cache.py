"""What every ContextCache does: the one in memory, and the one in PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from app.adapters.memory import MemoryCache
from app.adapters.postgres.cache import PostgresCache
from app.adapters.postgres.database import Database
from app.domain.customer import CustomerContext, Gender
from app.errors import DatabaseUnavailable
from app.ports import CachedContext, ContextCache
from tests.builders import ANNA, NOW

DEFAULTS = CustomerContext("", Gender.MALE, 38, 30.0, 5, 10.0, 30, 4, 50)
IDS = ["127", "0", "-7", "007", "-0", "+7", "abc-7", "2147483647", "-2147483648", "2147483648", "9" * 64, "ü" * 64]
NOBODY_LISTENS = "postgresql://someone:secret@127.0.0.1:1/shop"


@pytest.fixture
def memory_cache() -> ContextCache:
    return MemoryCache()


@pytest.fixture
async def postgres_cache(database_url: str) -> AsyncIterator[ContextCache]:
    async with Database.open(database_url, size=2) as database:
        yield PostgresCache(database, DEFAULTS)


@pytest.fixture(params=["memory_cache", "postgres_cache"])
def cache(request: pytest.FixtureRequest) -> ContextCache:
    chosen: ContextCache = request.getfixturevalue(request.param)
    return chosen


async def test_leaves_out_whom_it_does_not_know(cache: ContextCache) -> None:
    await cache.write([ANNA], NOW)

    assert dict(await cache.read(["128", "127", "abc"])) == {"127": CachedContext(ANNA, NOW)}
    assert dict(await cache.read([])) == {}


async def test_keeps_customers_of_any_id_apart(cache: ContextCache) -> None:
    customers = [replace(ANNA, customer_id=key, age=index) for index, key in enumerate(IDS)]

    await cache.write(customers, NOW)

    assert dict(await cache.read(IDS)) == {customer.customer_id: CachedContext(customer, NOW) for customer in customers}


@pytest.mark.parametrize("customer_id", ["127", "abc-7"])
async def test_what_the_central_said_last_replaces_what_it_said_before(cache: ContextCache, customer_id: str) -> None:
    before = replace(ANNA, customer_id=customer_id)
    after = CustomerContext(customer_id, Gender.MALE, 35, 12.5, 12, 20.5, 61, 10, 91)
    later = NOW + timedelta(hours=1)

    await cache.write([before], NOW)
    await cache.write([after], later)

    assert dict(await cache.read([customer_id])) == {customer_id: CachedContext(after, later)}


async def test_one_customer_asked_for_twice_is_one_customer(cache: ContextCache) -> None:
    await cache.write([ANNA], NOW)

    assert dict(await cache.read(["127", "127"])) == {"127": CachedContext(ANNA, NOW)}


async def test_keeps_the_largest_figures(cache: ContextCache) -> None:
    most = 2**31 - 1
    rich = CustomerContext("1", Gender.FEMALE, 150, 1e30, most, 100.0, most, most, most)

    await cache.write([rich], NOW)

    assert (await cache.read(["1"]))["1"].context == rich


async def test_in_memory_what_was_loaded_from_a_file_was_never_fetched() -> None:
    assert await MemoryCache({"127": ANNA}).read(["127"]) == {"127": CachedContext(ANNA, None)}


async def test_in_postgres_what_was_loaded_from_a_file_was_never_fetched(
    postgres_cache: ContextCache, connection: asyncpg.Connection
) -> None:
    await connection.execute("INSERT INTO customer_info VALUES (127, 'F', 34, 28.5, 11, 22.25, 60, 9, 90)")

    assert await postgres_cache.read(["127"]) == {"127": CachedContext(ANNA, None)}


async def test_in_postgres_the_central_replaces_what_was_loaded_from_a_file(
    postgres_cache: ContextCache, connection: asyncpg.Connection
) -> None:
    await connection.execute("INSERT INTO customer_info (customer_id, age) VALUES (127, 99)")

    await postgres_cache.write([ANNA], NOW)

    assert await postgres_cache.read(["127"]) == {"127": CachedContext(ANNA, NOW)}


async def test_in_postgres_missing_fields_take_defaults(
    postgres_cache: ContextCache, connection: asyncpg.Connection
) -> None:
    await connection.execute("INSERT INTO customer_info (customer_id, age) VALUES (127, 34)")
    await connection.execute("INSERT INTO customer_info_text (customer_id, fetched_at) VALUES ('abc', $1)", NOW)

    assert await postgres_cache.read(["127", "abc"]) == {
        "127": CachedContext(replace(DEFAULTS, customer_id="127", age=34), None),
        "abc": CachedContext(replace(DEFAULTS, customer_id="abc"), NOW),
    }


async def test_in_postgres_amounts_read_as_they_were_written_in_decimals(postgres_cache: ContextCache) -> None:
    await postgres_cache.write([replace(ANNA, mean_buy_price=34.53, mean_discount_received=26.1)], NOW)

    context = (await postgres_cache.read(["127"]))["127"].context

    assert (context.mean_buy_price, context.mean_discount_received) == (34.53, 26.1)


async def test_in_postgres_an_amount_beyond_its_column_is_the_largest_there_is(postgres_cache: ContextCache) -> None:
    await postgres_cache.write([replace(ANNA, mean_buy_price=1e300, mean_discount_received=1e300)], NOW)

    context = (await postgres_cache.read(["127"]))["127"].context

    assert (context.mean_buy_price, context.mean_discount_received) == (3.4e38, 3.4e38)


async def test_in_postgres_a_figure_that_does_not_fit_is_no_reason_to_try_again(postgres_cache: ContextCache) -> None:
    with pytest.raises(asyncpg.DataError):
        await postgres_cache.write([replace(ANNA, age=2**31)], NOW)


async def test_a_database_that_is_away_is_reported_without_its_password() -> None:
    async with Database.open(NOBODY_LISTENS, size=2) as database:
        cache = PostgresCache(database, DEFAULTS)

        with pytest.raises(DatabaseUnavailable) as reading:
            await cache.read(["127"])
        with pytest.raises(DatabaseUnavailable):
            await cache.write([ANNA], NOW)

    assert "secret" not in str(reading.value)


async def test_a_database_without_tables_is_reported(empty_database_url: str) -> None:
    async with Database.open(empty_database_url, size=2) as database:
        with pytest.raises(DatabaseUnavailable, match="customer_info"):
            await PostgresCache(database, DEFAULTS).read(["127"])
