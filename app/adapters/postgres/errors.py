"""Where asyncpg's errors become ours."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from app.errors import DatabaseUnavailable

# Everything that trying again may mend, once the server, its disk, its rights or its tables are mended. What is left
# is a wrong value or a broken constraint: that belongs to the event or the file that brought it.
TRANSIENT = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.OutdatedSchemaCacheError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
)


@contextmanager
def database_errors(doing: str) -> Iterator[None]:
    """Raise DatabaseUnavailable, with what was being done, for what may work when tried again."""
    try:
        yield
    except TRANSIENT as error:
        # The details of a server's error may quote rows, and those name customers: its message alone.
        said = str(error.args[0]) if isinstance(error, asyncpg.PostgresError) else str(error)
        raise DatabaseUnavailable(f"{doing}: {said or type(error).__name__}") from error
