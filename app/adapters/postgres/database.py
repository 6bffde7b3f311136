"""The pool of connections."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.adapters.postgres.errors import database_errors

CONNECT_SECONDS = 3.0
QUERY_SECONDS = 5.0
# Every question that is asked for events asks for rows by their keys or their age. A plan that reads an index is right
# however small or old the statistics say that the table is, so it need not be made again for every batch: in the
# morning, with an empty partition, another one would be kept that reads all of it in the evening.
PLANS = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}
QUERIES_OF_A_CONNECTION = 10_000_000  # and then another, so that what a connection remembers does not grow for ever


class Database:
    """One pool for the process; it connects when first used, and again after every loss."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", url: str) -> None:
        self._pool = pool
        self._url = url

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, size: int) -> AsyncIterator["Database"]:
        """A pool of at most `size` connections, closed at the end. Connects to nothing yet."""
        pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=size,
            timeout=CONNECT_SECONDS,
            command_timeout=QUERY_SECONDS,
            server_settings=PLANS,
            max_queries=QUERIES_OF_A_CONNECTION,
            reset=_leave_as_it_is,
        )
        await pool
        try:
            yield cls(pool, url)
        finally:
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"]:
        """A connection of the pool. Raises DatabaseUnavailable, from the block too."""
        with database_errors("asking the database"):
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                yield connection

    @asynccontextmanager
    async def own_connection(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A connection beside the pool, for as long as the block. Raises DatabaseUnavailable, from the block too."""
        with database_errors("watching the database"):
            async with connected(self._url) as connection:
                yield connection


async def _leave_as_it_is(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nobody here leaves settings, listeners or locks behind, and asking costs a question for each answer.

    asyncpg itself rolls back what was left open.
    """


@asynccontextmanager
async def connected(url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection without a pool. Raises DatabaseUnavailable; the block's errors are its own."""
    with database_errors("connecting to the database"):
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=QUERY_SECONDS)
    try:
        yield connection
    finally:
        connection.terminate()
