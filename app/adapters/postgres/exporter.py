"""Writes the four documented tables back into files."""

import asyncio
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import asyncpg

from app.adapters.postgres.errors import database_errors
from app.adapters.postgres.queries import load_queries
from app.adapters.tables import TABLES, Table

TIMEOUT_SECONDS = 600.0


async def export(connection: asyncpg.Connection, folder: Path) -> dict[str, int]:
    """Write the four files as they were loaded, in the order of their keys; returns the number of rows by file name.

    All files show the same moment, and are written when all is read. Makes the folder, replaces the files. Raises
    DatabaseUnavailable, OSError.
    """
    contents: dict[str, bytes] = {}
    rows: dict[str, int] = {}
    with database_errors("exporting the tables"):
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for table in TABLES:
                name = table.file_names[0]
                contents[name], rows[name] = await _read(connection, table)
    await asyncio.to_thread(_write, folder, contents)
    return rows


async def _read(connection: asyncpg.Connection, table: Table) -> tuple[bytes, int]:
    content = BytesIO()
    query = load_queries("load.sql")[f"export_{table.name}"].removesuffix(";")
    status: str = await connection.copy_from_query(
        query, output=content, format="csv", header=True, timeout=TIMEOUT_SECONDS
    )
    return content.getvalue(), int(status.removeprefix("COPY "))


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
