"""What is done to the database once a day: partitions for the days to come, and an end to what is kept no longer."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import asyncpg
import structlog

from app.adapters.postgres import migrations, partitions
from app.adapters.postgres.database import Database
from app.adapters.postgres.errors import database_errors
from app.adapters.postgres.queries import load_queries
from app.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

LOOK_SECONDS = 60.0
DELETE_AT_ONCE = 5_000
DELETE_SECONDS = 30.0
DELETIONS = ("other_decisions", "unpublished_decisions", "named_events", "dead_letters", "coupon_bodies")


class Upkeep:
    """Keeps the decision log's partitions, and nothing for longer than `retention` (None: everything for ever)."""

    def __init__(self, database: Database, retention: timedelta | None, look_seconds: float = LOOK_SECONDS) -> None:
        self._database = database
        self._retention = retention
        self._look_seconds = look_seconds
        self._done_on: date | None = None

    async def run(self) -> None:
        """Once a day, until cancelled; put off while somebody reads the log, since inserts would have to wait, too."""
        while True:
            if self._done_on != datetime.now(UTC).date():
                await self._try()
            await asyncio.sleep(self._look_seconds)

    async def _try(self) -> None:
        now = datetime.now(UTC)
        try:
            async with self._database.own_connection() as connection:
                if await migrations.current(connection) is None:
                    return
                await partitions.ensure_partitions(connection, now.date())
                if self._retention is not None:
                    gone = await expire(connection, now - self._retention)
                    log.info("what was kept long enough is deleted", **gone)
        except DatabaseUnavailable as error:
            log.warning("upkeep of the database put off", problem=str(error))
        else:
            self._done_on = now.date()


async def expire(connection: "asyncpg.Connection[asyncpg.Record]", before: datetime) -> Mapping[str, int]:
    """Delete decisions, dead letters and what belongs to them from before this time; how many of each.

    Days of the decision log go as whole partitions. Raises DatabaseUnavailable.
    """
    sql = load_queries("queries.sql")
    with database_errors("deleting what is kept no longer"):
        gone = {"partitions": 0}
        while dropped := await connection.fetchval(
            sql["drop_decision_partitions"], before.date(), timeout=DELETE_SECONDS
        ):
            gone["partitions"] += dropped
        for what in DELETIONS:
            gone[what] = 0
            deleted = DELETE_AT_ONCE
            while deleted == DELETE_AT_ONCE:
                tag = await connection.execute(sql[f"delete_{what}"], before, DELETE_AT_ONCE, timeout=DELETE_SECONDS)
                deleted = int(tag.rpartition(" ")[2])
                gone[what] += deleted
    return gone
