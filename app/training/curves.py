"""The points of the plots of an evaluation: plain numbers, so that they can be kept as JSON."""

from collections.abc import Mapping

import numpy as np

from app.domain.features import Floats
from app.training.metrics import Judged, calibration_bins

Points = Mapping[str, list[float]]

MAX_POINTS = 200
HISTOGRAM_BINS = 30


def roc(judged: Judged) -> Points:
    """Of the unredeemed and the redeemed rows, the shares above each threshold."""
    redeemed, others = _so_far(judged)
    return _thinned(unredeemed_share=others / others[-1], redeemed_share=redeemed / redeemed[-1])


def precision_recall(judged: Judged) -> Points:
    """Recall, and the precision at it."""
    redeemed, others = _so_far(judged)
    return _thinned(recall=redeemed[1:] / redeemed[-1], precision=redeemed[1:] / (redeemed + others)[1:])


def calibration(judged: Judged) -> Points:
    """Of bins of equally many rows: mean prediction, observed rate, rows."""
    bins = calibration_bins(judged)
    return {
        "mean_prediction": [float(judged.probability[part].mean()) for part in bins],
        "observed_rate": [float(judged.is_redeemed[part].mean()) for part in bins],
        "rows": [float(len(part)) for part in bins],
    }


def gains(judged: Judged) -> Points:
    """Of the best-scored share of the rows: the share of all redemptions it holds, and its rate over the base rate."""
    redeemed, _ = _so_far(judged)
    share = np.arange(len(redeemed)) / len(judged)
    captured = redeemed / redeemed[-1]
    return _thinned(share=share[1:], captured=captured[1:], lift=captured[1:] / share[1:])


def histogram(judged: Judged) -> Points:
    """Rows, redeemed and not, by prediction: `edges` has one number more."""
    edges = np.linspace(0, max(float(judged.probability.max()), np.finfo(np.float64).eps), HISTOGRAM_BINS + 1)
    return {
        "edges": edges.tolist(),
        "redeemed": _counts(judged.probability[judged.is_redeemed], edges),
        "unredeemed": _counts(judged.probability[~judged.is_redeemed], edges),
    }


def expected_value(judged: Judged, cost_over_value: float) -> Points:
    """What offering the best coupon of a decision brings where it scores above a threshold, in redemptions' worth.

    An offer costs `cost_over_value` of what a redemption is worth. Means over all decisions.
    """
    order = judged.ranking[np.argsort(judged.decision_index[judged.ranking], kind="stable")]
    decision = judged.decision_index[order]
    best = order[np.r_[True, decision[1:] != decision[:-1]]]
    best = best[np.argsort(-judged.probability[best], kind="stable")]
    value = np.cumsum(judged.is_redeemed[best] - cost_over_value) / len(best)
    return _thinned(threshold=judged.probability[best], value=value)


def _so_far(judged: Judged) -> tuple[Floats, Floats]:
    """Redeemed rows and others among the best-scored, from none to all: shape (n + 1,) each."""
    redeemed = judged.is_redeemed[judged.ranking].astype(np.float64)
    return np.r_[0.0, np.cumsum(redeemed)], np.r_[0.0, np.cumsum(1 - redeemed)]


def _thinned(**columns: Floats) -> Points:
    """At most 200 of the points, the first and the last among them."""
    count = len(next(iter(columns.values())))
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).round().astype(np.int64))
    return {name: column[chosen].tolist() for name, column in columns.items()}


def _counts(values: Floats, edges: Floats) -> list[float]:
    counts: list[float] = np.histogram(values, edges)[0].astype(np.float64).tolist()
    return counts
