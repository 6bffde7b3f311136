"""Instances of the service are asked to drain, and answer, by NOTIFY in the database that they share.

A payload is a word and a client id: `drain till-1`, `drained till-1`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from enum import StrEnum
from time import monotonic
from typing import Any

import asyncpg
import structlog

from app.adapters.postgres.database import Database, connected
from app.adapters.postgres.errors import database_errors
from app.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

REQUESTS, ANSWERS = "instance_request", "instance_answer"
NOTIFY = "SELECT pg_notify($1, $2)"
CHECK_SECONDS = 10.0
AGAIN_SECONDS = 1.0
ASK_SECONDS = 1.0


class Request(StrEnum):
    """What an instance is asked; `force` drains it although nobody else gets the events meanwhile."""

    STATE = "state"
    DRAIN = "drain"
    FORCE = "force"


class InstanceState(StrEnum):
    """How far an instance is on its way out; `alone` is one that refuses to drain, since it shares no events."""

    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"
    ALONE = "alone"


class InstanceRequests:
    """Answers whoever asks for this instance, and lets it `leave` the broker when told to; `start` runs that beside."""

    def __init__(
        self,
        database: Database,
        client_id: str,
        leave: Callable[[], Awaitable[object]],
        start: Callable[[str, Coroutine[Any, Any, None]], asyncio.Task[None]],
        *,
        is_alone: bool,
    ) -> None:
        self._database = database
        self._client_id = client_id
        self._leave = leave
        self._start = start
        self._is_alone = is_alone
        self._state = InstanceState.SERVING
        self._draining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Listen until cancelled; a lost connection is made again."""
        while True:
            try:
                async with self._database.own_connection() as connection:
                    await self._listen(connection)
            except DatabaseUnavailable as error:
                log.debug("requests to this instance are not heard", problem=str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        heard: asyncio.Queue[str] = asyncio.Queue()
        await connection.add_listener(REQUESTS, lambda *arguments: heard.put_nowait(str(arguments[3])))
        while True:
            request = await _next(heard, CHECK_SECONDS)
            if request is None:
                await connection.execute("SELECT 1")  # a connection that is lost is noticed
            elif (answer := self._answer(*request)) is not None:
                await connection.execute(NOTIFY, ANSWERS, f"{answer} {self._client_id}")

    def _answer(self, word: str, client_id: str) -> InstanceState | None:
        if client_id != self._client_id:
            return None
        if word == Request.DRAIN and self._is_alone:
            return InstanceState.ALONE
        if word in (Request.DRAIN, Request.FORCE) and self._draining is None:
            self._state = InstanceState.DRAINING
            self._draining = self._start("draining", self._drain_once())
        return self._state

    async def _drain_once(self) -> None:
        log.warning("asked to drain: this instance takes no new events")
        await self._leave()
        self._state = InstanceState.DRAINED
        log.warning("drained: this instance can be stopped")


async def ask_instance(
    database_url: str, client_id: str, request: Request, silence_seconds: float
) -> AsyncIterator[InstanceState]:
    """Ask again and again, and give each answer; ends after so many seconds of silence. Raises DatabaseUnavailable."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with connected(database_url) as connection:
        with database_errors("asking an instance"):
            await connection.add_listener(ANSWERS, lambda *arguments: heard.put_nowait(str(arguments[3])))
        last_answer = monotonic()
        while monotonic() - last_answer < silence_seconds:
            with database_errors("asking an instance"):
                await connection.execute(NOTIFY, REQUESTS, f"{request} {client_id}")
            answer = await _next(heard, ASK_SECONDS)
            if answer is not None and answer[1] == client_id:
                last_answer = monotonic()
                yield InstanceState(answer[0])
                await asyncio.sleep(ASK_SECONDS / 4)


async def _next(heard: asyncio.Queue[str], seconds: float) -> tuple[str, str] | None:
    """The next word and client id; None when there is none in time."""
    try:
        async with asyncio.timeout(seconds):
            word, _, client_id = (await heard.get()).partition(" ")
    except TimeoutError:
        return None
    return word, client_id
