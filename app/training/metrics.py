"""How good probabilities of redemption are: over rows, and over the choices that they lead to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.domain.features import Floats
from app.domain.history import Ints

CALIBRATION_BINS = 15
TOP_SHARE = 0.1
ROUNDS = 200
DRAWS_FOR_A_ROUND = 50  # at most: where hardly a decision has redemptions, there are fewer rounds
LEAST_PROBABILITY = 1e-6  # so that one sure and wrong prediction is no infinite loss

Figures = Mapping[str, float]
Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Judged:
    """Predictions beside what happened, each array of the shape (n,). Rows of one `decision` were one choice.

    `seed` breaks ties between equal predictions.
    """

    is_redeemed: NDArray[np.bool_]
    probability: Floats
    decision: Ints
    seed: int

    def __len__(self) -> int:
        return len(self.is_redeemed)

    def only(self, chosen: NDArray[np.bool_]) -> "Judged":
        """Some of the rows."""
        return Judged(self.is_redeemed[chosen], self.probability[chosen], self.decision[chosen], self.seed)

    @cached_property
    def ranking(self) -> Ints:
        """The rows from the best prediction to the worst, ties in random order."""
        ties = np.random.default_rng(self.seed).random(len(self))
        return np.lexsort((ties, -self.probability))

    @cached_property
    def decision_index(self) -> Ints:
        """The decisions numbered from 0."""
        return np.unique(self.decision, return_inverse=True)[1].ravel().astype(np.int64)


def measure(judged: Judged) -> Figures:
    """Every figure by its name. Raises ValueError unless some rows were redeemed and some were not."""
    return _measured(judged, _Choices.of(judged), _Ties.of(judged), np.ones(judged.decision_index.max() + 1))


def intervals(judged: Judged, rounds: int = ROUNDS) -> Mapping[str, Interval]:
    """95 % interval of each figure, by drawing decisions with replacement: the rows of one depend on each other."""
    drawn = _by_name(_resampled(judged, rounds))
    return {name: _interval(values) for name, values in drawn.items()}


def differences(one: Judged, other: Judged, rounds: int = ROUNDS) -> Mapping[str, Interval]:
    """95 % interval of each figure of `one` less that of `other`, on the same draws of the same decisions."""
    first, second = _by_name(_resampled(one, rounds)), _by_name(_resampled(other, rounds))
    return {name: _interval(values - second[name]) for name, values in first.items()}


def calibration_bins(judged: Judged) -> list[Ints]:
    """The rows in 15 bins of equal size, from the lowest prediction to the highest."""
    return np.array_split(judged.ranking[::-1], min(CALIBRATION_BINS, len(judged)))


def _interval(values: Floats) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _by_name(rounds: Iterator[Figures]) -> Mapping[str, Floats]:
    found = list(rounds)
    return {name: np.array([figures[name] for figures in found]) for name in found[0]}


def _resampled(judged: Judged, rounds: int) -> Iterator[Figures]:
    choices, ties = _Choices.of(judged), _Ties.of(judged)
    count = int(judged.decision_index.max()) + 1
    rng = np.random.default_rng(judged.seed)
    for _ in range(rounds * DRAWS_FOR_A_ROUND):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64)
        weights = drawn[judged.decision_index]
        if 0 < weights @ judged.is_redeemed < weights.sum():  # a draw without redemptions says nothing
            yield _measured(judged, choices, ties, drawn)
            rounds -= 1
            if not rounds:
                return


def _measured(judged: Judged, choices: "_Choices", ties: "_Ties", drawn: Floats) -> Figures:
    """`drawn` says how often each decision counts."""
    weights = drawn[judged.decision_index]
    redeemed, total = float(weights @ judged.is_redeemed), float(weights.sum())
    base, mean = redeemed / total, float(weights @ judged.probability) / total
    if not 0 < base < 1:
        raise ValueError("some coupons must have been redeemed and some not")
    probability = np.clip(judged.probability, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    losses = -np.log(np.where(judged.is_redeemed, probability, 1 - probability))
    roc_auc, pr_auc = ties.areas(weights)
    log_loss = float(weights @ losses) / total
    log_loss_of_base = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    captured = _captured(judged, weights)
    return {
        "base_rate": base,
        "mean_prediction": mean,
        "mean_prediction_over_base": mean / base,
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        "pr_auc_over_base_rate": pr_auc / base,
        "log_loss": log_loss,
        "log_loss_of_base_rate": log_loss_of_base,
        "log_loss_over_that_of_base_rate": log_loss / log_loss_of_base,
        "calibration_error": _calibration_error(judged, weights),
        "lift_of_top_tenth": captured / TOP_SHARE,
        "captured_by_top_tenth": captured,
        **choices.figures(drawn),
    }


def _calibration_error(judged: Judged, weights: Floats) -> float:
    """Mean gap between predicted and observed rate, over bins of equally many rows (ECE)."""
    gaps = weights * (judged.probability - judged.is_redeemed)
    return float(sum(abs(gaps[part].sum()) for part in calibration_bins(judged)) / weights.sum())


def _captured(judged: Judged, weights: Floats) -> float:
    """The share of all redemptions that is among the tenth of the rows with the best predictions."""
    ranked = weights[judged.ranking]
    is_top = np.cumsum(ranked) - ranked / 2 < TOP_SHARE * ranked.sum()
    redeemed = ranked * judged.is_redeemed[judged.ranking]
    return float(redeemed[is_top].sum() / redeemed.sum())


@dataclass(frozen=True, slots=True, eq=False)
class _Ties:
    """Rows from the best prediction to the worst, and where each run of equal predictions starts."""

    ranking: Ints
    starts: Ints
    is_redeemed: NDArray[np.bool_]

    @classmethod
    def of(cls, judged: Judged) -> "_Ties":
        ranked = judged.probability[judged.ranking]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        return cls(judged.ranking, starts, judged.is_redeemed[judged.ranking])

    def areas(self, weights: Floats) -> tuple[float, float]:
        """Under the ROC curve, and the average precision; as scikit-learn defines them."""
        ranked = weights[self.ranking]
        redeemed = np.add.reduceat(ranked * self.is_redeemed, self.starts)
        others = np.add.reduceat(ranked * ~self.is_redeemed, self.starts)
        redeemed_so_far, others_so_far = np.cumsum(redeemed), np.cumsum(others)
        above = others_so_far[-1] - others_so_far + others / 2
        roc_auc = float(redeemed @ above / (redeemed_so_far[-1] * others_so_far[-1]))
        shown = np.maximum(redeemed_so_far + others_so_far, np.finfo(np.float64).tiny)
        return roc_auc, float(redeemed @ (redeemed_so_far / shown) / redeemed_so_far[-1])


@dataclass(frozen=True, slots=True, eq=False)
class _Choices:
    """What following the predictions does in each decision that leaves a choice: some redeemed and some not.

    Every array has the shape (open decisions,); `decision` is their index among all.
    """

    decision: Ints
    first_is_redeemed: Floats
    redeemed_in_top_3: Floats
    redeemed_share: Floats
    reciprocal_rank: Floats
    ndcg: Floats

    @classmethod
    def of(cls, judged: Judged) -> "_Choices":
        order = judged.ranking[np.argsort(judged.decision_index[judged.ranking], kind="stable")]
        decision, is_redeemed = judged.decision_index[order], judged.is_redeemed[order].astype(np.float64)
        starts = np.flatnonzero(np.r_[True, decision[1:] != decision[:-1]])
        sizes = np.diff(np.r_[starts, len(order)])
        rank = np.arange(len(order)) - np.repeat(starts, sizes)  # from 0
        redeemed = np.add.reduceat(is_redeemed, starts)
        first_rank = np.minimum.reduceat(np.where(is_redeemed > 0, rank, len(order)), starts)
        gain = np.add.reduceat(is_redeemed / np.log2(rank + 2), starts)
        ideal = np.r_[0.0, np.cumsum(1 / np.log2(np.arange(2, sizes.max() + 2)))][redeemed.astype(np.int64)]
        is_open = (redeemed > 0) & (redeemed < sizes)
        return cls(
            decision[starts][is_open],
            (first_rank[is_open] == 0).astype(np.float64),
            (first_rank[is_open] < 3).astype(np.float64),
            (redeemed / sizes)[is_open],
            1 / (1 + first_rank[is_open]),
            gain[is_open] / ideal[is_open],
        )

    def figures(self, drawn: Floats) -> Figures:
        """Means over the decisions, 0 where none leaves a choice."""
        weights = drawn[self.decision]
        total = max(float(weights.sum()), np.finfo(np.float64).tiny)
        columns = {
            "hit_at_1": self.first_is_redeemed,
            "hit_at_1_by_chance": self.redeemed_share,
            "hit_at_3": self.redeemed_in_top_3,
            "reciprocal_rank": self.reciprocal_rank,
            "ndcg": self.ndcg,
        }
        return {name: float(weights @ column) / total for name, column in columns.items()} | {
            "decisions": float(weights.sum())
        }
