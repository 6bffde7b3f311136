import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from app.adapters.postgres import migrations
from app.adapters.postgres.partitions import ensure_partitions
from app.embedded.ports import free_port
from app.errors import DatabaseUnavailable, MigrationRefused
from tests.postgres import PostgresServer

TODAY = date(2026, 3, 1)
ALL = [
    "0001_cache",
    "0002_decision_log",
    "0003_api_key",
    "0004_dead_letters_and_retention",
    "0005_unpublished",
    "0006_sweep_index",
    "0007_model_registry",
    "0008_drift_report",
]
DECISION = """
INSERT INTO decision (event_day, decision_id, customer_id, event_ts, department, department_asked, reason,
                      is_to_be_published, decided_at, decided_on, context, context_source, catalogue_version, scorer,
                      model_version, threshold, deployment, seed)
VALUES ($1, gen_random_uuid(), '7', 0, 'Boys', 'Boys', 'no_candidates', false, now(), $1, '{}', 'cache', '', '', '',
        0.2, 'default', 1)
"""


async def tables(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    finally:
        await connection.close()
    return [row["tablename"] for row in rows]


async def partitions(connection: asyncpg.Connection) -> list[str]:
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'decision'::regclass ORDER BY 1"
    )
    return [row["name"] for row in rows]


def partitions_of(days: int) -> list[str]:
    names = [f"decision_{TODAY + timedelta(ahead):%Y%m%d}" for ahead in range(-1, days)]
    return [*names, "decision_other_days"]


async def test_goes_up_and_down_and_up_again(empty_database_url: str) -> None:
    up = await migrations.upgrade(empty_database_url, today=TODAY)
    after_up = await tables(empty_database_url)
    down = await migrations.downgrade(empty_database_url, "base")
    after_down = await tables(empty_database_url)
    again = await migrations.upgrade(empty_database_url, today=TODAY)

    assert (up, down, again) == (ALL, ALL[::-1], ALL)
    assert after_down == ["alembic_version"]
    assert await tables(empty_database_url) == after_up


async def test_goes_up_and_down_to_a_named_revision(empty_database_url: str) -> None:
    assert await migrations.upgrade(empty_database_url, "0001_cache") == ["0001_cache"]
    assert await migrations.upgrade(empty_database_url) == ALL[1:]
    assert await migrations.downgrade(empty_database_url, "0001_cache") == ALL[:0:-1]
    assert "customer_info" in await tables(empty_database_url)


async def test_does_nothing_when_there_is_nothing_to_do(database_url: str) -> None:
    assert await migrations.upgrade(database_url) == []


async def test_does_the_work_once_when_many_replicas_start(empty_database_url: str) -> None:
    applied = await asyncio.gather(*(migrations.upgrade(empty_database_url, today=TODAY) for _ in range(4)))

    assert sorted(applied) == [[], [], [], ALL]


async def test_what_is_still_to_be_published_is_known_before_and_after_it_got_a_table_of_its_own(
    empty_database_url: str,
) -> None:
    await migrations.upgrade(empty_database_url, ALL[3], today=TODAY)
    connection = await asyncpg.connect(empty_database_url)
    for is_to_be_published, published_at in ((True, None), (True, datetime.now(UTC)), (False, None)):
        await connection.execute(DECISION, TODAY)
        await connection.execute(
            "UPDATE decision SET is_to_be_published = $1, published_at = $2, seed = 2 WHERE seed = 1",
            is_to_be_published,
            published_at,
        )
    before = "SELECT decision_id FROM decision WHERE is_to_be_published AND published_at IS NULL"
    waiting = await connection.fetchval(before)

    await migrations.upgrade(empty_database_url, ALL[4])
    noted = await connection.fetch("SELECT * FROM unpublished_decision")
    await migrations.downgrade(empty_database_url, ALL[3])
    again = await connection.fetch(before)
    await connection.close()

    assert [(row["decision_id"], row["event_day"]) for row in noted] == [(waiting, TODAY)]
    assert [row["decision_id"] for row in again] == [waiting]


async def test_leaves_nothing_behind_when_a_later_revision_fails(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("CREATE TABLE encoded_coupon ()")

    with pytest.raises(DatabaseUnavailable, match='relation "encoded_coupon" already exists'):
        await migrations.upgrade(empty_database_url)

    assert await migrations.current(connection) is None
    assert await tables(empty_database_url) == ["encoded_coupon"]
    await connection.close()


async def test_tells_the_revision_of_a_database(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    found = [await migrations.current(connection)]
    await migrations.upgrade(empty_database_url, "0001_cache")
    found.append(await migrations.current(connection))
    await migrations.upgrade(empty_database_url)
    found.append(await migrations.current(connection))
    await migrations.downgrade(empty_database_url, "base")
    found.append(await migrations.current(connection))
    await connection.close()

    assert found == [None, ALL[0], ALL[-1], None]


def test_names_the_same_head_as_alembic() -> None:
    assert ScriptDirectory(str(migrations.MIGRATIONS)).get_heads() == [migrations.head()]


def test_names_the_head_without_importing_alembic() -> None:
    code = (
        "import sys; from app.adapters.postgres import migrations;"
        " print(migrations.head(), {'alembic', 'sqlalchemy'} & {*sys.modules})"
    )

    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

    assert told == f"{ALL[-1]} set()\n"


async def test_refuses_a_revision_that_nobody_knows(database_url: str) -> None:
    with pytest.raises(MigrationRefused, match="Can't locate revision identified by '0815_unknown'"):
        await migrations.upgrade(database_url, "0815_unknown")


async def test_refuses_a_database_that_is_ahead_of_this_version(
    database_url: str, connection: asyncpg.Connection
) -> None:
    await connection.execute("UPDATE alembic_version SET version_num = '9999_future'")

    with pytest.raises(MigrationRefused, match="Can't locate revision identified by '9999_future'"):
        await migrations.upgrade(database_url)


async def test_says_that_the_database_is_away(postgres_server: PostgresServer) -> None:
    for url in (f"postgresql://nobody@127.0.0.1:{free_port()}/none", postgres_server.database_url("no_such_database")):
        with pytest.raises(DatabaseUnavailable, match="migrating the database: "):
            await migrations.upgrade(url)


async def test_the_documented_tables_have_the_documented_columns(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """SELECT attrelid::regclass::text AS name, string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', '
                                                               ORDER BY attnum) AS columns
           FROM pg_attribute
           WHERE attrelid = ANY (ARRAY['coupon_info', 'product_info', 'coupon_product', 'customer_info']::regclass[])
               AND attnum > 0 AND NOT attisdropped
           GROUP BY 1"""
    )

    assert {row["name"]: row["columns"].replace("character varying", "varchar") for row in rows} == {
        "coupon_info": "coupon_id integer, coupon_type varchar(16), department varchar(10), discount integer,"
        " how_many_products_required integer, start_date varchar(10), end_date varchar(10), product_mean_price real,"
        " products_available integer",
        "product_info": "product_id integer, name varchar(256), category varchar(50), sizes varchar(50),"
        " vendor varchar(50), description varchar(256), buy_price real, department varchar(10)",
        "coupon_product": "coupon_id integer, product_id integer",
        "customer_info": "customer_id integer, gender varchar(1), age integer, mean_buy_price real,"
        " total_coupons_used integer, mean_discount_received real, unique_products_bought integer,"
        " unique_products_bought_with_coupons integer, total_items_bought integer",
    }


async def test_an_upgrade_makes_the_partitions_around_the_day(empty_database_url: str) -> None:
    await migrations.upgrade(empty_database_url, today=TODAY)

    connection = await asyncpg.connect(empty_database_url)
    assert await partitions(connection) == partitions_of(8)
    await connection.close()


@pytest.fixture
async def unpartitioned_url(empty_database_url: str) -> str:
    """A migrated database without any partition but that of the other days."""
    await migrations.upgrade(empty_database_url, today=TODAY)
    connection = await asyncpg.connect(empty_database_url)
    for name in await partitions(connection):
        if name != "decision_other_days":
            await connection.execute(f"DROP TABLE {name}")
    await connection.close()
    return empty_database_url


@pytest.fixture
async def first(unpartitioned_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(unpartitioned_url)
    yield connection
    await connection.close()


@pytest.fixture
async def second(unpartitioned_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(unpartitioned_url)
    yield connection
    await connection.close()


async def where_rows_are(connection: asyncpg.Connection) -> dict[str, list[date]]:
    rows = await connection.fetch(
        "SELECT tableoid::regclass::text AS name, array_agg(event_day ORDER BY event_day) AS days"
        " FROM decision GROUP BY 1"
    )
    return {row["name"]: row["days"] for row in rows}


async def wait_until_blocked(observer: asyncpg.Connection, blocked: asyncpg.Connection) -> None:
    pid = blocked.get_server_pid()
    while not await observer.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", pid):
        pass


async def test_a_new_partition_takes_over_the_rows_that_came_early(first: asyncpg.Connection) -> None:
    days = [TODAY - timedelta(400), TODAY, TODAY, TODAY + timedelta(1), TODAY + timedelta(400)]
    await first.executemany(DECISION, [(day,) for day in days])

    await ensure_partitions(first, TODAY)

    assert await where_rows_are(first) == {
        "decision_other_days": [days[0], days[-1]],
        "decision_20260301": [TODAY, TODAY],
        "decision_20260302": [TODAY + timedelta(1)],
    }


async def test_making_partitions_again_adds_only_the_missing(first: asyncpg.Connection) -> None:
    await ensure_partitions(first, TODAY)
    await ensure_partitions(first, TODAY)
    await ensure_partitions(first, TODAY + timedelta(1))

    assert await partitions(first) == partitions_of(9)


async def test_a_new_partition_has_all_indexes_of_the_log(first: asyncpg.Connection) -> None:
    await ensure_partitions(first, TODAY)

    rows = await first.fetch(
        """SELECT parent.indexrelid::regclass::text AS of_the_log, child.indisvalid AND child.indisready AS is_usable
           FROM pg_index AS parent
           JOIN pg_inherits ON inhparent = parent.indexrelid
           JOIN pg_index AS child ON child.indexrelid = inhrelid
           WHERE parent.indrelid = 'decision'::regclass AND child.indrelid = 'decision_20260301'::regclass ORDER BY 1"""
    )
    assert [tuple(row) for row in rows] == [
        ("decision_customer", True),
        ("decision_pkey", True),
    ]


async def test_two_replicas_make_partitions_at_once(first: asyncpg.Connection, second: asyncpg.Connection) -> None:
    await first.execute(DECISION, TODAY)

    await asyncio.gather(ensure_partitions(first, TODAY), ensure_partitions(second, TODAY))

    assert await partitions(first) == partitions_of(8)
    assert await where_rows_are(first) == {"decision_20260301": [TODAY]}


async def test_making_partitions_waits_for_whoever_reads_and_then_writes(
    first: asyncpg.Connection, second: asyncpg.Connection, unpartitioned_url: str
) -> None:
    observer = await asyncpg.connect(unpartitioned_url)
    await first.execute(DECISION, TODAY)
    transaction = first.transaction()
    await transaction.start()
    await first.fetch("SELECT * FROM decision FOR UPDATE")

    making = asyncio.create_task(ensure_partitions(second, TODAY))
    await wait_until_blocked(observer, second)
    await first.execute("UPDATE decision SET threshold = 0")
    await transaction.commit()
    await making

    assert await where_rows_are(first) == {"decision_20260301": [TODAY]}
    await observer.close()


async def test_making_partitions_gives_up_for_now_where_the_log_stays_locked(
    first: asyncpg.Connection, second: asyncpg.Connection
) -> None:
    async with first.transaction():
        await first.fetch("SELECT * FROM decision")
        await second.execute("ALTER FUNCTION ensure_decision_partition SET lock_timeout = '10ms'")

        with pytest.raises(DatabaseUnavailable, match="canceling statement due to lock timeout"):
            await ensure_partitions(second, TODAY)

    await ensure_partitions(second, TODAY)
    assert await partitions(second) == partitions_of(8)
