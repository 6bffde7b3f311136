"""The lock that lets one instance sweep at a time."""

from contextlib import suppress

import asyncpg
import pytest

from app.adapters.postgres.database import Database
from app.adapters.postgres.sweeping import sweeping


async def is_ours(url: str) -> bool:
    async with (
        Database.open(url, size=1) as database,
        database.connection() as connection,
        sweeping(connection, "leaves") as is_free,
    ):
        return is_free


async def test_one_sweeps_at_a_time(database_url: str) -> None:
    async with Database.open(database_url, size=1) as database:
        async with database.connection() as connection, sweeping(connection, "leaves") as was_free:
            meanwhile = await is_ours(database_url)
        afterwards = await is_ours(database_url)

    assert (was_free, meanwhile, afterwards) == (True, False, True)


async def test_a_lock_that_could_not_be_given_back_is_gone_with_its_connection(database_url: str) -> None:
    async with Database.open(database_url, size=1) as database:
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await sweep_into_a_failed_transaction(database)

        assert await is_ours(database_url)


async def sweep_into_a_failed_transaction(database: Database) -> None:
    async with database.connection() as connection, sweeping(connection, "leaves"):
        await connection.execute("BEGIN")
        with suppress(asyncpg.UndefinedTableError):
            await connection.execute("SELECT * FROM nowhere")
