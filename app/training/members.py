"""The kinds of models that an ensemble may hold, each as a function that fits one.

Trees are grown on all redeemed rows and a sample of the others, another one for each bag. The log odds of such a model
are too high by a constant that is known, and taken off: probabilities are those of all rows. Nothing is weighted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from app.domain.features import Floats, sigmoid

Features = NDArray[np.float32]
Labels = NDArray[np.bool_]

BAGS = 4
ROUNDS = 120
TREES = 160
MOST_OF_A_KIND = 100_000  # rows of a sample, redeemed or not
LEAST_OTHERS, OTHERS_FOR_EACH = 20_000, 50  # unredeemed rows of a sample
MOST_DEVIATIONS = 5.0  # beyond which a feature says no more to the logistic model
LEAST = 1e-6
RARE = 0.1  # base rate below which a leaf needs more rows


class Member(Protocol):
    """A fitted model."""

    def log_odds(self, features: Features) -> Floats:
        """Of redemption, shape (n,)."""
        ...


Fit = Callable[[Features, Labels, int, float], Member]
"""Of features, labels, a seed, and the share of the usual effort."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Some of the rows, and how much higher the log odds of redemption are among them."""

    rows: NDArray[np.int64]
    excess: float

    @classmethod
    def of(cls, is_redeemed: Labels, seed: int) -> "Sample":
        """All redeemed rows and many others, as far as there may be so many."""
        rng = np.random.default_rng(seed)
        redeemed, others = np.flatnonzero(is_redeemed), np.flatnonzero(~is_redeemed)
        some = _drawn(rng, redeemed, MOST_OF_A_KIND)
        most = min(MOST_OF_A_KIND, max(LEAST_OTHERS, OTHERS_FOR_EACH * len(some)))
        few = _drawn(rng, others, most)
        excess = np.log(len(some) / len(redeemed)) - np.log(len(few) / len(others))
        return cls(np.sort(np.concatenate([some, few])), float(excess))

    def of_trees(self, features: Features) -> Features:
        """The features of these rows; a column of which nothing is known is 0, as boosting cannot do without."""
        found = features[self.rows]
        found[:, np.isnan(found).all(axis=0)] = 0.0
        return found


def _drawn(rng: np.random.Generator, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows if len(rows) <= most else rng.choice(rows, most, replace=False)


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression on standardised features; what is not known counts as usual."""

    mean: Floats
    deviation: Floats
    weights: Floats
    constant: float

    @classmethod
    def fit(cls, features: Features, is_redeemed: Labels, seed: int, effort: float) -> "Logistic":
        """Strongly regularised: features are many, redemptions few."""
        sample = Sample.of(is_redeemed, seed)
        known = features[sample.rows].astype(np.float64)
        there = np.isfinite(known)
        count = np.maximum(there.sum(axis=0), 1)
        mean = np.where(there, known, 0.0).sum(axis=0) / count
        deviation = np.sqrt((np.where(there, known - mean, 0.0) ** 2).sum(axis=0) / count)
        deviation[deviation == 0] = 1.0
        model = LogisticRegression(C=0.002, max_iter=1000, random_state=seed)
        model.fit(_scaled(known, mean, deviation), is_redeemed[sample.rows])
        return cls(mean, deviation, model.coef_[0], float(model.intercept_[0]) - sample.excess)

    def log_odds(self, features: Features) -> Floats:
        """See Member. Row by row: a score does not depend on where the row stands."""
        scaled = _scaled(features.astype(np.float64), self.mean, self.deviation)
        return np.asarray((scaled * self.weights).sum(axis=1) + self.constant)


def _scaled(features: Floats, mean: Floats, deviation: Floats) -> Floats:
    scaled = np.nan_to_num((features - mean) / deviation)
    return np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)


@dataclass(frozen=True, slots=True)
class Bags:
    """The mean probability of models of samples, each with the excess of its sample."""

    models: Sequence[tuple[HistGradientBoostingClassifier | ExtraTreesClassifier, float]]

    def log_odds(self, features: Features) -> Floats:
        """See Member."""
        found = [sigmoid(logit(model.predict_proba(features)[:, 1]) - excess) for model, excess in self.models]
        return logit(np.mean(found, axis=0))


def logit(probability: Floats) -> Floats:
    """Log odds; none is infinite."""
    clipped = np.clip(probability, LEAST, 1 - LEAST)
    return np.asarray(np.log(clipped / (1 - clipped)))


def boosting(features: Features, is_redeemed: Labels, seed: int, effort: float) -> Bags:
    """Gradient boosting, a few times."""
    models = []
    for bag in range(max(1, round(BAGS * effort))):
        sample = Sample.of(is_redeemed, seed + bag)
        model = HistGradientBoostingClassifier(
            max_iter=max(1, round(ROUNDS * min(1.0, effort * BAGS))),
            learning_rate=0.06,
            max_leaf_nodes=15,
            min_samples_leaf=40,
            l2_regularization=5.0,
            max_features=0.3,
            max_bins=63,
            early_stopping=False,
            random_state=seed + bag,
        )
        models.append((model.fit(sample.of_trees(features), is_redeemed[sample.rows]), sample.excess))
    return Bags(models)


def extra_trees(features: Features, is_redeemed: Labels, seed: int, effort: float) -> Bags:
    """Trees whose thresholds are drawn at random."""
    sample = Sample.of(is_redeemed, seed)
    forest = ExtraTreesClassifier(
        max(1, round(TREES * effort)),
        min_samples_leaf=20 if is_redeemed.mean() < RARE else 5,
        max_features=0.3,
        bootstrap=True,
        n_jobs=-1,
        random_state=seed,
    )
    forest.fit(sample.of_trees(features), is_redeemed[sample.rows])
    forest.n_jobs = 1  # threads add up the votes in any order, which changes the last digits
    return Bags([(forest, sample.excess)])


KINDS: Mapping[str, Fit] = {"logistic": Logistic.fit, "boosting": boosting, "extra_trees": extra_trees}
