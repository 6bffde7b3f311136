"""The decision log has a partition for each day; the days to come get theirs ahead of time."""

from datetime import date

import asyncpg

from app.adapters.postgres.errors import database_errors

ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('recommendation-service partitions'))"
ENSURE = "SELECT ensure_decision_partition($1::date + ahead) FROM generate_series(-1, 7) AS ahead"
TIMEOUT_SECONDS = 30.0


async def ensure_partitions(connection: asyncpg.Connection, today: date) -> None:
    """Make the partitions from yesterday to a week from `today` (UTC), where they are missing.

    Rows of these days that came earlier move in. Safe from many instances at once. Raises DatabaseUnavailable.
    """
    with database_errors("making partitions of the decision log"):
        async with connection.transaction():  # instances that start together do not wait for each other's tables
            await connection.execute(ONE_AT_A_TIME, timeout=TIMEOUT_SECONDS)
            await connection.execute(ENSURE, today, timeout=TIMEOUT_SECONDS)
