"""Looks, once a day, at how far the model in service is asked about other things than it was measured on.

Of the day that is over, at most 20,000 decisions are read back from the log: those with the lowest ids, which are
digests and so a sample by chance. Of those that the model has scored, the candidates are screened again from the
catalogue as it is now (of coupons that were not offered the log keeps nothing), and ten of each decision are encoded
and scored again. All of it happens in a thread beside the event loop, one page after the other.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
import structlog
from numpy.typing import NDArray

from app.domain.catalogue import Catalogue
from app.domain.customer import CustomerContext
from app.domain.decision import Decision, Reason
from app.domain.drift import weighed
from app.domain.drift_report import SCORE, Drift, DriftReport, compared
from app.domain.eligibility import Screening
from app.domain.features import FEATURE_NAMES, Floats, customer_matrix, encode
from app.errors import Unavailable
from app.ports import CatalogueHolder, DecisionLog, DriftReports, Model

log = structlog.get_logger(__name__)

MOST_DECISIONS = 20_000
DECISIONS_AT_ONCE = 50
REST_SECONDS = 0.02  # between pages, in which events have the process for themselves
CANDIDATES_OF_A_DECISION = 10
LOOK_SECONDS = 60.0
# What a row of another version, or a model that is not what it seemed, may lead to. It must not end the process.
FAULTS = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
AFTER_A_FAULT_SECONDS = 3600.0


class _Tally:
    """What has been counted so far; every decision weighs 1, whatever the number of its candidates."""

    def __init__(self, model: Model) -> None:
        self._model = model
        known = model.card.distributions
        self._edges = {name: known[name].edges for name in (SCORE, *FEATURE_NAMES) if name in known}
        self._counts: dict[str, Floats] = {name: np.zeros(len(edges) + 1) for name, edges in self._edges.items()}
        self._customers: set[str] = set()
        self._coupons: set[str] = set()
        self._decisions = 0

    def add(self, decisions: Sequence[Decision], catalogue: Catalogue, day: date) -> None:
        """Screen, score and count their candidates. For a thread: the model is asked in an event loop of its own."""
        pairs = [(one, catalogue.screening(one.event.department, day)) for one in decisions]
        pairs = [(one, screening) for one, screening in pairs if screening.candidates]
        if not pairs:
            return
        contexts, screenings = [one.basis.context for one, _ in pairs], [screening for _, screening in pairs]
        scores = asyncio.run(_scored(self._model, contexts, screenings))
        chosen = [_some(one.basis.seed, len(screening.candidates)) for one, screening in pairs]
        counts = [len(some) for some in chosen]
        coupons = np.concatenate([screening.features[some] for screening, some in zip(screenings, chosen, strict=True)])
        features = encode(np.repeat(customer_matrix(contexts), counts, axis=0), coupons)
        weights = np.repeat(1 / np.array(counts), counts)
        columns = dict(zip(FEATURE_NAMES, features.T, strict=True))
        columns[SCORE] = np.concatenate([values[some] for values, some in zip(scores, chosen, strict=True)])
        for name, edges in self._edges.items():
            self._counts[name] += weighed(columns[name], edges, weights)
        self._decisions += len(pairs)
        self._customers.update(one.event.customer_id for one, _ in pairs)
        for screening, some in zip(screenings, chosen, strict=True):
            self._coupons.update(screening.candidates[index].coupon_id for index in some)

    def report(self, day: date) -> DriftReport:
        """The shares."""
        total = max(1, self._decisions)
        return DriftReport(
            day=day,
            model_version=self._model.card.version,
            decisions=self._decisions,
            customers=len(self._customers),
            coupons=len(self._coupons),
            shares={name: tuple((counts / total).tolist()) for name, counts in self._counts.items()},
        )


async def measure(day: date, model: Model, decisions: DecisionLog, catalogue: Catalogue) -> DriftReport:
    """What the model was asked about on the day. Raises DatabaseUnavailable, ScorerUnavailable."""
    coupons = catalogue.coupons.values()
    own = await asyncio.to_thread(Catalogue, coupons)  # whose screenings are of another day than those of the events
    tally, after = _Tally(model), None
    for _ in range(MOST_DECISIONS // DECISIONS_AT_ONCE):
        page = await decisions.of_day(day, after, DECISIONS_AT_ONCE)
        ours = [one for one in page if _is_scored_by(one, model.card.version)]
        await asyncio.to_thread(tally.add, ours, own, day)
        if len(page) < DECISIONS_AT_ONCE:
            break
        after = page[-1].decision_id
        await asyncio.sleep(REST_SECONDS)
    return tally.report(day)


def last_day(now: datetime) -> date:
    """The last day (UTC) that is over."""
    return now.astimezone(UTC).date() - timedelta(days=1)


class DriftWatch:
    """Measures each day once it is over, in one instance; all of them show what was found.

    `show` is told what was found; `report` what is wrong: major drift, or that a day cannot be measured, None when
    nothing is.
    """

    def __init__(
        self,
        reports: DriftReports,
        decisions: DecisionLog,
        catalogue: CatalogueHolder,
        model: Callable[[], Model],
        clock: Callable[[], datetime],
        show: Callable[[Drift], None],
        report: Callable[[str | None], None],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._reports = reports
        self._decisions = decisions
        self._catalogue = catalogue
        self._model = model
        self._clock = clock
        self._show = show
        self._report = report
        self._look_seconds = look_seconds
        self._shown: tuple[date, str] | None = None

    async def run(self) -> None:
        """Look again and again until cancelled, not before the service has had time to start."""
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self.look()
            except Unavailable as error:  # the database, or the process of a slow model
                self._report(f"not measured, will be tried again: {error}")
            except FAULTS as error:
                log.exception("drift cannot be measured")
                self._report(f"not measured, the log says more: {type(error).__name__}")
                await asyncio.sleep(AFTER_A_FAULT_SECONDS)

    async def look(self) -> None:
        """Measure and show the last day, if that was not done for this model.

        Raises DatabaseUnavailable, ScorerUnavailable.
        """
        model, day = self._model(), last_day(self._clock())
        version = model.card.version
        if self._shown == (day, version):
            return
        async with self._reports.measuring() as is_ours:
            if not is_ours:
                return
            report = await self._reports.of_day(version, day)
            if report is None:
                report = await measure(day, model, self._decisions, self._catalogue.current)
                await self._reports.add(report)
            first = await self._reports.first(version)
        drift = compared(report, model.card, first)
        self._show(drift)
        self._report(drift.problem)
        self._shown = day, version
        log.info(
            "drift measured" if report.is_enough else "too few decisions to measure drift",
            day=day.isoformat(),
            model_version=version,
            decisions=report.decisions,
        )


async def _scored(model: Model, contexts: Sequence[CustomerContext], screenings: Sequence[Screening]) -> list[Floats]:
    return [scores.values for scores in await model.score(contexts, screenings)]


def _some(seed: int, count: int) -> NDArray[np.int64]:
    """Some candidates by chance, or all of a few; the same each time."""
    if count <= CANDIDATES_OF_A_DECISION:
        return np.arange(count)
    return np.random.default_rng(seed).choice(count, CANDIDATES_OF_A_DECISION, replace=False)


def _is_scored_by(decision: Decision, version: str) -> bool:
    return decision.basis.model_version == version and decision.outcome.reason is not Reason.LATE_EVENT
