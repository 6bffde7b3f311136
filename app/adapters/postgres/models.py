"""ModelRegistry in the tables model and model_alias."""

from collections.abc import Sequence
from datetime import datetime

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.domain.model_card import ModelCard, card_from_json
from app.domain.registry import Alias, AliasChange, RegisteredModel
from app.ports import ModelFiles


class PostgresModelRegistry:
    """One row for each model, artefact and all, and one for each change of an alias."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("queries.sql")

    async def models(self) -> Sequence[RegisteredModel]:
        """See ModelRegistry."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_models"])
        return [
            RegisteredModel(card_from_json(row["card"]), row["registered_at"], row["created_by"], row["bytes"])
            for row in rows
        ]

    async def files(self, version: str) -> ModelFiles | None:
        """See ModelRegistry."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._sql["read_model_files"], version)
        return None if row is None else ModelFiles(row["card"].encode(), row["model"], row["trees"])

    async def add(self, card: ModelCard, files: ModelFiles, registered_at: datetime, created_by: str) -> bool:
        """See ModelRegistry."""
        values = (card.version, files.card.decode(), files.model, files.trees, registered_at, created_by)
        async with self._database.connection() as connection:
            return await connection.fetchval(self._sql["add_model"], *values) is not None

    async def remove(self, version: str) -> bool:
        """See ModelRegistry."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(self._sql["lock_aliases"])
            return await connection.fetchval(self._sql["remove_model"], version) is not None

    async def changes(self) -> Sequence[AliasChange]:
        """See ModelRegistry."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_alias_changes"])
        return [AliasChange(**{**row, "alias": Alias(row["alias"])}) for row in map(dict, rows)]

    async def point(
        self, alias: Alias, version: str | None, changed_by: str, reason: str, *, is_forced: bool
    ) -> AliasChange | None:
        """See ModelRegistry."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(self._sql["lock_aliases"])
            since = await connection.fetchval(
                self._sql["point_alias"], alias.value, version, changed_by, reason, is_forced
            )
        return None if since is None else AliasChange(alias, version, since, changed_by, reason, is_forced)
