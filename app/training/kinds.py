"""The kinds of models that can be trained, and the settings that trials draw from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from app.domain.features import Floats
from app.training.names import ModelName

Settings = Mapping[str, float | int]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of model: how to make it of settings and a seed, its usual settings, and other ones at random."""

    build: Callable[[Settings, int], ClassifierMixin]
    usual: Settings
    draw: Callable[[np.random.Generator], Settings]


def _logistic(settings: Settings, seed: int) -> ClassifierMixin:
    # Not scaled: the features are of one size, and a scaled copy of a million rows is a gigabyte.
    return LogisticRegression(solver="newton-cholesky", C=settings["C"], max_iter=200, random_state=seed)


def _trees(settings: Settings, seed: int) -> ClassifierMixin:
    return HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=seed)


def _draw_logistic(rng: np.random.Generator) -> Settings:
    return {"C": float(10 ** rng.uniform(-1, 3))}


def _draw_trees(rng: np.random.Generator) -> Settings:
    return {
        "max_iter": int(rng.choice([100, 150, 200, 300])),
        "learning_rate": float(rng.choice([0.03, 0.05, 0.08])),
        "max_leaf_nodes": int(rng.choice([7, 15, 31])),
        "min_samples_leaf": int(rng.choice([20, 60, 150])),
        "l2_regularization": float(rng.choice([0.0, 1.0, 10.0])),
    }


KINDS: Mapping[ModelName, Kind] = {
    ModelName.LOGISTIC: Kind(_logistic, {"C": 10.0}, _draw_logistic),
    ModelName.HIST_GRADIENT_BOOSTING: Kind(
        _trees,
        {
            "max_iter": 200,
            "learning_rate": 0.05,
            "max_leaf_nodes": 15,
            "min_samples_leaf": 60,
            "l2_regularization": 1.0,
        },
        _draw_trees,
    ),
}
BLEND_WEIGHTS = (0.25, 0.5, 0.75)  # of the logistic part; the rest is the trees'


def blend(logistic: ClassifierMixin, trees: ClassifierMixin, weight: float, features: Floats) -> ClassifierMixin:
    """The weighted mean of two fitted models' probabilities, as one model; `features` are two rows of any customers."""
    parts = [("logistic", FrozenEstimator(logistic)), ("trees", FrozenEstimator(trees))]
    voting = VotingClassifier(parts, voting="soft", weights=[weight, 1 - weight])
    return voting.fit(features[:2], np.array([0, 1]))
