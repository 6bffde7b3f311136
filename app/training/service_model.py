"""Trains a model: split in time, unweighted, calibrated where it must be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from platform import python_version

import numpy as np
import skops
from sklearn import __version__ as sklearn_version
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from app.domain.drift import distribution
from app.domain.features import ENCODING_VERSION, FEATURE_NAMES, Floats, encode
from app.domain.history import History
from app.domain.model_card import Distribution, LinearForm, ModelCard
from app.domain.probe import probe
from app.domain.registry import version_of
from app.domain.trees import trees_to_bytes
from app.training.artefact import model_bytes, write_artefact
from app.training.baselines import plain_logistic, popularity
from app.training.kinds import KINDS, blend
from app.training.linear import linear_form
from app.training.metrics import Figures, Judged, intervals, measure
from app.training.names import ModelName
from app.training.progress import Progress, Silent
from app.training.rows import Rows, Split, digest, make_rows, split_at, split_in_time
from app.training.selection import Choice, choose
from app.training.trees import trees_form

MEAN_OVER_BASE = (0.8, 1.25)  # a model whose mean prediction leaves this range of the base rate is calibrated
DEFAULT_TRIALS = 4  # of each kind, where kinds are compared
DRIFT_ROWS = 50_000  # for distributions on the card
INTENDED_USE = (
    "Ranks the coupons of a department for a customer who lingers there, by the probability that the customer redeems "
    "the coupon. Not for prices, credit, or decisions about people."
)
LIMITS = (
    "Learnt from coupons that were handed out: of others, and of other customers, it knows little.",
    "A redemption is counted, not its cause: some would have bought without the coupon.",
    "Gender and age are features; figures by group are in the evaluation.",
)


@dataclass(frozen=True, slots=True)
class Order:
    """What to train: a kind of model, how many drawn settings to try, the seed, what may be done with the data.

    `cost_over_value` is what an offer costs, as a share of what a redemption is worth; None: the base rate, so that an
    offer must do better than coupons that were handed out without a model.
    """

    name: ModelName = ModelName.LOGISTIC
    trials: int = 0
    seed: int = 0
    data_licence: str = "the retailer's own"
    cost_over_value: float | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted model, how it was chosen, and whether it, or a part of it, had to be calibrated."""

    model: ClassifierMixin
    parts: Mapping[ModelName, ClassifierMixin]
    choice: Choice
    is_calibrated: bool


@dataclass(frozen=True, slots=True)
class Finished:
    """A model that is to get a card, and what the service scores with instead of asking scikit-learn.

    `settings` are those of its parts, as far as they are known.
    """

    name: str
    model: ClassifierMixin
    linear: LinearForm | None
    trees: bytes | None
    linear_weight: float = 1.0
    settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    is_calibrated: bool = False


def train(
    history: History, order: Order, *, out: Path, created_at: datetime, progress: Progress | None = None
) -> ModelCard:
    """Make rows from the history, choose, fit, measure on the last months, and write the model's files into `out`.

    The same history and order give the same model and metrics. Raises DatasetRefused for a history that is too small or
    too short, OSError where `out` cannot be written.
    """
    progress = progress or Silent()
    progress.stage("features", 0)
    rows = make_rows(history, lambda done, total: progress.step(f"{done:,} of {total:,} coupons handed out"))
    split = split_in_time(rows)
    progress.say(f"{len(rows):,} coupons handed out, {rows.base_rate:.2%} redeemed; {len(split.fit):,} to fit on")
    fitted = fit(split, order, progress)
    return _told(_write(history, split, _finished(fitted), order, out, created_at, progress), progress)


def package(
    history: History,
    name: str,
    model: ClassifierMixin,
    learnt_until: np.datetime64,
    order: Order,
    *,
    out: Path,
    created_at: datetime,
    progress: Progress | None = None,
) -> ModelCard:
    """Give a card to a classifier that somebody else has fitted, on coupons handed out before `learnt_until`.

    It is measured on those handed out from that day on, and written as `train` writes its own. Raises DatasetRefused
    for a history in which there are too few of either, OSError where `out` cannot be written.
    """
    progress = progress or Silent()
    progress.stage("features", 0)
    rows = make_rows(history, lambda done, total: progress.step(f"{done:,} of {total:,} coupons handed out"))
    split = split_at(rows, learnt_until)
    finished = Finished(name, model, linear_form(model), _tree_bytes(model))
    card = _told(_write(history, split, finished, order, out, created_at, progress), progress)
    if not MEAN_OVER_BASE[0] <= card.metrics["mean_prediction_over_base"] <= MEAN_OVER_BASE[1]:
        progress.say("WARNING: its probabilities are not those of what happened: calibrate it, and package it again")
    return card


def fit(split: Split, order: Order, progress: Progress) -> Fitted:
    """Choose by validation inside the fit period, then fit on all of it."""
    choice = choose(split.fit, order.name, order.trials, order.seed, progress)
    progress.stage("fitting", len(choice.settings))
    parts, is_calibrated = {}, False
    for name, settings in choice.settings.items():
        part = KINDS[name].build(settings, order.seed).fit(split.fit.features, split.fit.is_redeemed)
        parts[name], had_to = calibrated(part, split.calibration)
        is_calibrated = is_calibrated or had_to
        progress.step(str(name))
    if choice.name is ModelName.BLEND:
        logistic, trees = parts.values()
        model = blend(logistic, trees, choice.weight, split.fit.features)
    else:
        (model,) = parts.values()
    progress.say("calibrated on the months after" if is_calibrated else "no calibration needed")
    return Fitted(model, parts, choice, is_calibrated)


def calibrated(model: ClassifierMixin, held_out: Rows) -> tuple[ClassifierMixin, bool]:
    """The model, and whether it had to be calibrated: by a sigmoid, on rows that it has not seen."""
    ratio = predict(model, held_out).mean() / held_out.base_rate
    if MEAN_OVER_BASE[0] <= ratio <= MEAN_OVER_BASE[1]:
        return model, False
    sigmoid = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid")
    return sigmoid.fit(held_out.features, held_out.is_redeemed), True


def predict(model: ClassifierMixin, rows: Rows) -> Floats:
    """Probabilities of redemption, shape (len(rows),)."""
    return np.asarray(model.predict_proba(rows.features)[:, 1], dtype=np.float64)


def judge(rows: Rows, probability: Floats, seed: int) -> Judged:
    """Predictions beside what happened."""
    return Judged(rows.is_redeemed, probability, rows.decision, seed)


def baseline_predictions(split: Split, seed: int) -> Mapping[str, Floats]:
    """What a model has to beat in the validation period: popularity, and what is tried first."""
    return {
        "popularity": popularity(split.fit, split.validation),
        "logistic": plain_logistic(split.fit, split.validation, seed),
    }


def _write(
    history: History,
    split: Split,
    finished: Finished,
    order: Order,
    out: Path,
    created_at: datetime,
    progress: Progress,
) -> ModelCard:
    progress.stage("measuring", 4)
    model, validation, seed = finished.model, split.validation, order.seed
    artefact = model_bytes(model)
    judged = judge(validation, predict(model, validation), seed)
    progress.step("predictions")
    figures, bounds = measure(judged), intervals(judged)
    progress.step("intervals")
    baselines = baseline_predictions(split, seed)
    progress.step("baselines")
    threshold, why = _threshold(order, split.fit.base_rate)
    model_sha256 = sha256(artefact).hexdigest()
    trees = finished.trees
    card = ModelCard(
        name=finished.name,
        version=version_of(finished.name, model_sha256),
        created_at=created_at,
        features=FEATURE_NAMES,
        encoding_version=ENCODING_VERSION,
        data_sha256=digest(history),
        seed=seed,
        fit=split.fit.window,
        calibration=split.calibration.window if len(split.calibration) else None,
        validation=validation.window,
        is_calibrated=finished.is_calibrated,
        metrics=figures,
        intervals=bounds,
        baselines={name: measure(judge(validation, predicted, seed)) for name, predicted in baselines.items()},
        threshold=threshold,
        threshold_reason=why,
        settings=finished.settings,
        libraries={
            "python": python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn_version,
            "skops": skops.__version__,
        },
        model_sha256=model_sha256,
        self_check=_self_check(model),
        distributions=_distributions(judged, validation.features),
        intended_use=INTENDED_USE,
        limits=LIMITS,
        data_licence=order.data_licence,
        linear=finished.linear,
        linear_weight=finished.linear_weight,
        trees_sha256=None if trees is None else sha256(trees).hexdigest(),
    )
    write_artefact(out, artefact, card, trees)
    progress.step("files")
    return card


def _finished(fitted: Fitted) -> Finished:
    logistic, boosted = (fitted.parts.get(name) for name in KINDS)
    return Finished(
        str(fitted.choice.name),
        fitted.model,
        linear=None if logistic is None else linear_form(logistic),
        trees=None if boosted is None else _tree_bytes(boosted),
        linear_weight=fitted.choice.weight,
        settings={str(name): dict(settings) for name, settings in fitted.choice.settings.items()},
        is_calibrated=fitted.is_calibrated,
    )


def _tree_bytes(model: ClassifierMixin) -> bytes | None:
    form = trees_form(model)
    return None if form is None else trees_to_bytes(form)


def _self_check(model: ClassifierMixin) -> tuple[float, ...]:
    customers, coupons = probe()
    rows = [model.predict_proba(encode(customer[np.newaxis], coupons))[:, 1] for customer in customers]
    return tuple(np.concatenate(rows).tolist())


def _distributions(judged: Judged, features: Floats) -> Mapping[str, Distribution]:
    step = -(-len(judged) // DRIFT_ROWS)
    columns = {name: distribution(features[::step, index]) for index, name in enumerate(FEATURE_NAMES)}
    return {"score": distribution(judged.probability[::step]), **columns}


def _threshold(order: Order, base_rate: float) -> tuple[float, str]:
    """Where an offer is expected to bring what it costs: p x value = cost."""
    if order.cost_over_value is not None:
        share = order.cost_over_value
        return share, f"an offer costs {share:.1%} of what a redemption is worth: above that it is expected to pay"
    base_rate = round(base_rate, 4)
    return base_rate, (
        f"{base_rate:.1%} of the coupons handed out without a model were redeemed, so an offer is taken to cost that "
        "share of a redemption's worth: above it, it is expected to do better than those"
    )


def _told(card: ModelCard, progress: Progress) -> ModelCard:
    for line in _summary(card):
        progress.say(line)
    return card


def _summary(card: ModelCard) -> list[str]:
    def figures(name: str, found: Figures) -> str:
        return (
            f"{name}: ROC-AUC {found['roc_auc']:.3f}, PR-AUC {found['pr_auc']:.3f}, log-loss {found['log_loss']:.4f} "
            f"(base rate {found['log_loss_of_base_rate']:.4f}), hit@1 {found['hit_at_1']:.3f}, "
            f"mean prediction / base {found['mean_prediction_over_base']:.2f}"
        )

    rivals = [figures(name, found) for name, found in card.baselines.items()]
    return [figures(card.version, card.metrics), *rivals, f"threshold {card.threshold}: {card.threshold_reason}"]
