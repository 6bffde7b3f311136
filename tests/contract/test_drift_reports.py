"""What every DriftReports does: those in memory, and those in PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.adapters.memory import MemoryDriftReports
from app.adapters.postgres.database import Database
from app.adapters.postgres.drift import PostgresDriftReports
from app.domain.drift_report import LEAST_DECISIONS, DriftReport
from app.errors import DatabaseUnavailable
from app.ports import DriftReports

DAY = date(2026, 6, 14)
SHARES = {"score": (0.1, 1 / 3, 0.0, 1 - 0.1 - 1 / 3), "|a-b|": (1.0,)}
REPORT = DriftReport(DAY, "logistic-1", LEAST_DECISIONS, customers=150, coupons=80, shares=SHARES)
NOBODY_LISTENS = "postgresql://someone:secret@127.0.0.1:1/shop"


@pytest.fixture
def memory_reports() -> DriftReports:
    return MemoryDriftReports()


@pytest.fixture
async def postgres_reports(database_url: str) -> AsyncIterator[DriftReports]:
    async with Database.open(database_url, size=2) as database:
        yield PostgresDriftReports(database)


@pytest.fixture(params=["memory_reports", "postgres_reports"])
def reports(request: pytest.FixtureRequest) -> DriftReports:
    chosen: DriftReports = request.getfixturevalue(request.param)
    return chosen


async def test_a_report_comes_back_whole(reports: DriftReports) -> None:
    await reports.add(REPORT)

    assert await reports.of_day("logistic-1", DAY) == REPORT


async def test_a_report_is_that_of_its_day_and_model_alone(reports: DriftReports) -> None:
    await reports.add(REPORT)

    assert await reports.of_day("logistic-2", DAY) is None
    assert await reports.of_day("logistic-1", DAY + timedelta(days=1)) is None
    assert await reports.first("logistic-2") is None


async def test_the_first_report_of_a_day_stands(reports: DriftReports) -> None:
    await reports.add(REPORT)
    await reports.add(replace(REPORT, decisions=9999, shares={}))

    assert await reports.of_day("logistic-1", DAY) == REPORT


async def test_the_first_day_of_a_model_is_the_first_with_decisions_enough(reports: DriftReports) -> None:
    days = [replace(REPORT, day=DAY + timedelta(days=ahead)) for ahead in range(3)]
    for one in (days[2], replace(days[0], decisions=LEAST_DECISIONS - 1), days[1]):
        await reports.add(one)

    assert await reports.first("logistic-1") == days[1]


async def test_who_measures_alone_is_told_so(reports: DriftReports) -> None:
    for _ in range(2):
        async with reports.measuring() as is_ours:
            assert is_ours


async def test_one_instance_measures_at_a_time(database_url: str) -> None:
    async with Database.open(database_url, size=1) as one, Database.open(database_url, size=1) as other:
        async with PostgresDriftReports(one).measuring() as first, PostgresDriftReports(other).measuring() as second:
            pass
        async with PostgresDriftReports(other).measuring() as afterwards:
            pass

    assert (first, second, afterwards) == (True, False, True)


async def test_without_its_database_nothing_is_measured() -> None:
    async with Database.open(NOBODY_LISTENS, size=1) as database:
        with pytest.raises(DatabaseUnavailable):
            async with PostgresDriftReports(database).measuring():
                pass
