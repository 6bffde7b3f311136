"""Trains a model: split in time, unweighted, calibrated where it must be."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from platform import python_version

import numpy as np
import skops
from sklearn import __version__ as sklearn_version
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from app.domain.features import ENCODING_VERSION, FEATURE_NAMES, Floats
from app.domain.history import History
from app.domain.model_card import ModelCard
from app.domain.trees import trees_to_bytes
from app.training.artefact import model_bytes, write_artefact
from app.training.linear import linear_form
from app.training.metrics import measure, popularity
from app.training.rows import Rows, Split, digest, make_rows, split_in_time
from app.training.trees import trees_form

MEAN_OVER_BASE = (0.8, 1.25)  # a model whose mean prediction leaves this range of the base rate is calibrated


def _logistic(seed: int) -> ClassifierMixin:
    return Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression(max_iter=1000, random_state=seed))])


def _hist_gradient_boosting(seed: int) -> ClassifierMixin:
    return HistGradientBoostingClassifier(max_iter=200, learning_rate=0.05, early_stopping=False, random_state=seed)


MODELS: Mapping[str, Callable[[int], ClassifierMixin]] = {
    "logistic": _logistic,
    "hist_gradient_boosting": _hist_gradient_boosting,
}
DEFAULT_MODEL = "logistic"


def train(
    history: History,
    *,
    seed: int,
    out: Path,
    created_at: datetime,
    report: Callable[[str], None],
    name: str = DEFAULT_MODEL,
) -> ModelCard:
    """Make rows from the history, fit, measure on the last months, and write the model's files into `out`.

    `name` is one of MODELS. The same history and seed give the same model and metrics. `report` gets one line for each
    stage. Raises DatasetRefused for a history that is too small or too short, OSError where `out` cannot be written.
    """
    rows = make_rows(history)
    split = split_in_time(rows)
    report(
        f"{len(rows):,} coupons handed out, {split.fit.base_rate:.1%} of them redeemed; fitting on {len(split.fit):,}"
    )
    model, is_calibrated = fit(split, seed, name)
    report("calibrated on the months after" if is_calibrated else "no calibration needed")
    artefact, form = model_bytes(model), trees_form(model)
    trees = None if form is None else trees_to_bytes(form)
    card = _card(history, split, model, is_calibrated, seed, created_at, name, sha256(artefact).hexdigest())
    if trees is not None:
        card = replace(card, trees_sha256=sha256(trees).hexdigest())
    write_artefact(out, artefact, card, trees)
    report(_summary(card))
    return card


def fit(split: Split, seed: int, name: str = DEFAULT_MODEL) -> tuple[ClassifierMixin, bool]:
    """The fitted model, and whether it had to be calibrated: by a sigmoid, on the months after the fit."""
    model = MODELS[name](seed).fit(split.fit.features, split.fit.is_redeemed)
    held_out = split.calibration
    ratio = predict(model, held_out).mean() / held_out.base_rate
    if MEAN_OVER_BASE[0] <= ratio <= MEAN_OVER_BASE[1]:
        return model, False
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid")
    return calibrated.fit(held_out.features, held_out.is_redeemed), True


def predict(model: ClassifierMixin, rows: Rows) -> Floats:
    """Probabilities of redemption, shape (len(rows),)."""
    return np.asarray(model.predict_proba(rows.features)[:, 1], dtype=np.float64)


def _card(
    history: History,
    split: Split,
    model: ClassifierMixin,
    is_calibrated: bool,
    seed: int,
    created_at: datetime,
    name: str,
    model_sha256: str,
) -> ModelCard:
    base_rate = round(split.fit.base_rate, 4)
    return ModelCard(
        name=name,
        version=f"{name}-{model_sha256[:12]}",
        created_at=created_at,
        features=FEATURE_NAMES,
        encoding_version=ENCODING_VERSION,
        data_sha256=digest(history),
        seed=seed,
        fit=split.fit.window,
        calibration=split.calibration.window,
        validation=split.validation.window,
        is_calibrated=is_calibrated,
        metrics=measure(split.validation, predict(model, split.validation), seed),
        popularity=measure(split.validation, popularity(split.fit, split.validation), seed),
        threshold=base_rate,
        threshold_reason=(
            f"{base_rate:.1%} of the coupons handed out without a model were redeemed: "
            "an offer above it is expected to do better than those"
        ),
        libraries={
            "python": python_version(),
            "numpy": np.__version__,
            "scikit-learn": sklearn_version,
            "skops": skops.__version__,
        },
        model_sha256=model_sha256,
        linear=linear_form(model),
    )


def _summary(card: ModelCard) -> str:
    metrics, rival = card.metrics, card.popularity
    return (
        f"{card.version}: ROC-AUC {metrics['roc_auc']:.3f} (popularity {rival['roc_auc']:.3f}), "
        f"PR-AUC {metrics['pr_auc']:.3f} ({rival['pr_auc']:.3f}), "
        f"log-loss {metrics['log_loss']:.4f} (base rate {metrics['log_loss_of_base_rate']:.4f}), "
        f"mean prediction / base {metrics['mean_prediction_over_base']:.2f}, threshold {card.threshold}"
    )
