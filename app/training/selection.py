"""Chooses a kind of model and its settings: by validation inside the fit period, in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.domain.features import Floats
from app.errors import DatasetRefused
from app.training.kinds import BLEND_WEIGHTS, KINDS, Settings
from app.training.metrics import LEAST_PROBABILITY
from app.training.names import ModelName
from app.training.progress import Progress
from app.training.rows import OUTCOME_DAYS, Rows

FOLD_STARTS = (0.4, 0.6, 0.8)  # of the days of the fit period
MAX_ROWS = 60_000  # to choose by; the model chosen is fitted on all


@dataclass(frozen=True, slots=True)
class Fold:
    """What a model learns from, and the days after it that show what it has learnt."""

    known: Rows
    later: Rows


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen: the settings of each part, the weight of the logistic part of a blend, and how well it did.

    `losses` are the log-losses in the folds; none where nothing was compared.
    """

    name: ModelName
    settings: dict[ModelName, Settings]
    weight: float
    losses: tuple[float, ...] = ()

    @property
    def log_loss(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.losses))


def choose(rows: Rows, name: ModelName, trials: int, seed: int, progress: Progress) -> Choice:
    """The usual settings of a kind, or the best of these and `trials` drawn ones; AUTO compares the kinds, too.

    Of kinds that do equally well AUTO takes the simplest: the first whose loss exceeds the least by no more than one
    standard error (Breiman et al., Classification and Regression Trees, 1984).

    Raises DatasetRefused where the period is too short to be parted.
    """
    parts = list(KINDS) if name in (ModelName.AUTO, ModelName.BLEND) else [name]
    if name in KINDS and not trials:
        return Choice(name, {name: KINDS[name].usual}, 1.0)
    folds = _folds(rows)
    progress.stage("choosing", len(folds) * len(parts) * (1 + trials))
    best = {part: _best_settings(part, folds, trials, seed, progress) for part in parts}
    found = [Choice(part, {part: settings}, 1.0, losses) for part, (settings, _, losses) in best.items()]
    if len(parts) > 1:
        settings = {part: chosen for part, (chosen, _, _) in best.items()}
        logistic, trees = (best[part][1] for part in parts)
        for weight in BLEND_WEIGHTS:
            mixed = [weight * one + (1 - weight) * other for one, other in zip(logistic, trees, strict=True)]
            found.append(Choice(ModelName.BLEND, settings, weight, _losses(folds, mixed)))
    allowed = [one for one in found if name in (ModelName.AUTO, one.name)]
    for one in allowed:
        share = f", {one.weight:.2f} of it logistic" if one.name is ModelName.BLEND else ""
        progress.say(f"{one.name}{share}: log-loss {one.log_loss:.5f} in {len(folds)} later periods")
    best_of_all = min(allowed, key=lambda one: one.log_loss)
    if name is not ModelName.AUTO:
        return best_of_all
    return next(one for one in allowed if _is_as_good(one, best_of_all))


def _is_as_good(one: Choice, best: Choice) -> bool:
    excess = np.subtract(one.losses, best.losses)
    error = excess.std(ddof=1) / np.sqrt(len(excess)) if len(excess) > 1 else 0.0
    return bool(excess.mean() <= error)


def _folds(rows: Rows) -> Sequence[Fold]:
    rows = _thinned(rows)
    first, days = rows.day[0], int((rows.day[-1] - rows.day[0]).astype(np.int64)) + 1
    ends = [*FOLD_STARTS[1:], 1.0]
    folds = []
    for start, end in zip(FOLD_STARTS, ends, strict=True):
        cut, stop = first + round(start * days), first + round(end * days)
        fold = Fold(rows.between(first, cut - OUTCOME_DAYS), rows.between(cut, stop))
        if fold.known.has_both and fold.later.has_both:
            folds.append(fold)
    if not folds:
        raise DatasetRefused(
            f"the {days} days to fit on are too few to choose a model by: name one with --model, without --trials"
        )
    return folds


def _thinned(rows: Rows) -> Rows:
    """Whole decisions, as many as may be looked at, spread evenly over time."""
    keep_one_in = -(-len(rows) // MAX_ROWS)
    return rows if keep_one_in == 1 else rows.only(rows.decision % keep_one_in == 0)


def _best_settings(
    name: ModelName, folds: Sequence[Fold], trials: int, seed: int, progress: Progress
) -> tuple[Settings, list[Floats], tuple[float, ...]]:
    """The settings, what they predicted for each fold, and their log-losses."""
    kind, rng = KINDS[name], np.random.default_rng(seed)
    tried = []
    for trial, settings in enumerate([kind.usual, *(kind.draw(rng) for _ in range(trials))]):
        predicted = []
        for number, fold in enumerate(folds, 1):
            model = kind.build(settings, seed).fit(fold.known.features, fold.known.is_redeemed)
            predicted.append(model.predict_proba(fold.later.features)[:, 1])
            progress.step(f"{name}, trial {trial + 1} of {1 + trials}, fold {number} of {len(folds)}")
        tried.append((settings, predicted, _losses(folds, predicted)))
    return min(tried, key=lambda one: sum(one[2]))


def _losses(folds: Sequence[Fold], predicted: Sequence[Floats]) -> tuple[float, ...]:
    return tuple(_log_loss(fold.later, one) for fold, one in zip(folds, predicted, strict=True))


def _log_loss(rows: Rows, predicted: Floats) -> float:
    clipped = np.clip(predicted, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return -float(np.log(np.where(rows.is_redeemed, clipped, 1 - clipped)).mean())
