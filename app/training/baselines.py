"""What a model has to beat."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.domain.features import COUPON_END, Floats
from app.domain.history import Ints
from app.training.rows import Rows

PRIOR_ROWS = 20.0  # of the popularity baseline: what has fewer rows than this is mostly average


def popularity(known: Rows, asked: Rows) -> Floats:
    """The baseline: odds of the coupon times odds of the customer in the rows known, shape (len(asked),)."""
    base = known.base_rate
    odds = [
        _smoothed_odds(known_ids, known, asked_ids)
        for known_ids, asked_ids in ((known.coupon, asked.coupon), (known.customer, asked.customer))
    ]
    both = odds[0] * odds[1] * (1 - base) / base
    return both / (1 + both)


def plain_logistic(known: Rows, asked: Rows, seed: int) -> Floats:
    """The baseline that is tried first: customer and coupon columns, no products of them; shape (len(asked),)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200, random_state=seed))
    model.fit(known.features[:, :COUPON_END], known.is_redeemed)
    return np.asarray(model.predict_proba(asked.features[:, :COUPON_END])[:, 1])


def _smoothed_odds(known_ids: Ints, known: Rows, asked_ids: Ints) -> Floats:
    """Of each id asked, pulled towards the base rate where little is known of it."""
    size = 1 + max(int(known_ids.max()), int(asked_ids.max()))
    redeemed = np.bincount(known_ids, weights=known.is_redeemed, minlength=size)
    issued = np.bincount(known_ids, minlength=size)
    rate = (redeemed + PRIOR_ROWS * known.base_rate) / (issued + PRIOR_ROWS)
    odds: Floats = (rate / (1 - rate))[asked_ids]
    return odds
