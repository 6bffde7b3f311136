"""A customer who wants to be forgotten."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import asyncpg
import orjson

from app.adapters.postgres.cache import fits_int
from app.adapters.postgres.errors import database_errors
from app.adapters.postgres.queries import load_queries

DELETE_SECONDS = 600.0
AT_ONCE = 200
BY_TEXT = {
    "named_event": "forget_named_events",
    "unpublished_decision": "forget_unpublished_decisions",
    "decision": "forget_decisions",
    "customer_info_text": "forget_text_context",
}
BY_NUMBER = {"customer_fetch": "forget_fetch", "customer_info": "forget_context"}
ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


async def forget(connection: "asyncpg.Connection[asyncpg.Record]", customer_id: str) -> Mapping[str, int]:
    """Delete a customer's context, decisions and dead letters, in one transaction; how many rows of each table.

    Dead letters go when the refused event named the customer, or holds the id as a word. Raises DatabaseUnavailable.
    """
    sql = load_queries("forget.sql")
    with database_errors("forgetting a customer"):
        async with connection.transaction():
            found = connection.cursor(sql["find_dead_letters"], customer_id, prefetch=AT_ONCE, timeout=DELETE_SECONDS)
            letters = [row["dead_letter_id"] async for row in found if _names(row, customer_id)]
            steps: list[tuple[str, str, Any]] = [("dead_letter", "forget_dead_letters", letters)]
            steps += [(table, name, customer_id) for table, name in BY_TEXT.items()]
            if fits_int(customer_id):
                steps += [(table, name, int(customer_id)) for table, name in BY_NUMBER.items()]
            counts = {}
            for table, name, key in steps:
                tag = await connection.execute(sql[name], key, timeout=DELETE_SECONDS)
                counts[table] = int(tag.rpartition(" ")[2])
    return counts


def _names(row: Any, customer_id: str) -> bool:
    if row["customer_id"] == customer_id:
        return True
    word = re.compile(rf"(?<!\w){re.escape(customer_id)}(?!\w)")
    return any(word.search(text) for text in _texts(row))


def _texts(row: Any) -> Iterator[str]:
    """What a dead letter says, in every way in which it may be read."""
    letter = orjson.loads(row["body"])
    payload = letter["payload"]
    if letter["payload_encoding"] == "hex":
        payload = bytes.fromhex(payload).decode(errors="replace")
    yield payload
    yield ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), payload)
    yield (row["correlation_data"] or b"").decode(errors="replace")
