"""Linear models as weights of the features: what the service scores with, instead of asking scikit-learn."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from app.domain.features import Floats
from app.domain.model_card import LinearForm


def linear_form(model: ClassifierMixin) -> LinearForm | None:
    """The weights with which the log odds of the model's second class are a sum of features; None if it is not linear.

    Linear are a Pipeline of StandardScaler and LogisticRegression, and its calibration by one sigmoid.
    """
    line = _calibrated_line(model) if isinstance(model, CalibratedClassifierCV) else _line(model)
    return None if line is None else LinearForm(float(line[1]), tuple(map(float, line[0])))


def _calibrated_line(model: CalibratedClassifierCV) -> tuple[Floats, float] | None:
    part, *others = model.calibrated_classifiers_
    if others or part.method != "sigmoid" or not isinstance(part.estimator, FrozenEstimator):
        return None
    line = _line(part.estimator.estimator)
    if line is None:
        return None
    sigmoid = part.calibrators[0]
    return -sigmoid.a_ * line[0], -(sigmoid.a_ * line[1] + sigmoid.b_)


def _line(model: ClassifierMixin) -> tuple[Floats, float] | None:
    """Weights, shape (F,), and intercept of the log odds, on rows that are not scaled."""
    if not isinstance(model, Pipeline):
        return None
    match [step for _, step in model.steps]:
        case [StandardScaler(with_mean=True, with_std=True) as scaler, LogisticRegression() as logistic]:
            weights = np.asarray(logistic.coef_[0] / scaler.scale_)
            return weights, float(logistic.intercept_[0] - weights @ scaler.mean_)
    return None
