"""Several kinds of models, and the mean of those that do well on what comes later.

Few coupons are redeemed, so one kind of model is right by luck as often as by merit, and the best on one history is no
better than chance on another. The mean of the log odds of different kinds is safer than each; which of them take part
is decided inside the training period, on later offers (or, where nothing has a date, on other decisions).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from app.domain.features import Floats, sigmoid

Labels = NDArray[np.bool_]

BAGS = 5
TREES, TREES_TO_CHOOSE_BY = 300, 100
FOREST_ROWS = 200_000  # that a tree of a forest is grown on, at most
MOST_DEVIATIONS = 5.0  # beyond which a feature says no more to the logistic model
PRIOR_REDEMPTIONS = 50.0  # that weigh as much as what later offers say of the mean prediction
LEAST = 1e-6
RARE = 0.1  # base rate below which a leaf needs more rows
BISECTIONS = 60
SURE = 2.0  # standard errors
ANCHORS = ("logistic", "boosting")  # whose means are to be trusted: both shrink what few rows say, forests do not


class Member(Protocol):
    """A fitted model."""

    def log_odds(self, features: Floats) -> Floats:
        """Of redemption, shape (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class Logistic:
    """Logistic regression on standardised features; what is not known counts as usual."""

    mean: Floats
    deviation: Floats
    model: LogisticRegression

    @classmethod
    def fit(cls, features: Floats, is_redeemed: Labels, seed: int) -> "Logistic":
        """Strongly regularised: features are many, redemptions few."""
        with np.errstate(all="ignore"):
            mean = np.nan_to_num(np.nanmean(features, axis=0))
            deviation = np.nan_to_num(np.nanstd(features, axis=0))
        deviation[deviation == 0] = 1.0
        made = cls(mean, deviation, LogisticRegression(C=0.002, max_iter=1000, random_state=seed))
        made.model.fit(made._scaled(features), is_redeemed)
        return made

    def log_odds(self, features: Floats) -> Floats:
        """See Member."""
        return np.asarray(self.model.decision_function(self._scaled(features)))

    def _scaled(self, features: Floats) -> Floats:
        scaled = np.nan_to_num((features - self.mean) / self.deviation)
        return np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS)


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean probability of models that scikit-learn has made."""

    models: Sequence[HistGradientBoostingClassifier | RandomForestClassifier | ExtraTreesClassifier]

    def log_odds(self, features: Floats) -> Floats:
        """See Member."""
        return logit(np.mean([model.predict_proba(features)[:, 1] for model in self.models], axis=0))


def logit(probability: Floats) -> Floats:
    """Log odds; none is infinite."""
    clipped = np.clip(probability, LEAST, 1 - LEAST)
    return np.log(clipped / (1 - clipped))


def _boosting(features: Floats, is_redeemed: Labels, seed: int, effort: float) -> Member:
    bags = [
        HistGradientBoostingClassifier(
            max_iter=150,
            learning_rate=0.05,
            max_leaf_nodes=15,
            min_samples_leaf=40,
            l2_regularization=5.0,
            max_features=0.3,
            early_stopping=False,
            random_state=seed + bag,
        )
        for bag in range(max(1, round(BAGS * effort)))
    ]
    return Mean([bag.fit(features, is_redeemed) for bag in bags])


def _forest(kind: Callable[..., RandomForestClassifier | ExtraTreesClassifier], share: float) -> "Fit":
    def fit(features: Floats, is_redeemed: Labels, seed: int, effort: float) -> Member:
        leaf = 20 if is_redeemed.mean() < RARE else 5
        rows = FOREST_ROWS if len(features) > FOREST_ROWS else None
        forest = kind(
            max(1, round(TREES * effort)),
            min_samples_leaf=leaf,
            max_features=share,
            bootstrap=True,
            max_samples=rows,
            n_jobs=-1,
            random_state=seed,
        )
        return Mean([forest.fit(features, is_redeemed)])

    return fit


def _logistic(features: Floats, is_redeemed: Labels, seed: int, effort: float) -> Member:
    return Logistic.fit(features, is_redeemed, seed)


Fit = Callable[[Floats, Labels, int, float], Member]
KINDS: Mapping[str, Fit] = {
    "logistic": _logistic,
    "boosting": _boosting,
    "forest": _forest(RandomForestClassifier, 0.2),
    "extra_trees": _forest(ExtraTreesClassifier, 0.3),
}


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """Rows to learn from, and rows to look at then: two masks or lists of positions."""

    known: NDArray[np.generic]
    later: NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Fitted models; `shift` is added to the log odds of their mean."""

    members: Mapping[str, Member]
    shift: float

    def probabilities(self, features: Floats) -> Floats:
        """Of redemption, shape (n,). The rows count as one sample: their mean prediction is that of the anchors."""
        odds = {name: member.log_odds(features) for name, member in self.members.items()}
        return sigmoid(combined(odds) + self.shift)


def fit_ensemble(features: Floats, is_redeemed: Labels, folds: Sequence[Fold], seed: int) -> Ensemble:
    """Choose the members by the folds, fit them on everything, and shift their mean by what the folds say of it."""
    seen = [fold for fold in folds if is_redeemed[fold.known].any() and not is_redeemed[fold.known].all()]
    odds = [_odds_of_fold(features, is_redeemed, fold, seed) for fold in seen]
    labels = [is_redeemed[fold.later] for fold in seen]
    names = _chosen(odds, labels)
    shift = _shift([combined({name: one[name] for name in names}) for one in odds], labels)
    members = {name: KINDS[name](features, is_redeemed, seed, 1.0) for name in names}
    return Ensemble(members, shift)


def combined(odds: Mapping[str, Floats]) -> Floats:
    """The mean log odds, after each member's were shifted so that its mean prediction is that of the anchors."""
    anchors = [odds[name] for name in ANCHORS if name in odds] or list(odds.values())
    mean = float(np.mean([sigmoid(one).mean() for one in anchors]))
    return np.asarray(np.mean([shifted_to(one, mean) for one in odds.values()], axis=0))


def shifted_to(odds: Floats, mean: float) -> Floats:
    """The log odds with the constant added that makes their mean probability so."""
    low, high = -20.0, 20.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if sigmoid(odds + middle).mean() < mean else (low, middle)
    return odds + middle


def _odds_of_fold(features: Floats, is_redeemed: Labels, fold: Fold, seed: int) -> dict[str, Floats]:
    known, effort = features[fold.known], TREES_TO_CHOOSE_BY / TREES
    return {
        name: fit(known, is_redeemed[fold.known], seed, effort).log_odds(features[fold.later])
        for name, fit in KINDS.items()
    }


def _chosen(odds: Sequence[Mapping[str, Floats]], labels: Sequence[Labels]) -> list[str]:
    """All of them but those without whom the mean is better by more than chance explains; one at least stays."""
    names = list(KINDS)
    while len(names) > 1 and odds:
        whole = _losses(odds, labels, names)
        gains = {name: whole - _losses(odds, labels, [one for one in names if one != name]) for name in names}
        sure = {name: gain.mean() / max(gain.std() / np.sqrt(len(gain)), LEAST * LEAST) for name, gain in gains.items()}
        worst = max(sure, key=lambda name: sure[name])
        if sure[worst] < SURE:
            break
        names.remove(worst)
    return names


def _losses(odds: Sequence[Mapping[str, Floats]], labels: Sequence[Labels], names: Sequence[str]) -> Floats:
    """The log-loss of each row of all folds."""
    parts = []
    for one, redeemed in zip(odds, labels, strict=True):
        mean = combined({name: one[name] for name in names})
        parts.append(np.logaddexp(0, np.where(redeemed, -mean, mean)))
    return np.concatenate(parts)


def _shift(odds: Sequence[Floats], labels: Sequence[Labels]) -> float:
    """Towards as many redemptions as there were later, by as much as their number can tell."""
    promised = sum(float(sigmoid(one).sum()) for one in odds)
    redeemed = sum(int(one.sum()) for one in labels)
    return float(np.log((redeemed + PRIOR_REDEMPTIONS) / (promised + PRIOR_REDEMPTIONS)))
