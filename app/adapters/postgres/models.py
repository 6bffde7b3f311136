"""ModelRegistry in the tables model and model_alias."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.domain.model_card import ModelCard, card_from_json
from app.domain.registry import Alias, AliasChange, Change, RegisteredModel
from app.ports import ModelFiles

FILES_SECONDS = 60.0  # for the files of a model, which may be large


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
            RegisteredModel(row["version"], _card(row["card"]), row["registered_at"], row["created_by"], row["bytes"])
            for row in rows
        ]

    async def files(self, version: str) -> ModelFiles | None:
        """See ModelRegistry."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._sql["read_model_files"], version, timeout=FILES_SECONDS)
        return None if row is None else ModelFiles(row["card"].encode(), row["model"], row["trees"])

    async def add(self, card: ModelCard, files: ModelFiles, registered_at: datetime, created_by: str) -> bool:
        """See ModelRegistry."""
        values = (card.version, files.card.decode(), files.model, files.trees, registered_at, created_by)
        async with self._database.connection() as connection:
            return await connection.fetchval(self._sql["add_model"], *values, timeout=FILES_SECONDS) is not None

    async def remove(self, version: str) -> bool:
        """See ModelRegistry."""
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(self._sql["lock_aliases"])
            return await connection.fetchval(self._sql["remove_model"], version) is not None

    async def named(self, at: datetime | None = None) -> Mapping[Alias, str | None]:
        """See ModelRegistry."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_aliases"], at)
        return {**dict.fromkeys(Alias), **{Alias(row["alias"]): row["version"] for row in rows}}

    async def changes(self) -> Sequence[AliasChange]:
        """See ModelRegistry."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_alias_changes"])
        return [_change(**dict(row)) for row in rows]

    async def point(self, change: Change) -> AliasChange | None:
        """See ModelRegistry."""
        values = (change.version, change.changed_by, change.reason, change.is_forced, change.is_rollback)
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(self._sql["lock_aliases"])
            since = await connection.fetchval(self._sql["point_alias"], change.alias.value, *values)
        return None if since is None else AliasChange(since, change)


def _card(text: str) -> ModelCard | None:
    try:
        return card_from_json(text)
    except ValueError:
        return None


def _change(since: datetime, alias: str, **others: Any) -> AliasChange:
    return AliasChange(since, Change(Alias(alias), **others))
