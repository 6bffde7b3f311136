"""`python -m app drift`, as people type it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from app.adapters.history_store import HISTORY_FILE, save_history
from app.adapters.postgres.database import Database
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.postgres.drift import PostgresDriftReports
from app.cli import cli
from app.datagen.files import write_dataset
from app.domain.drift_report import SCORE, DriftReport
from app.domain.features import FEATURE_NAMES
from app.domain.history import NEVER
from app.errors import DatabaseUnavailable, DatasetRefused
from tests.contract.conftest import logging_kept
from tests.drift_shop import DAY, DriftShop, younger

COUNT = 400
NOBODY_LISTENS = "postgresql://someone:secret@127.0.0.1:1/shop"


@pytest.fixture(autouse=True)
def logging_untouched() -> Iterator[None]:
    with logging_kept():
        yield


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, database_url: str, drift_shop: DriftShop, tmp_path: Path) -> str:
    """A database with the shop's coupons, which the environment names."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("MODEL_DIR", str(drift_shop.folder))
    write_dataset(drift_shop.shop, tmp_path)
    assert CliRunner().invoke(cli, ["load", str(tmp_path)]).exit_code == 0
    return database_url


@pytest.fixture
async def log(database: str) -> AsyncIterator[PostgresDecisionLog]:
    async with Database.open(database, size=1) as opened:
        yield PostgresDecisionLog(opened)


async def run(*arguments: str) -> Result:
    """Invoke the command beside the test's own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, cli, ["drift", *arguments])


async def test_a_table_shows_each_feature_with_its_degree(drift_shop: DriftShop, log: PostgresDecisionLog) -> None:
    await drift_shop.visited(log, COUNT, contexts=younger(drift_shop.contexts))

    result = await run("--day", DAY.isoformat())

    head, titles, *rows, summary = result.stdout.splitlines()
    assert head.startswith(f"{DAY}, {drift_shop.model.version}: {COUNT} decisions with ")
    assert titles.split() == ["feature", "PSI", "since", "start", "by", "chance", "degree"]
    assert {row.split()[0] for row in rows} == {SCORE, *FEATURE_NAMES}
    (age,) = (row.split() for row in rows if row.startswith("age_0_25 "))
    assert age[-1] == "major"
    assert " major" in summary
    assert " stable" in summary


async def test_json_says_the_same(drift_shop: DriftShop, log: PostgresDecisionLog) -> None:
    await drift_shop.visited(log, COUNT)

    document: dict[str, Any] = json.loads((await run("--day", DAY.isoformat(), "--json")).stdout)

    features = document.pop("features")
    assert (document["day"], document["decisions"]) == (DAY.isoformat(), COUNT)
    assert features[0].keys() == {"name", "psi", "psi_since_start", "by_chance", "degree"}
    assert {one["degree"] for one in features} == {"stable"}


async def test_what_the_service_has_measured_is_shown_as_it_was(drift_shop: DriftShop, database: str) -> None:
    async with Database.open(database, size=1) as opened:
        await PostgresDriftReports(opened).add(DriftReport(DAY, drift_shop.model.version, 77, 1, 1, {}))

    result = await run("--day", DAY.isoformat())

    assert result.stdout == (
        f"{DAY}, {drift_shop.model.version}: 77 decisions, too few to tell of drift: 200 are needed\n"
    )


async def test_a_day_measured_in_other_bins_is_compared_with_nothing(drift_shop: DriftShop, database: str) -> None:
    async with Database.open(database, size=1) as opened:
        await PostgresDriftReports(opened).add(DriftReport(DAY, drift_shop.model.version, COUNT, 9, 9, {SCORE: (1.0,)}))

    result = await run("--day", DAY.isoformat())

    assert result.stdout.endswith("measured in other bins than those of the model's card: nothing can be compared\n")


async def test_by_hand_nothing_is_kept(drift_shop: DriftShop, log: PostgresDecisionLog, database: str) -> None:
    await drift_shop.visited(log, COUNT)

    await run("--day", DAY.isoformat())

    async with Database.open(database, size=1) as opened:
        assert await PostgresDriftReports(opened).of_day(drift_shop.model.version, DAY) is None


async def test_what_is_no_day_is_refused() -> None:
    result = await run("--day", "yesterday")

    assert result.exit_code == 2
    assert "must be a day like 2026-12-31" in result.output


async def test_without_the_database_it_says_so(monkeypatch: pytest.MonkeyPatch, drift_shop: DriftShop) -> None:
    monkeypatch.setenv("DATABASE_URL", NOBODY_LISTENS)
    monkeypatch.setenv("MODEL_DIR", str(drift_shop.folder))

    assert isinstance((await run()).exception, DatabaseUnavailable)


async def test_a_steady_history_has_no_change(drift_shop: DriftShop, tmp_path: Path) -> None:
    save_history(drift_shop.shop.history, tmp_path / HISTORY_FILE)

    result = await run("redemptions", str(tmp_path))

    first, last = result.stdout.splitlines()
    assert " coupons handed out from 2025-01-" in first
    assert first.endswith("% redeemed in time")
    assert last == "the rate has not changed"


async def test_a_history_in_which_coupons_are_used_less_says_since_when(drift_shop: DriftShop, tmp_path: Path) -> None:
    history = drift_shop.shop.history
    issues = history.issues
    is_lost = (issues.day >= np.datetime64("2025-07-01")) & (np.arange(len(issues.day)) % 3 > 0)
    fewer = replace(issues, redeemed_on=np.where(is_lost, NEVER, issues.redeemed_on))
    save_history(replace(history, issues=fewer), tmp_path / HISTORY_FILE)

    result = await run("redemptions", str(tmp_path))

    _, told = result.stdout.splitlines()
    assert re.fullmatch(r"2025-0[67]-\d\d: from \d+\.\d% to [2-5]\.\d%, as coupons of 2025-\d\d-\d\d showed", told), (
        told
    )


async def test_a_folder_without_a_history_is_refused(tmp_path: Path) -> None:
    result = await run("redemptions", str(tmp_path))

    assert isinstance(result.exception, DatasetRefused)
    assert "history import" in str(result.exception)
