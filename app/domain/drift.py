"""How far values have drifted from the distribution on a model's card."""

import math
from collections.abc import Sequence

import numpy as np

from app.domain.features import Floats
from app.domain.model_card import Distribution

BINS = 10
LEAST_SHARE = 1e-4  # of a bin that nothing fell into, so that one is not infinitely far from another
MODERATE, MAJOR = 0.1, 0.25  # the usual reading of the index: below no drift, between watch, above act


def distribution(values: Floats) -> Distribution:
    """In ten bins of about equal size, fewer where values repeat; `values` has the shape (n,)."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
    return Distribution(tuple(edges.tolist()), shares(values, edges.tolist()))


def shares(values: Floats, edges: Sequence[float]) -> tuple[float, ...]:
    """How much of the values lies up to the first edge, between two, above the last."""
    counts = np.bincount(np.searchsorted(edges, values, side="left"), minlength=len(edges) + 1)
    return tuple((counts / max(1, len(values))).tolist())


def population_stability_index(expected: Sequence[float], found: Sequence[float]) -> float:
    """PSI: the sum over bins of (found - expected) log(found / expected), both shares of the same bins; 0 is no drift.

    Siddiqi, Credit Risk Scorecards, 2006.
    """
    pairs = [(max(one, LEAST_SHARE), max(other, LEAST_SHARE)) for one, other in zip(expected, found, strict=True)]
    return sum((other - one) * math.log(other / one) for one, other in pairs)
