"""Once a day: partitions for the days to come, and an end to what is kept no longer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.adapters.postgres.database import Database
from app.adapters.postgres.dead_letters import PostgresDeadLetterLog
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.postgres.partitions import ensure_partitions
from app.adapters.postgres.upkeep import DELETE_AT_ONCE, Upkeep, expire
from app.domain.event import FocusEvent
from tests.builders import FOCUS, running
from tests.contract.test_dead_letter_log import LETTER
from tests.contract.test_decision_log import BODIES, HASH, decided

PATIENCE_SECONDS = 20.0
TODAY = datetime.now(UTC).replace(hour=12)
CUTOFF = TODAY - timedelta(days=90)
PARTITIONS = (
    "SELECT inhrelid::regclass::text FROM pg_inherits"
    " WHERE inhparent = 'decision'::regclass AND inhrelid <> 'decision_other_days'::regclass ORDER BY 1"
)


def on(moment: datetime, event_id: str | None = None) -> FocusEvent:
    return replace(FOCUS, ts=int(moment.timestamp()), event_id=event_id)


async def partitions(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(PARTITIONS)]


@asynccontextmanager
async def kept(database_url: str, retention: timedelta | None) -> AsyncIterator[None]:
    async with Database.open(database_url, size=2) as database, running(Upkeep(database, retention, 0.1).run()):
        yield


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[PostgresDecisionLog]:
    async with Database.open(database_url, size=2) as database:
        yield PostgresDecisionLog(database)


@pytest.fixture
async def without_partitions(connection: asyncpg.Connection) -> asyncpg.Connection:
    for name in await partitions(connection):
        await connection.execute(f"DROP TABLE {name}")
    return connection


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_true():
            await asyncio.to_thread(lambda: None)


async def test_the_log_gets_partitions_for_the_week_to_come(
    database_url: str, without_partitions: asyncpg.Connection
) -> None:
    with capture_logs() as logged:
        async with kept(database_url, timedelta(days=90)):
            await until(lambda: bool(logged))

    assert len(await partitions(without_partitions)) == len(["yesterday", "today", *range(7)])
    assert [one["event"] for one in logged] == ["what was kept long enough is deleted"]


async def test_upkeep_is_put_off_while_somebody_reads_the_log_and_done_afterwards(
    database_url: str, without_partitions: asyncpg.Connection
) -> None:
    with capture_logs() as logged:
        async with kept(database_url, None):
            async with without_partitions.transaction():
                await without_partitions.execute("LOCK TABLE decision IN ACCESS SHARE MODE")
                await until(lambda: "upkeep of the database put off" in [one["event"] for one in logged])
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(await partitions(without_partitions)) < 9:
                    pass


async def test_an_unmigrated_database_is_left_alone(empty_database_url: str) -> None:
    with capture_logs() as logged:
        async with kept(empty_database_url, None):
            connection = await asyncpg.connect(empty_database_url)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE pid <> pg_backend_pid() AND datname = current_database()"
                ):
                    pass
            await connection.close()

    assert logged == []


async def test_decisions_go_with_the_partition_of_their_day(
    connection: asyncpg.Connection, log: PostgresDecisionLog
) -> None:
    for moment in (CUTOFF, TODAY):
        await ensure_partitions(connection, moment.date())
    decisions = [decided(on(CUTOFF - timedelta(days=1))), decided(on(CUTOFF)), decided(on(TODAY))]
    await log.record(decisions, BODIES)

    gone = await expire(connection, CUTOFF)

    assert gone["partitions"] == 1
    assert await events_of(connection) == {decision.event.ts for decision in decisions[1:]}
    assert f"decision_{CUTOFF - timedelta(days=1):%Y%m%d}" not in await partitions(connection)


async def test_decisions_on_events_of_strange_days_go_by_the_time_of_the_decision(
    connection: asyncpg.Connection, log: PostgresDecisionLog
) -> None:
    old, young = CUTOFF - timedelta(seconds=1), CUTOFF + timedelta(seconds=1)
    await log.record([decided(replace(FOCUS, ts=192322800), at=old), decided(replace(FOCUS, ts=1), at=young)], BODIES)

    gone = await expire(connection, CUTOFF)

    assert gone["other_decisions"] == 1
    assert await events_of(connection) == {1}


async def test_what_belongs_to_decisions_goes_with_them(
    connection: asyncpg.Connection, log: PostgresDecisionLog, database_url: str
) -> None:
    await log.record([decided(on(CUTOFF, "camera-1"))], BODIES)
    async with Database.open(database_url, size=1) as database:
        young = replace(LETTER, dead_letter_id=UUID(int=9), received_at=CUTOFF)
        await PostgresDeadLetterLog(database).record(
            [replace(LETTER, received_at=CUTOFF - timedelta(seconds=1)), young]
        )
    await connection.execute("UPDATE named_event SET claimed_on = $1", CUTOFF.date() - timedelta(days=1))
    await connection.execute("UPDATE encoded_coupon SET last_used = $1", CUTOFF - timedelta(days=11))

    gone = await expire(connection, CUTOFF)

    assert (gone["named_events"], gone["dead_letters"], gone["coupon_bodies"]) == (1, 1, 1)
    assert await connection.fetchval("SELECT dead_letter_id FROM dead_letter") == UUID(int=9)


async def test_what_was_never_published_goes_with_its_decision(
    connection: asyncpg.Connection, log: PostgresDecisionLog
) -> None:
    old, young = CUTOFF - timedelta(days=1), CUTOFF + timedelta(days=1)
    past, future = replace(FOCUS, ts=1), replace(FOCUS, ts=int(TODAY.timestamp()) + 10**9)
    made = [decided(on(old), at=old), decided(on(young), at=young), decided(past, at=young), decided(future, at=old)]
    await log.record(made, BODIES)

    gone = await expire(connection, CUTOFF)

    assert gone["unpublished_decisions"] == 2
    assert await connection.fetchval("SELECT count(*) FROM unpublished_decision") == 2


async def test_a_coupon_in_use_is_kept(
    connection: asyncpg.Connection, log: PostgresDecisionLog, database_url: str
) -> None:
    await log.record([decided(on(TODAY))], BODIES)
    await connection.execute("UPDATE encoded_coupon SET last_used = $1", CUTOFF - timedelta(days=11))
    async with Database.open(database_url, size=1) as database:
        await PostgresDecisionLog(database).record([decided(on(TODAY - timedelta(days=1)))], BODIES)

    gone = await expire(connection, CUTOFF)

    assert gone["coupon_bodies"] == 0
    assert await log.coupon_bodies([HASH]) == BODIES


async def test_the_coupon_of_an_event_from_the_week_to_come_is_kept_as_long_as_its_decision(
    connection: asyncpg.Connection, log: PostgresDecisionLog
) -> None:
    decided_at = CUTOFF - timedelta(days=7)
    await ensure_partitions(connection, decided_at.date())
    event = on(CUTOFF)
    await log.record([decided(event, at=decided_at)], BODIES)
    await connection.execute("UPDATE encoded_coupon SET last_used = $1", decided_at - timedelta(days=1))

    await expire(connection, CUTOFF)

    assert await events_of(connection) == {event.ts}
    assert await log.coupon_bodies([HASH]) == BODIES


async def test_more_goes_than_is_deleted_at_once(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "INSERT INTO dead_letter (dead_letter_id, kind, reason, body, received_at)"
        " SELECT gen_random_uuid(), 'focus', 'invalid_json', '', $1 FROM generate_series(1, $2::int)",
        CUTOFF - timedelta(days=1),
        DELETE_AT_ONCE + 1,
    )

    assert (await expire(connection, CUTOFF))["dead_letters"] == DELETE_AT_ONCE + 1


async def events_of(connection: asyncpg.Connection) -> set[int]:
    return {row["event_ts"] for row in await connection.fetch("SELECT event_ts FROM decision")}
