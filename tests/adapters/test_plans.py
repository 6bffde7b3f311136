"""Every question on the path of an event is answered by an index, in an empty database and in one that has grown.

Of a hundred million rows there are only the statistics, which is all that the planner knows of them.
"""

import json
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from app.adapters.postgres.database import PLANS
from app.adapters.postgres.partitions import ensure_partitions
from app.adapters.postgres.queries import load_queries
from tests.builders import TODAY

QUERIES = load_queries("queries.sql")
ON_THE_PATH = {
    "read_contexts": 2,
    "store_coupon_bodies": 2,
    "read_coupon_bodies": 1,
    "claim_named_events": 2,
    "claim_again": 2,
    "record_decisions": 1,
    "find_decisions": 2,
    "find_decision": 1,
    "mark_published": 1,
    "unpublished_decisions": 3,
    "record_dead_letters": 7,
    "mark_dead_letters_published": 2,
    "unpublished_dead_letters": 3,
    "decisions_of_customer": 2,
    "decisions_of_day": 3,
}
MANY = 20_000
GROW = (
    f"INSERT INTO customer_info SELECT 1000000 + n, 'F', 30, 1, 1, 1, 1, 1, 1 FROM generate_series(1, {MANY}) AS n",
    f"INSERT INTO unpublished_decision SELECT gen_random_uuid(), $1, now() FROM generate_series(1, {MANY})",
    f"INSERT INTO named_event SELECT gen_random_uuid(), $1 FROM generate_series(1, {MANY})",
    f"""
    INSERT INTO decision (event_day, decision_id, customer_id, event_ts, department, department_asked, reason,
                          is_to_be_published, decided_at, decided_on, context, context_source, catalogue_version,
                          scorer, model_version, threshold, deployment, seed)
    SELECT $1, gen_random_uuid(), n::text, 1, 'a', 'a', 'offered', false, now(), $1, '{{}}', 'cache', 'v', 's', 'm', 0,
           'd', 1
    FROM generate_series(1, {MANY}) AS n
    """,
)
PRETEND = """
SELECT pg_restore_relation_stats('schemaname', relnamespace::regnamespace::text, 'relname', relname::text,
                                 'relpages', relpages, 'reltuples', 100000000::real)
FROM pg_class
WHERE relkind IN ('r', 'i') AND reltuples >= 20000 AND relnamespace = 'public'::regnamespace
"""
SMALL = {"pg_inherits", "pg_class", "dead_letter_unpublished"}  # the last is an index of what there is to publish alone
INSERTS = {"store_coupon_bodies", "claim_named_events", "record_decisions", "record_dead_letters"}


def whole_readings(plan: Any) -> Iterator[tuple[str, str]]:
    """Kind and table of each reading of a table without an index that tells where, of plans within plans too."""
    table = plan.get("Relation Name", plan.get("Index Name"))
    is_told = "Index Cond" in plan or plan["Node Type"] == "Bitmap Heap Scan"
    if plan["Node Type"].endswith("Scan") and table is not None and table not in SMALL and not is_told:
        yield plan["Node Type"], table
    for child in plan.get("Plans", []):
        yield from whole_readings(child)


def tables_inserted_into(plan: Any) -> Iterator[tuple[str, list[str]]]:
    """With the indexes that tell what is there already."""
    if plan["Node Type"] == "ModifyTable" and plan["Operation"] == "Insert":
        yield plan["Relation Name"], plan.get("Conflict Arbiter Indexes", [])
    for child in plan.get("Plans", []):
        yield from tables_inserted_into(child)


@pytest.mark.parametrize("rows", ["none", "many", "a hundred million"])
@pytest.mark.parametrize("name", ON_THE_PATH)
async def test_an_index_answers(connection: asyncpg.Connection, name: str, rows: str) -> None:
    nulls = ", ".join(["NULL"] * ON_THE_PATH[name])
    transaction = connection.transaction()
    await transaction.start()
    try:
        for setting, value in PLANS.items():
            await connection.execute(f"SET LOCAL {setting} = {value}")
        if rows != "none":
            await ensure_partitions(connection, TODAY)
            for statement in GROW:
                await connection.execute(statement, *[TODAY] * ("$1" in statement))
            await connection.execute("ANALYZE")
        if rows == "a hundred million":
            if connection.get_server_version().major < 18:
                pytest.skip("statistics can be given since PostgreSQL 18")
            assert len(await connection.fetch(PRETEND)) > len(GROW)
        await connection.execute(f"PREPARE asked AS {QUERIES[name]}")
        (row,) = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE asked ({nulls})")
        plan = json.loads(row[0])[0]["Plan"]
        await connection.execute("DEALLOCATE asked")
    finally:
        await transaction.rollback()

    inserted = list(tables_inserted_into(plan))
    assert list(whole_readings(plan)) == []
    assert all(arbiters for _, arbiters in inserted)
    assert bool(inserted) == (name in INSERTS)
