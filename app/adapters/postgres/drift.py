"""DriftReports in the table drift_report."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import orjson

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.domain.drift_report import LEAST_DECISIONS, DriftReport


class PostgresDriftReports:
    """One row for each day and model."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("queries.sql")

    @asynccontextmanager
    async def measuring(self) -> AsyncIterator[bool]:
        """See DriftReports. The lock goes with its connection, which is none of the pool's."""
        async with self._database.own_connection() as connection:
            yield await connection.fetchval(self._sql["try_sweeping"], "drift")

    async def of_day(self, model_version: str, day: date) -> DriftReport | None:
        """See DriftReports."""
        return await self._read("read_drift_report", model_version, day)

    async def first(self, model_version: str) -> DriftReport | None:
        """See DriftReports."""
        return await self._read("read_first_drift_report", model_version, LEAST_DECISIONS)

    async def add(self, report: DriftReport) -> None:
        """See DriftReports."""
        counts = report.decisions, report.customers, report.coupons
        shares = orjson.dumps(report.shares).decode()
        async with self._database.connection() as connection:
            await connection.execute(self._sql["add_drift_report"], report.model_version, report.day, *counts, shares)

    async def _read(self, query: str, *keys: Any) -> DriftReport | None:
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._sql[query], *keys)
        if row is None:
            return None
        return DriftReport(
            day=row["day"],
            model_version=row["model_version"],
            decisions=row["decisions"],
            customers=row["customers"],
            coupons=row["coupons"],
            shares={name: tuple(found) for name, found in orjson.loads(row["shares"]).items()},
        )
