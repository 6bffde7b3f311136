"""Which candidate is offered: candidates with scores in, a pick with its probability out."""

from dataclasses import dataclass

import numpy as np

from app.domain.features import Floats


@dataclass(frozen=True, slots=True)
class Pick:
    """The index of the picked candidate, and the probability with which the policy picked it."""

    index: int
    propensity: float


def best_above(threshold: float, scores: Floats) -> Pick | None:
    """The candidate with the highest score, if that is above the threshold; the first of equals.

    `scores` has the shape (n,); NaN stands for a candidate without a score, which is never picked.
    """
    if not len(scores):
        return None
    index = int(scores.argmax())
    if np.isnan(scores[index]):  # argmax takes the first NaN for the highest of all
        index = int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))
    return Pick(index, 1.0) if scores[index] > threshold else None
