"""A forgotten customer: a dump of the database holds the id no more."""

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from app.adapters.postgres.cache import PostgresCache
from app.adapters.postgres.database import Database
from app.adapters.postgres.dead_letters import PostgresDeadLetterLog
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.postgres.forgetting import forget
from app.domain.dead_letter import DeadLetter
from app.embedded.postgres_software import find_software
from app.errors import FieldProblem
from app.results import encode_dead_letter
from tests.builders import ANNA, FOCUS, NOW
from tests.contract.test_decision_log import BODIES, decided

PROBLEMS = [FieldProblem("dep", "invalid_department", "is missing")]
GONE, KEPT, NUMBER = "cust-7f3a-0001", "cust-7f3a-00012", "700100200"


def letter(number: int, payload: bytes, customer_id: str | None = None, correlation: bytes | None = None) -> DeadLetter:
    body = encode_dead_letter("shop/focus", payload, PROBLEMS)
    return DeadLetter(UUID(int=number), "focus", "invalid_department", customer_id, correlation, body, NOW)


def letters(customer_id: str, first: int) -> list[DeadLetter]:
    """Every way in which a refused event may hold an id."""
    id_ = customer_id.encode()
    escaped = b"".join(b"\\u%04x" % byte for byte in id_)
    return [
        letter(first, b'{"id": "%b"}' % id_, customer_id),
        letter(first + 1, b'{"id": "%b", "broken' % id_),
        letter(first + 2, b'{"id": "%b"}' % escaped),
        letter(first + 3, b'\xff{"id": "%b"}' % id_),
        letter(first + 4, b"{}", correlation=b"visit of %b" % id_),
    ]


async def fill(database_url: str, customer_ids: Sequence[str]) -> None:
    """A context, two decisions and some dead letters of each customer."""
    async with Database.open(database_url, size=2) as database:
        await PostgresCache(database, ANNA).write([replace(ANNA, customer_id=one) for one in customer_ids], NOW)
        for number, one in enumerate(customer_ids):
            context = replace(ANNA, customer_id=one)
            events = [replace(FOCUS, customer_id=one), replace(FOCUS, customer_id=one, event_id=f"visit of {one}")]
            decisions = [decided(event) for event in events]
            decisions = [replace(each, basis=replace(each.basis, context=context)) for each in decisions]
            await PostgresDecisionLog(database).record(decisions, BODIES)
            await PostgresDeadLetterLog(database).record(letters(one, 10 * number))


def dump(database_url: str, home: Path) -> str:
    """Everything that is in the database, as text."""
    program = find_software(None, home).programs / "pg_dump"
    return subprocess.run([program, database_url], capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("customer_id", [GONE, NUMBER])
async def test_a_dump_holds_the_id_of_a_forgotten_customer_no_more(
    database_url: str, connection: asyncpg.Connection, tmp_path: Path, customer_id: str
) -> None:
    in_hex = customer_id.encode().hex()
    forms = [customer_id, in_hex, in_hex.encode().hex(), r"\\u".join(f"{ord(one):04x}" for one in customer_id)]
    await fill(database_url, [customer_id])
    before = dump(database_url, tmp_path)

    counts = await forget(connection, customer_id)

    after = dump(database_url, tmp_path)
    assert [form for form in forms[:3] if form not in before] == []
    assert [form for form in forms if form in after] == []
    assert (counts["decision"], counts["dead_letter"], counts["named_event"]) == (2, 5, 1)
    assert await connection.fetchval("SELECT count(*) FROM unpublished_decision") == 0


async def test_other_customers_keep_everything(database_url: str, connection: asyncpg.Connection) -> None:
    await fill(database_url, [GONE, KEPT, NUMBER])

    await forget(connection, GONE)
    again = await forget(connection, GONE)

    assert set(again.values()) == {0}
    assert await connection.fetchval("SELECT count(*) FROM decision") == 4
    assert await connection.fetchval("SELECT count(*) FROM named_event") == 2
    assert await connection.fetchval("SELECT count(*) FROM dead_letter") == 10
    assert await connection.fetchval("SELECT count(*) FROM customer_info") == 1
    assert await connection.fetchval("SELECT count(*) FROM customer_info_text") == 1
