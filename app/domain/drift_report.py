"""A day in service beside what the model was measured on, feature by feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from app.domain.drift import Degree, by_chance, degree, population_stability_index
from app.domain.features import COUPON_COLUMNS, CUSTOMER_COLUMNS
from app.domain.model_card import ModelCard

SCORE = "score"  # beside the names of features
LEAST_DECISIONS = 200  # fewer tell of chance and of nothing else


@dataclass(frozen=True, slots=True)
class DriftReport:
    """What a model was asked about on a day (UTC).

    `decisions` were looked at, with so many different `customers` and `coupons` among their candidates. `shares` are
    those of the score and of each feature, in the bins of the model's card.
    """

    day: date
    model_version: str
    decisions: int
    customers: int
    coupons: int
    shares: Mapping[str, tuple[float, ...]]

    @property
    def is_enough(self) -> bool:
        """Whether there are decisions enough to tell of drift."""
        return self.decisions >= LEAST_DECISIONS


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """The index of one feature, or of the score, against the card and against the model's first day in service.

    `since_start` is None on that first day; `chance` is the index that chance alone may reach.
    """

    name: str
    index: float
    since_start: float | None
    chance: float

    @property
    def degree(self) -> Degree:
        """Drift is what is like neither the card nor the first day."""
        known = self.index if self.since_start is None else min(self.index, self.since_start)
        return degree(known, self.chance)


@dataclass(frozen=True, slots=True)
class Drift:
    """A report and what it says, the largest index first; nothing where there were too few decisions."""

    report: DriftReport
    features: Sequence[FeatureDrift]

    def of(self, wanted: Degree) -> Sequence[FeatureDrift]:
        """Those with this degree."""
        return [one for one in self.features if one.degree is wanted]

    @property
    def problem(self) -> str | None:
        """What to tell of major drift, None when there is none."""
        major = self.of(Degree.MAJOR)
        if not major:
            return None
        named = ", ".join(f"{one.name} (PSI {one.index:.2f})" for one in major[:3])
        return (
            f"on {self.report.day} {len(major)} of {len(self.features)} features were unlike what "
            f"{self.report.model_version} was measured on, most of all {named}: see `python -m app drift`"
        )


def compared(report: DriftReport, card: ModelCard, first: DriftReport | None) -> Drift:
    """The day beside the card, and beside the `first` day of the model, if that is another.

    Reports whose bins are not those of the card, made by another version of the service, are left out.
    """
    if not report.is_enough:
        return Drift(report, ())
    start = {} if first is None or first.day == report.day else first.shares
    found = []
    for name, expected in card.distributions.items():
        today = report.shares.get(name, ())
        if len(today) != len(expected.shares):
            continue
        began = start.get(name, ())
        since_start = population_stability_index(began, today) if len(began) == len(today) else None
        filled = sum(one > 0 or other > 0 for one, other in zip(expected.shares, today, strict=True))
        index = population_stability_index(expected.shares, today)
        found.append(FeatureDrift(name, index, since_start, by_chance(filled, _units(name, report))))
    return Drift(report, sorted(found, key=lambda one: (-one.index, one.name)))


def _units(name: str, report: DriftReport) -> int:
    """How many independent values there are."""
    if name in CUSTOMER_COLUMNS:
        return report.customers
    return report.coupons if name in COUPON_COLUMNS else min(report.customers, report.coupons)
