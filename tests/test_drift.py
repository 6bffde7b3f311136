"""A day of decisions beside what their model was measured on: what is found, who finds it, and where it shows."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest
from structlog.testing import capture_logs

from app.adapters.memory import MemoryCatalogue, MemoryDecisionLog, MemoryDriftReports
from app.adapters.postgres.database import Database
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.scorer_sklearn import SklearnScorer
from app.domain.catalogue import Catalogue
from app.domain.coupon import Coupon
from app.domain.customer import CustomerContext
from app.domain.decision import Decision
from app.domain.drift import Degree
from app.domain.drift_report import LEAST_DECISIONS, SCORE, Drift, DriftReport, compared
from app.domain.eligibility import Screening
from app.domain.features import FEATURE_NAMES
from app.domain.model_card import card_from_json, card_to_json
from app.drift import DECISIONS_AT_ONCE, DriftWatch, measure
from app.errors import DatabaseUnavailable, ScorerUnavailable
from app.ports import CatalogueHolder, DecisionLog, DriftReports, Scores
from app.transport.metrics import Metrics
from tests.builders import running, stop
from tests.drift_shop import DAY, NOON, DriftShop, dearer, younger
from tests.transport.application import client_of, running_app, running_of
from tests.transport.eventually import eventually

COUNT = 600
NEXT_DAY = timedelta(days=1)


async def measured(shop: DriftShop, catalogue: CatalogueHolder, log: DecisionLog, day: date = DAY) -> DriftReport:
    return await measure(day, shop.model, log, catalogue.current)


async def day_of(
    shop: DriftShop,
    *,
    contexts: list[CustomerContext] | None = None,
    coupons: list[Coupon] | None = None,
    noon: datetime = NOON,
    count: int = COUNT,
) -> DriftReport:
    """A simulated day, measured."""
    log = MemoryDecisionLog()
    catalogue = await shop.visited(log, count, contexts=contexts, coupons=coupons, noon=noon)
    return await measured(shop, catalogue, log, noon.date())


@pytest.fixture(scope="session")
async def healthy(drift_shop: DriftShop) -> DriftReport:
    """A day on which the model is asked about what it was trained for."""
    return await day_of(drift_shop)


def degrees(drift: Drift) -> dict[str, Degree]:
    return {one.name: one.degree for one in drift.features}


def test_a_healthy_day_is_stable_from_the_first_day_on(drift_shop: DriftShop, healthy: DriftReport) -> None:
    drift = compared(healthy, drift_shop.model.card, None)

    assert {one.name for one in drift.features} == {SCORE, *FEATURE_NAMES}
    assert set(degrees(drift).values()) == {Degree.STABLE}
    assert drift.problem is None


def test_a_report_says_how_much_it_is_made_of(drift_shop: DriftShop, healthy: DriftReport) -> None:
    assert (healthy.day, healthy.model_version, healthy.decisions) == (DAY, drift_shop.model.version, COUNT)
    assert 200 < healthy.customers <= 400
    assert 50 < healthy.coupons <= 400
    assert all(sum(found) == pytest.approx(1) for found in healthy.shares.values())


async def test_other_ages_are_drift(drift_shop: DriftShop, healthy: DriftReport) -> None:
    drift = compared(
        await day_of(drift_shop, contexts=younger(drift_shop.contexts), noon=NOON + NEXT_DAY),
        drift_shop.model.card,
        healthy,
    )

    found = degrees(drift)
    drifted = {name for name, one in found.items() if one is Degree.MAJOR}
    assert "age_0_25" in drifted
    assert found["log_mean_price"] is found["discount"] is Degree.STABLE
    assert drift.problem is not None
    assert drift.problem.startswith(f"on 2026-06-15 {len(drifted)} of {len(found)} features were unlike what")


async def test_other_prices_are_drift(drift_shop: DriftShop, healthy: DriftReport) -> None:
    report = await day_of(drift_shop, coupons=dearer(drift_shop.coupons), noon=NOON + NEXT_DAY)

    found = degrees(compared(report, drift_shop.model.card, healthy))

    assert found["log_mean_price"] is Degree.MAJOR
    assert found["age_0_25"] is Degree.STABLE


async def test_what_was_so_on_the_first_day_is_told_once(drift_shop: DriftShop) -> None:
    """As where coupons were handed out by choice: what is considered differs from what the card is made of."""
    first, second = [
        await day_of(drift_shop, coupons=dearer(drift_shop.coupons), noon=noon) for noon in (NOON, NOON + NEXT_DAY)
    ]
    card = drift_shop.model.card

    assert degrees(compared(first, card, first))["log_mean_price"] is Degree.MAJOR
    assert degrees(compared(second, card, first))["log_mean_price"] is Degree.STABLE


async def test_decisions_too_few_are_no_drift(drift_shop: DriftShop) -> None:
    report = await day_of(drift_shop, contexts=younger(drift_shop.contexts), count=LEAST_DECISIONS - 1)

    drift = compared(report, drift_shop.model.card, None)

    assert (report.is_enough, list(drift.features), drift.problem) == (False, [], None)


def test_bins_that_are_not_those_of_the_card_are_left_out(drift_shop: DriftShop, healthy: DriftReport) -> None:
    older = replace(healthy, shares={**healthy.shares, "discount": (1.0,), "unheard_of": (1.0,)})

    drift = compared(older, drift_shop.model.card, None)

    assert {one.name for one in drift.features} == {SCORE, *FEATURE_NAMES} - {"discount"}


async def test_both_logs_give_the_same_report(drift_shop: DriftShop, healthy: DriftReport, database_url: str) -> None:
    async with Database.open(database_url, size=2) as database:
        log = PostgresDecisionLog(database)
        catalogue = await drift_shop.visited(log, COUNT)
        found = await measured(drift_shop, catalogue, log)

    assert replace(found, shares={}) == replace(healthy, shares={})
    assert all(found.shares[name] == pytest.approx(shares) for name, shares in healthy.shares.items())


async def test_only_what_this_model_has_decided_on_this_day_counts(drift_shop: DriftShop) -> None:
    log = MemoryDecisionLog()
    catalogue = await drift_shop.visited(log, DECISIONS_AT_ONCE + 1)
    await drift_shop.visited(log, 50, noon=NOON + NEXT_DAY)
    other = replace(drift_shop.model, card=replace(drift_shop.model.card, version="another-1"))
    await replace(drift_shop, model=other).visited(log, 30, noon=NOON + timedelta(hours=3))

    assert (await measured(drift_shop, catalogue, log)).decisions == DECISIONS_AT_ONCE + 1


async def test_a_day_without_decisions_or_coupons_is_an_empty_report(drift_shop: DriftShop) -> None:
    log = MemoryDecisionLog()
    nothing = await measured(drift_shop, MemoryCatalogue(), log)
    await drift_shop.visited(log, 10)

    assert (nothing.decisions, nothing.customers, nothing.coupons) == (0, 0, 0)
    assert (await measure(DAY, drift_shop.model, log, Catalogue(()))).decisions == 0


@pytest.mark.parametrize(
    ("edges", "problem"),
    [
        ([0.5, 0.1], "each above the one before"),
        ([0.1, 0.1], "each above the one before"),
        ([0.1, math.nan], "finite"),
        ([0.1, math.inf], "finite"),
        ([0.1], "one share more than edges"),
    ],
)
def test_a_card_with_bins_that_are_none_is_refused(drift_shop: DriftShop, edges: list[float], problem: str) -> None:
    card = json.loads(card_to_json(drift_shop.model.card))
    card["distributions"][SCORE] = {"edges": edges, "shares": [0.2, 0.3, 0.5]}

    with pytest.raises(ValueError, match=problem):
        card_from_json(json.dumps(card))


class Told:
    """What a watch has shown and reported."""

    def __init__(self) -> None:
        self.shown: list[Drift] = []
        self.problems: list[str | None] = []


class AwayAtFirst(MemoryDriftReports):
    """DriftReports that cannot be asked the first times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._failures = failures

    async def first(self, model_version: str) -> DriftReport | None:
        if self._failures:
            self._failures -= 1
            raise DatabaseUnavailable("away")
        return await super().first(model_version)


class MeasuredElsewhere(MemoryDriftReports):
    """DriftReports that another instance is at work on, until it is done."""

    def __init__(self) -> None:
        super().__init__()
        self.is_ours = False
        self.asked = 0

    @asynccontextmanager
    async def measuring(self) -> AsyncIterator[bool]:
        self.asked += 1
        yield self.is_ours


class CountedLog(MemoryDecisionLog):
    """DecisionLog that counts how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    async def of_day(self, day: date, after: UUID | None, limit: int) -> Sequence[Decision]:
        self.read += 1
        return await super().of_day(day, after, limit)


def watch(
    shop: DriftShop,
    log: DecisionLog,
    catalogue: CatalogueHolder,
    told: Told,
    *,
    reports: DriftReports | None = None,
    now: Callable[[], datetime] = lambda: NOON + NEXT_DAY,
) -> DriftWatch:
    return DriftWatch(
        MemoryDriftReports() if reports is None else reports,
        log,
        catalogue,
        model=lambda: shop.model,
        clock=now,
        show=told.shown.append,
        report=told.problems.append,
        look_seconds=0.01,
    )


async def test_the_day_that_is_over_is_measured_once(drift_shop: DriftShop) -> None:
    log, told, reports = CountedLog(), Told(), MemoryDriftReports()
    catalogue = await drift_shop.visited(log, COUNT)
    one = watch(drift_shop, log, catalogue, told, reports=reports)

    await one.look()
    await one.look()
    read = log.read
    await watch(drift_shop, log, catalogue, told, reports=reports).look()  # as after a restart

    assert [drift.report.day for drift in told.shown] == [DAY, DAY]
    assert told.problems == [None, None]
    assert log.read == read


async def test_the_next_day_is_measured_when_it_is_over_and_drift_is_told(drift_shop: DriftShop) -> None:
    log, told, now = MemoryDecisionLog(), Told(), [NOON + NEXT_DAY]
    catalogue = await drift_shop.visited(log, COUNT)
    await drift_shop.visited(log, COUNT, contexts=younger(drift_shop.contexts), noon=NOON + NEXT_DAY)
    one = watch(drift_shop, log, catalogue, told, now=lambda: now[0])

    await one.look()
    now[0] += NEXT_DAY
    await one.look()

    assert [drift.report.day for drift in told.shown] == [DAY, DAY + NEXT_DAY]
    assert told.problems[0] is None
    assert "age_" in str(told.problems[1])


async def test_a_day_that_another_instance_measures_is_waited_for(drift_shop: DriftShop, healthy: DriftReport) -> None:
    told, reports = Told(), MeasuredElsewhere()
    one = watch(drift_shop, MemoryDecisionLog(), MemoryCatalogue(), told, reports=reports)

    async with running(one.run()):
        await eventually(lambda: reports.asked > 1)
        shown_before = list(told.shown)
        await reports.add(healthy)
        reports.is_ours = True
        await eventually(lambda: bool(told.shown))

    assert shown_before == []
    assert [drift.report for drift in told.shown] == [healthy]


async def test_a_day_that_cannot_be_measured_is_told_and_tried_again(drift_shop: DriftShop) -> None:
    log, told = MemoryDecisionLog(), Told()
    catalogue = await drift_shop.visited(log, LEAST_DECISIONS)

    async with running(watch(drift_shop, log, catalogue, told, reports=AwayAtFirst(2)).run()):
        await eventually(lambda: bool(told.shown))

    assert told.problems == ["not measured, will be tried again: away"] * 2 + [None]


async def test_a_fault_is_told_and_ends_nothing(drift_shop: DriftShop) -> None:
    """An optional part must not have the process restarted."""
    log, told = MemoryDecisionLog(), Told()
    catalogue = await drift_shop.visited(log, 10)
    broken = replace(drift_shop, model=replace(drift_shop.model, predict=lambda customer, screening: np.empty(0)))

    with capture_logs() as logged:
        task = asyncio.create_task(watch(broken, log, catalogue, told).run())
        await eventually(lambda: bool(told.problems))
        is_over = task.done()
        await stop(task)

    assert not is_over
    assert (told.shown, told.problems) == ([], ["not measured, the log says more: IndexError"])
    assert [(one["log_level"], one["event"]) for one in logged] == [("error", "drift cannot be measured")]


@dataclass(frozen=True)
class Away(SklearnScorer):
    """A model whose process is gone, as after a promotion while it is asked."""

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        raise ScorerUnavailable("the model is no longer in service")


async def test_a_model_that_is_away_while_drift_is_measured_ends_nothing(drift_shop: DriftShop) -> None:
    log, told = MemoryDecisionLog(), Told()
    catalogue = await drift_shop.visited(log, 10)
    away = replace(drift_shop, model=Away(drift_shop.model.card, drift_shop.model.predict))

    async with running(watch(away, log, catalogue, told).run()):
        await eventually(lambda: len(told.problems) > 1)

    assert told.shown == []
    assert set(told.problems) == {"not measured, will be tried again: the model is no longer in service"}


async def test_another_model_is_measured_by_itself(drift_shop: DriftShop) -> None:
    log, told, models = MemoryDecisionLog(), Told(), [drift_shop.model]
    catalogue = await drift_shop.visited(log, COUNT)
    other = replace(drift_shop.model, card=replace(drift_shop.model.card, version="another-1"))
    one = DriftWatch(
        MemoryDriftReports(),
        log,
        catalogue,
        model=lambda: models[-1],
        clock=lambda: NOON + NEXT_DAY,
        show=told.shown.append,
        report=told.problems.append,
    )

    await one.look()
    models.append(other)
    await one.look()

    assert [(drift.report.model_version, drift.report.decisions) for drift in told.shown] == [
        (drift_shop.model.version, COUNT),
        ("another-1", 0),
    ]


async def test_drift_shows_in_health_and_metrics_and_the_service_stays_ready(drift_shop: DriftShop) -> None:
    log = MemoryDecisionLog()
    young = younger(drift_shop.contexts)
    catalogue = await drift_shop.visited(log, COUNT, contexts=young)
    async with running_app(MODEL_DIR=str(drift_shop.folder)) as app, client_of(app) as client:
        service = running_of(app)
        watching = [task.get_name() for task in asyncio.all_tasks()]
        one = DriftWatch(
            MemoryDriftReports(),
            log,
            catalogue,
            model=lambda: drift_shop.model,
            clock=lambda: NOON + NEXT_DAY,
            show=service.metrics.show_drift,
            report=service.health.reporter("drift"),
        )
        await one.look()
        ready, metrics = await client.get("/readyz"), await client.get("/metrics")

    assert "drift" in watching
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert "(PSI " in ready.json()["degraded"]["drift"]
    version = drift_shop.model.version
    assert f'recommendation_drift_info{{day="2026-06-14",model_version="{version}"}} 1.0' in metrics.text
    assert 'recommendation_drift_psi{against="card",feature="age_0_25"}' in metrics.text
    assert 'recommendation_drift_psi{against="card",feature="score"}' in metrics.text
    assert f"recommendation_drift_decisions {COUNT}.0" in metrics.text
    assert 'recommendation_ready{part="drift"} 0.0' in metrics.text


def test_metrics_show_the_last_day_alone(drift_shop: DriftShop, healthy: DriftReport) -> None:
    metrics, card = Metrics(), drift_shop.model.card
    few = replace(healthy, day=DAY + NEXT_DAY, decisions=7)

    def shown() -> list[float | None]:
        sample = metrics.registry.get_sample_value
        return [
            *(sample("recommendation_drift_psi", {"feature": SCORE, "against": one}) for one in ("card", "first_day")),
            sample("recommendation_drift_features", {"degree": "stable"}),
            sample("recommendation_drift_decisions"),
        ]

    metrics.show_drift(compared(healthy, card, replace(healthy, day=DAY - NEXT_DAY)))
    before = shown()
    metrics.show_drift(compared(few, card, healthy))

    assert before == [pytest.approx(0, abs=0.1), 0.0, len(FEATURE_NAMES) + 1, COUNT]
    assert shown() == [None, None, 0, 7]
