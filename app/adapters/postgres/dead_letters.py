"""DeadLetterLog in the table dead_letter."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.adapters.postgres.sweeping import sweeping
from app.domain.dead_letter import DeadLetter


class PostgresDeadLetterLog:
    """One row for each refused event."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("queries.sql")

    async def record(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        """See DeadLetterLog."""
        distinct = {letter.dead_letter_id: letter for letter in reversed(letters)}
        ordered = [distinct[key] for key in sorted(distinct)]  # instances wait for each other, and never in a circle
        columns = [[getattr(letter, name) for letter in ordered] for name in DeadLetter.__slots__]
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["record_dead_letters"], *columns)
        logged = {row["dead_letter_id"]: _letter(row) for row in rows}
        return [logged[letter.dead_letter_id] for letter in letters]

    async def mark_published(self, letters: Collection[DeadLetter]) -> None:
        """See DeadLetterLog."""
        keys = sorted(letter.dead_letter_id for letter in letters)
        async with self._database.connection() as connection:
            await connection.execute(self._sql["mark_dead_letters_published"], keys, datetime.now(UTC))

    @asynccontextmanager
    async def unpublished(
        self, received_from: datetime, received_before: datetime, limit: int
    ) -> AsyncIterator[Sequence[DeadLetter]]:
        """See DeadLetterLog. While one process has it open, the others see nothing to publish."""
        async with self._database.connection() as connection, sweeping(connection, "dead letters") as is_ours:
            wanted = received_from, received_before, limit if is_ours else 0
            yield [_letter(row) for row in await connection.fetch(self._sql["unpublished_dead_letters"], *wanted)]


def _letter(row: Any) -> DeadLetter:
    fields = {name: row[name] for name in DeadLetter.__slots__}
    return DeadLetter(**fields | {"dead_letter_id": UUID(bytes=row["dead_letter_id"].bytes)})
