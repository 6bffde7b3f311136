"""Evaluates what a training has written, and compares two such runs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from sklearn.base import ClassifierMixin

from app.domain.features import AGE_BANDS, FEATURE_NAMES, Floats
from app.domain.history import History
from app.domain.model_card import ModelCard
from app.errors import DatasetRefused
from app.training.evaluation import Evaluation, Slices, evaluate, read_predictions
from app.training.metrics import Judged, differences, measure
from app.training.progress import Progress
from app.training.rows import Rows, end_of_outcomes, make_rows, split_in_time
from app.training.service_model import baseline_predictions, judge

IMPORTANCE_ROWS = 20_000
GREATER_IS_BETTER = {"roc_auc", "pr_auc", "hit_at_1", "hit_at_3", "ndcg", "reciprocal_rank"}
LESS_IS_BETTER = {"log_loss", "calibration_error"}

Predict = Callable[[Floats], Floats]


def evaluate_run(
    card: ModelCard, model: ClassifierMixin, history_of: Callable[[int], History], data: str, progress: Progress
) -> tuple[Evaluation, Judged]:
    """The evaluation of a run on the rows that came after those it learnt from, and the predictions.

    `history_of` makes the history, given the seed of the run. Raises DatasetRefused.
    """

    def predict(features: Floats) -> Floats:
        return np.asarray(model.predict_proba(features)[:, 1], dtype=np.float64)

    progress.stage("features", 0)
    rows = make_rows(history_of(card.seed), lambda done, total: progress.step(f"{done:,} of {total:,} rows"))
    split = split_in_time(rows)
    later = rows.between(np.datetime64(card.validation.first_day), end_of_outcomes(rows))
    if not len(later):
        raise DatasetRefused(
            f"the history ends before {card.validation.first_day}: {card.version} has learnt from all of it"
        )
    progress.stage("measuring", 0)
    judged = judge(later, predict(later.features), card.seed)
    known = split.validation.day[0] == later.day[0]
    evaluation = evaluate(
        judged,
        model=card.version,
        data=f"{data}, {later.day[0]} to {later.day[-1]}",
        slices=slices(later),
        baselines=baseline_predictions(split, card.seed) if known else {},
        importance=importance(later, predict, judged, card.seed, progress),
        cost_over_value=card.threshold,
    )
    return evaluation, judged


def slices(rows: Rows) -> Slices:
    """By department, gender and age band, from the features themselves."""

    def those(name: str) -> np.ndarray:
        return rows.features[:, FEATURE_NAMES.index(name)] > 0

    prefix = "department_"
    departments = {name.removeprefix(prefix): those(name) for name in FEATURE_NAMES if name.startswith(prefix)}
    genders = {"F": those("is_female"), "M": those("is_male")}
    return {
        "department": {**departments, "other": ~np.logical_or.reduce(list(departments.values()))},
        "gender": {**genders, "unknown": ~(genders["F"] | genders["M"])},
        "age": {f"{low} to {high - 1}": those(f"age_{low}_{high}") for low, high in AGE_BANDS},
    }


def importance(rows: Rows, predict: Predict, judged: Judged, seed: int, progress: Progress) -> dict[str, float]:
    """How much ROC-AUC is lost when a feature is shuffled among the rows (Breiman, Random Forests, 2001).

    Nothing, where the rows looked at are all redeemed, or none of them is.
    """
    step = -(-len(rows) // IMPORTANCE_ROWS)
    thin = rows.only(slice(None, None, step))
    if not thin.has_both:
        return {}
    whole = measure(judge(thin, judged.probability[::step], seed))["roc_auc"]
    rng, lost = np.random.default_rng(seed), {}
    progress.stage("features shuffled", len(FEATURE_NAMES))
    features = thin.features.copy()
    for index, name in enumerate(FEATURE_NAMES):
        column = features[:, index].copy()
        features[:, index] = rng.permutation(column)
        lost[name] = whole - measure(judge(thin, predict(features), seed))["roc_auc"]
        features[:, index] = column
        progress.step(name)
    return lost


def comparison(one: Path, other: Path, names: Sequence[str]) -> list[str]:
    """One line for each figure: both, their difference with its 95 % interval, and which is better.

    Raises DatasetRefused unless both were evaluated on the same coupons.
    """
    first, second = (read_predictions(run / "evaluation") for run in (one, other))
    same = len(first) == len(second) and bool(
        (first.is_redeemed == second.is_redeemed).all() and (first.decision == second.decision).all()
    )
    if not same:
        raise DatasetRefused(
            f"{one} and {other} were evaluated on different coupons: both need the same --data and the same first day "
            "of validation, which `python -m app model card` shows"
        )
    ours, theirs, gaps = measure(first), measure(second), differences(first, second)
    lines = [f"{'':28}{one.name:>14}{other.name:>14}{'difference':>12}{'95 % interval':>22}"]
    for name in names:
        low, high = gaps[name]
        line = f"{name:28}{ours[name]:>14.4f}{theirs[name]:>14.4f}{ours[name] - theirs[name]:>12.4f}"
        lines.append(f"{line}{f'{low:.4f} to {high:.4f}':>22}  {_verdict(name, low, high, one.name, other.name)}")
    return lines


def _verdict(name: str, low: float, high: float, one: str, other: str) -> str:
    if name not in GREATER_IS_BETTER | LESS_IS_BETTER:
        return ""
    if low <= 0 <= high:
        return "chance explains it"
    return f"{one if (low > 0) is (name in GREATER_IS_BETTER) else other} is better"
