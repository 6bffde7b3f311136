"""ApiKeys in the table api_key."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.domain.access import ApiKey, Role


class PostgresApiKeys:
    """One row for each key that was ever made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("queries.sql")

    async def all(self) -> Sequence[ApiKey]:
        """See ApiKeys."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_keys"])
        return [_key(row) for row in rows]

    async def add(self, key: ApiKey) -> None:
        """See ApiKeys."""
        values = (key.key_id, key.digest, key.role.value, key.name, key.created_at, key.expires_at)
        async with self._database.connection() as connection:
            await connection.execute(self._sql["add_key"], *values)

    async def revoke(self, key_id: str, at: datetime) -> bool:
        """See ApiKeys."""
        async with self._database.connection() as connection:
            return await connection.fetchval(self._sql["revoke_key"], key_id, at) is not None


def _key(row: Any) -> ApiKey:
    return ApiKey(
        key_id=row["key_id"],
        digest=row["digest"],
        role=Role(row["role"]),
        name=row["name"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
