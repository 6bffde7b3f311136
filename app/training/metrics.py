"""How good probabilities of redemption are: over rows, and over the choices that they lead to."""

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from app.domain.features import Floats
from app.domain.history import Ints
from app.training.rows import Rows

CALIBRATION_BINS = 15
PRIOR_ROWS = 20.0  # of the popularity baseline: what has fewer rows than this is mostly average


def measure(rows: Rows, probabilities: Floats, seed: int) -> Mapping[str, float]:
    """Every figure by its name; `probabilities` has the shape (n,). `seed` breaks ties between equal scores."""
    base = rows.base_rate
    hit, hit_by_chance, decisions = _hits(rows, probabilities, seed)
    return {
        "base_rate": base,
        "mean_prediction": float(probabilities.mean()),
        "mean_prediction_over_base": float(probabilities.mean() / base),
        "roc_auc": float(roc_auc_score(rows.is_redeemed, probabilities)),
        "pr_auc": float(average_precision_score(rows.is_redeemed, probabilities)),
        "log_loss": float(log_loss(rows.is_redeemed, probabilities)),
        "log_loss_of_base_rate": float(log_loss(rows.is_redeemed, np.full(len(rows), base))),
        "calibration_error": calibration_error(rows, probabilities),
        "hit_at_1": hit,
        "hit_at_1_by_chance": hit_by_chance,
        "decisions": float(decisions),
    }


def calibration_error(rows: Rows, probabilities: Floats) -> float:
    """Mean gap between predicted and observed rate, over bins of equally many rows (ECE)."""
    ranked = np.argsort(probabilities, kind="stable")
    gaps = [
        abs(float((probabilities[part] - rows.is_redeemed[part]).sum()))
        for part in np.array_split(ranked, CALIBRATION_BINS)
    ]
    return sum(gaps) / len(rows)


def popularity(known: Rows, asked: Rows) -> Floats:
    """The baseline: odds of the coupon times odds of the customer in the rows known, shape (len(asked),)."""
    base = known.base_rate
    odds = [
        _smoothed_odds(known_ids, known, asked_ids)
        for known_ids, asked_ids in ((known.coupon, asked.coupon), (known.customer, asked.customer))
    ]
    both = odds[0] * odds[1] * (1 - base) / base
    return both / (1 + both)


def _smoothed_odds(known_ids: Ints, known: Rows, asked_ids: Ints) -> Floats:
    """Of each id asked, pulled towards the base rate where little is known of it."""
    size = 1 + max(int(known_ids.max()), int(asked_ids.max()))
    redeemed = np.bincount(known_ids, weights=known.is_redeemed, minlength=size)
    issued = np.bincount(known_ids, minlength=size)
    rate = (redeemed + PRIOR_ROWS * known.base_rate) / (issued + PRIOR_ROWS)
    odds: Floats = (rate / (1 - rate))[asked_ids]
    return odds


def _hits(rows: Rows, probabilities: Floats, seed: int) -> tuple[float, float, int]:
    """How often the best-scored coupon of a decision was redeemed, how often any one was, and over how many decisions.

    Decisions in which all or none were redeemed offer nothing to choose and are left out.
    """
    ties = np.random.default_rng(seed).random(len(rows))
    ranked = np.lexsort((ties, -probabilities, rows.decision))
    decision, is_redeemed = rows.decision[ranked], rows.is_redeemed[ranked]
    _, first, size = np.unique(decision, return_index=True, return_counts=True)
    share = np.add.reduceat(is_redeemed.astype(np.float64), first) / size
    is_open = (share > 0) & (share < 1)
    if not is_open.any():
        return 0.0, 0.0, 0
    return float(is_redeemed[first[is_open]].mean()), float(share[is_open].mean()), int(is_open.sum())
