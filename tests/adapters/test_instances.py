"""Asking an instance to drain, over the database that all share."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from app.adapters.postgres.database import Database
from app.adapters.postgres.instances import REQUESTS, InstanceRequests, InstanceState, Request, ask_instance
from app.errors import DatabaseUnavailable
from tests.builders import running

PATIENCE_SECONDS = 20.0


class Work:
    """What an instance has to finish before it has left."""

    def __init__(self) -> None:
        self.times_asked = 0
        self.is_done = asyncio.Event()

    async def leave(self) -> None:
        self.times_asked += 1
        await self.is_done.wait()


def start(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)


@asynccontextmanager
async def instance(database_url: str, client_id: str, work: Work, *, is_alone: bool = False) -> AsyncIterator[None]:
    """An instance that hears requests."""
    async with (
        Database.open(database_url, size=1) as database,
        running(InstanceRequests(database, client_id, work.leave, start, is_alone=is_alone).run()),
    ):
        await first_answer(database_url, client_id, Request.STATE)
        yield


async def first_answer(database_url: str, client_id: str, request: Request) -> InstanceState | None:
    async for state in ask_instance(database_url, client_id, request, PATIENCE_SECONDS):
        return state
    return None


async def test_an_instance_drains_once_and_tells_how_far_it_is(database_url: str) -> None:
    work = Work()
    told = []
    async with instance(database_url, "till 1", work):
        async for state in ask_instance(database_url, "till 1", Request.DRAIN, PATIENCE_SECONDS):
            told.append(state)
            if len(told) == 2:
                work.is_done.set()
            if state is InstanceState.DRAINED:
                break

    assert told[:2] == [InstanceState.DRAINING] * 2
    assert work.times_asked == 1


async def test_an_instance_that_is_alone_drains_only_by_force(database_url: str) -> None:
    work = Work()
    async with instance(database_url, "1", work, is_alone=True):
        asked = await first_answer(database_url, "1", Request.DRAIN)
        forced = await first_answer(database_url, "1", Request.FORCE)

    assert (asked, forced, work.times_asked) == (InstanceState.ALONE, InstanceState.DRAINING, 1)


async def test_each_instance_answers_for_itself_alone(database_url: str) -> None:
    first, second = Work(), Work()
    async with instance(database_url, "1", first), instance(database_url, "2", second):
        answer = await first_answer(database_url, "2", Request.DRAIN)

    assert (answer, first.times_asked, second.times_asked) == (InstanceState.DRAINING, 0, 1)


async def test_nobody_answers_for_an_instance_that_is_lost(database_url: str) -> None:
    assert [state async for state in ask_instance(database_url, "lost", Request.STATE, 0.1)] == []


async def test_an_instance_listens_again_after_its_connection_was_lost(database_url: str) -> None:
    async with instance(database_url, "1", Work()):
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%' || $1 || '%'"
            " AND datname = current_database() AND pid <> pg_backend_pid()",
            REQUESTS,
        )
        await connection.close()

        assert await first_answer(database_url, "1", Request.STATE) is InstanceState.SERVING


async def test_a_database_that_is_away_is_told_to_who_asks() -> None:
    with pytest.raises(DatabaseUnavailable):
        await first_answer("postgresql://nobody@127.0.0.1:1/nothing", "1", Request.STATE)
