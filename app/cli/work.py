"""How commands do their work on the database, and how they end."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from app.errors import DatabaseUnavailable

if TYPE_CHECKING:
    import asyncpg

EXIT_REFUSED = 3
PROJECT = Path(__file__).parents[2]

Answer = TypeVar("Answer")
Wait = Annotated[float, typer.Option(help="Seconds to wait for the database to answer.", min=0)]


def fail(text: str, code: int) -> NoReturn:
    sys.stderr.write(text)
    raise SystemExit(code)


async def connected(
    url: str, work: "Callable[[asyncpg.Connection[asyncpg.Record]], Coroutine[Any, Any, Answer]]"
) -> Answer:
    from app.adapters.postgres.database import connected

    async with connected(url) as connection:
        return await work(connection)


def waiting(work: Callable[[], Coroutine[Any, Any, Answer]], seconds: float) -> Answer:
    """Do it, and try again while the database does not answer, for so many seconds."""
    if not seconds:
        return asyncio.run(work())

    async def tried() -> Answer:
        import stamina

        stamina.instrumentation.set_on_retry_hooks([])
        async for attempt in stamina.retry_context(
            on=DatabaseUnavailable, attempts=None, timeout=seconds, wait_initial=0.2, wait_max=2
        ):
            with attempt:
                return await work()
        raise AssertionError("a retry has ended without an outcome")

    return asyncio.run(tried())
