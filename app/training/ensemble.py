"""Several kinds of models, and the mean of those that do well on what comes later.

Few coupons are redeemed, so one kind of model is right by luck as often as by merit, and the best on one history is no
better than chance on another. The mean of the log odds of different kinds is safer than each; which of them take part
is decided inside the training period, on later offers (or, where nothing has a date, on other customers).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from app.domain.features import Floats, sigmoid
from app.training.members import KINDS, Features, Labels, Member

PRIOR_REDEMPTIONS = 50.0  # that weigh as much as what later offers say of the mean prediction
LEAST = 1e-12
BISECTIONS = 60
SURE = 3.0  # standard errors: several are compared, and redemptions are few
ANCHORS = ("logistic", "boosting")  # whose means are to be trusted: they shrink what few rows say
ROWS_AT_ONCE = 50_000


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

    def probabilities(self, features: Features) -> Floats:
        """Of redemption, shape (n,). The rows count as one sample: their mean prediction is that of the anchors."""
        with threadpool_limits(1):
            odds = {name: log_odds(member, features) for name, member in self.members.items()}
        return sigmoid(combined(odds) + self.shift)


def fit_ensemble(features: Features, is_redeemed: Labels, folds: Sequence[Fold], seed: int, effort: float) -> Ensemble:
    """Choose the members by the folds, fit them on everything, and shift their mean by what the folds say of it.

    `effort` is the share of the usual trees.
    """
    with threadpool_limits(1):  # samples are small: threads wait for each other, and add up in another order
        seen = [fold for fold in folds if is_redeemed[fold.known].any() and not is_redeemed[fold.known].all()]
        odds = [_odds_of_fold(features, is_redeemed, fold, seed, effort) for fold in seen]
        labels = [is_redeemed[fold.later] for fold in seen]
        names = chosen(odds, labels)
        shift = _shift([combined({name: one[name] for name in names}) for one in odds], labels)
        members = {name: KINDS[name](features, is_redeemed, seed, effort) for name in names}
    return Ensemble(members, shift)


def log_odds(member: Member, features: Features) -> Floats:
    """Of redemption, shape (n,); a part of the rows at a time, so that little memory is needed."""
    parts = range(0, len(features), ROWS_AT_ONCE)
    return np.concatenate([member.log_odds(features[start : start + ROWS_AT_ONCE]) for start in parts])


def combined(odds: Mapping[str, Floats]) -> Floats:
    """The mean log odds, after each member's were shifted so that its mean prediction is that of the anchors."""
    anchors = [odds[name] for name in ANCHORS if name in odds] or list(odds.values())
    mean = float(np.mean([_mean_probability(np.sort(one)) for one in anchors]))
    return np.asarray(np.mean([shifted_to(one, mean) for one in odds.values()], axis=0))


def shifted_to(odds: Floats, mean: float) -> Floats:
    """The log odds with the constant added that makes their mean probability so."""
    low, high, middle = -20.0, 20.0, 0.0
    ranked = np.sort(odds)  # sums of floats depend on the order, which is to be no matter
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean_probability(ranked + middle) < mean else (low, middle)
    return odds + middle


def _mean_probability(odds: Floats) -> float:
    return float(sigmoid(odds).mean())


def _odds_of_fold(features: Features, is_redeemed: Labels, fold: Fold, seed: int, effort: float) -> dict[str, Floats]:
    known, redeemed, later = features[fold.known], is_redeemed[fold.known], features[fold.later]
    return {name: log_odds(fit(known, redeemed, seed, effort), later) for name, fit in KINDS.items()}


def chosen(odds: Sequence[Mapping[str, Floats]], labels: Sequence[Labels]) -> list[str]:
    """All of them but those without whom the mean is better by more than chance explains; one at least stays."""
    names = list(KINDS)
    while len(names) > 1 and odds:
        whole = _losses(odds, labels, names)
        gains = {name: whole - _losses(odds, labels, [one for one in names if one != name]) for name in names}
        sure = {name: gain.mean() / max(gain.std() / np.sqrt(len(gain)), LEAST) for name, gain in gains.items()}
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
