"""One instance at a time looks for what was never published."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from app.adapters.postgres.queries import load_queries

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy


@asynccontextmanager
async def sweeping(connection: "PoolConnectionProxy[Record]", what: str) -> AsyncIterator[bool]:
    """Whether this process alone sweeps these outcomes while the block lasts.

    A connection that may still hold the lock does not go back to the pool: nobody else could sweep ever again.
    """
    sql = load_queries("queries.sql")
    with ExitStack() as undo:
        undo.callback(connection.terminate)
        is_ours = await connection.fetchval(sql["try_sweeping"], what)
        try:
            yield is_ours
        finally:
            if is_ours and not connection.is_closed():
                await connection.fetchval(sql["stop_sweeping"], what)
            undo.pop_all()
