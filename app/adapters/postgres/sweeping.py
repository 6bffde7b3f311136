"""One instance at a time looks for what was never published."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from app.adapters.postgres.queries import load_queries

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy


@asynccontextmanager
async def sweeping(connection: "PoolConnectionProxy[Record]", what: str) -> AsyncIterator[bool]:
    """Whether this process alone sweeps these outcomes while the block lasts."""
    sql = load_queries("queries.sql")
    is_ours = await connection.fetchval(sql["try_sweeping"], what)
    yield is_ours
    if is_ours:
        await connection.fetchval(sql["stop_sweeping"], what)  # a connection that fails is unlocked on its return
