"""A PostgreSQL for the tests: the one of TEST_DATABASE_URL, or one that is started for the session."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg

from app.embedded.ports import free_port
from app.embedded.postgres import EmbeddedPostgres

VARIABLE = "TEST_DATABASE_URL"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server on which the tests make databases of their own.

    `url` names a database to connect to for that. `reads_local_files`: it is ours, on this machine.
    """

    url: str
    reads_local_files: bool

    def database_url(self, database: str) -> str:
        """The URL of another database on the same server."""
        return urlsplit(self.url)._replace(path=f"/{database}").geturl()

    async def execute(self, statement: str) -> None:
        """Run one statement outside the databases of the tests."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def database(self, template: str = "template1") -> AsyncIterator[str]:
        """A fresh database, dropped at the end; gives its name."""
        name = f"test_{uuid4().hex}"
        await self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            with suppress(asyncpg.InsufficientPrivilegeError):  # autovacuum is at it: it goes with the server
                await self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def open_directory() -> Iterator[Path]:
    """A temporary directory that the server's account can enter; pytest's own belong to the user alone."""
    directory = Path(tempfile.mkdtemp(prefix="recommendation-test-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """The server of TEST_DATABASE_URL, or an embedded one that lives as long as the context."""
    if url := os.environ.get(VARIABLE):
        yield PostgresServer(url, reads_local_files=False)
        return
    with open_directory() as directory:
        server = EmbeddedPostgres(directory / "postgres", free_port(), password=uuid4().hex, durable=False)
        try:
            yield PostgresServer(server.start(), reads_local_files=True)
        finally:
            server.stop("immediate")
