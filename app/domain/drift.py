"""How far what a model is asked about has drifted from what it was measured on.

The index (PSI) compares the shares of values in the bins of a distribution on the model's card. Two allowances keep a
healthy service quiet:

- Few customers or coupons spread unevenly by chance alone. Rows of one customer, or of one coupon, repeat each other:
  chance is reckoned from how many different ones there are, and only what exceeds it counts.
- The card's rows are coupons handed out; a service scores all candidates. Each decision weighs the same here, so that a
  customer counts once, as on the card, whatever the department holds. Where coupons were handed out by choice, some
  features differ from the card from the first day on. So a day is compared with the model's first day in service, too,
  and has drifted only where it is like neither.
"""

import math
from collections.abc import Sequence
from enum import StrEnum

import numpy as np

from app.domain.features import Floats
from app.domain.model_card import Distribution

BINS = 10
LEAST_SHARE = 1e-4  # of a bin that nothing fell into, so that one is not infinitely far from another
MODERATE, MAJOR = 0.1, 0.25  # the usual reading of the index: below no drift, between watch, above act
SURELY = 4.0  # standard deviations: of 100 features, chance exceeds its allowance on one of 300 days
SAME_VALUE = 1e-9  # relative; processors differ in the last digits of a logarithm


class Degree(StrEnum):
    """How much has drifted."""

    STABLE = "stable"
    MODERATE = "moderate"
    MAJOR = "major"


def distribution(values: Floats) -> Distribution:
    """In ten bins of about equal size; a value that many share has one of its own. `values` has the shape (n,).

    What is no finite number is left out. Raises ValueError where nothing is left.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        raise ValueError("no value is a finite number")
    cuts, times = np.unique(np.quantile(finite, np.linspace(0, 1, BINS + 1)[1:-1]), return_counts=True)
    margin = SAME_VALUE * (1 + np.abs(cuts))
    edges = np.unique(np.concatenate([(cuts - margin)[times > 1], cuts + margin])).tolist()
    return Distribution(tuple(edges), shares(finite, edges))


def shares(values: Floats, edges: Sequence[float]) -> tuple[float, ...]:
    """How much of the values lies up to the first edge, between two, above the last; all 0 without values."""
    return tuple((weighed(values, edges, np.ones(len(values))) / max(1, len(values))).tolist())


def weighed(values: Floats, edges: Sequence[float], weights: Floats) -> Floats:
    """The weight of the values in each bin, shape (len(edges) + 1,); `values` and `weights` have the shape (n,).

    What is no number lies above the last edge.
    """
    bins = np.searchsorted(edges, values, side="left")
    return np.asarray(np.bincount(bins, weights, minlength=len(edges) + 1), dtype=np.float64)


def population_stability_index(expected: Sequence[float], found: Sequence[float]) -> float:
    """PSI: the sum over bins of (found - expected) log(found / expected), both shares of the same bins; 0 is no drift.

    Siddiqi, Credit Risk Scorecards, 2006.
    """
    pairs = [(max(one, LEAST_SHARE), max(other, LEAST_SHARE)) for one, other in zip(expected, found, strict=True)]
    return sum((other - one) * math.log(other / one) for one, other in pairs)


def by_chance(bins: int, units: int) -> float:
    """The largest index that two samples of so many customers or coupons each leave to chance.

    The index is about (1/n + 1/m) times a chi-squared variable with bins - 1 degrees of freedom (Yurdakul and Naranjo,
    Statistical properties of the population stability index, 2020); its quantile by Wilson and Hilferty.
    """
    freedom, step = max(1, bins - 1), 2 / (9 * max(1, bins - 1))
    return 2 / max(1, units) * freedom * (1 - step + SURELY * math.sqrt(step)) ** 3


def degree(index: float, chance: float) -> Degree:
    """The usual reading of an index that exceeds what chance explains."""
    if index > max(MAJOR, chance):
        return Degree.MAJOR
    return Degree.MODERATE if index > max(MODERATE, chance) else Degree.STABLE
