"""The tables' versions: alembic, with plain SQL, in one transaction under an advisory lock.

alembic and SQLAlchemy take long to import, and a running service only compares `head()` with `current()`: they are
imported where they are used.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from app.adapters.postgres.errors import database_errors
from app.adapters.postgres.partitions import ensure_partitions
from app.errors import DatabaseUnavailable, MigrationRefused

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parents[2] / "sql" / "migrations"
UP = ".up.sql"
LOCK_KEY = 7_346_912_055_281_103  # any number, but for ever the same one
CONNECT_SECONDS = 10.0
STATEMENT_SECONDS = 600.0


def head() -> str:
    """The newest revision of this version of the service."""
    return max(path.name for path in (MIGRATIONS / "versions").glob(f"*{UP}")).removesuffix(UP)


async def current(connection: asyncpg.Connection) -> str | None:
    """The revision the database is at; None when it was never migrated. Raises DatabaseUnavailable."""
    with database_errors("reading the database's revision"):
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return revision


async def upgrade(database_url: str, revision: str = "head", today: date | None = None) -> list[str]:
    """Bring the database up to a revision and make the decision log's next partitions; returns what was applied.

    Many instances may call this at once: one does the work, the others wait and find it done. `today` (UTC) is the
    clock's unless given. Raises DatabaseUnavailable, MigrationRefused.
    """
    from alembic import command

    applied = await _migrate(database_url, revision, command.upgrade)
    with database_errors("connecting to the database"):
        connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
        try:
            if await connection.fetchval("SELECT to_regprocedure('ensure_decision_partition(date)')") is not None:
                await ensure_partitions(connection, today or datetime.now(UTC).date())
        finally:
            await connection.close()
    return applied


async def downgrade(database_url: str, revision: str) -> list[str]:
    """Take the database down to a revision (`base`: to nothing), data and all; returns what was undone, newest first.

    Raises DatabaseUnavailable, MigrationRefused.
    """
    from alembic import command

    return await _migrate(database_url, revision, command.downgrade)


def run_file(file_name: str) -> None:
    """Run all statements of a file in `versions`; for the revisions. A prepared statement would hold only one."""
    from alembic import op
    from sqlalchemy.util import await_

    connection: asyncpg.Connection = op.get_bind().connection.driver_connection
    await_(connection.execute((MIGRATIONS / "versions" / file_name).read_text(encoding="utf-8")))


async def _migrate(database_url: str, revision: str, move: "Callable[[Config, str], None]") -> list[str]:
    from alembic.util import CommandError
    from sqlalchemy import NullPool, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine

    applied: list[str] = []
    engine = create_async_engine(
        "postgresql+asyncpg://",
        poolclass=NullPool,
        async_creator=lambda: asyncpg.connect(database_url, timeout=CONNECT_SECONDS, command_timeout=STATEMENT_SECONDS),
    )
    try:
        with database_errors("migrating the database"):
            async with engine.begin() as connection:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
                await connection.run_sync(lambda bound: move(_config(bound, applied), revision))
    except DBAPIError as error:
        raise DatabaseUnavailable(f"migrating the database: {error.orig}") from error
    except CommandError as error:
        raise MigrationRefused(str(error)) from error
    return applied


def _config(connection: "Connection", applied: list[str]) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes.update(connection=connection, applied=applied)
    return config
