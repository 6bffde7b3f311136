"""Linear models as weights of the features: what the service scores with, instead of asking scikit-learn."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from app.domain.features import Floats
from app.domain.model_card import LinearForm
from app.training.calibration import uncalibrated


def linear_form(model: ClassifierMixin) -> LinearForm | None:
    """The weights with which the log odds of the model's second class are a sum of features; None if it is not linear.

    Linear are a LogisticRegression, one behind a StandardScaler in a Pipeline, and their calibration by one sigmoid.
    """
    found = uncalibrated(model)
    line = None if found is None else _line(found.model)
    if found is None or line is None:
        return None
    weights, intercept = line
    return LinearForm(found.slope * intercept + found.offset, tuple((found.slope * weights).tolist()))


def _line(model: ClassifierMixin) -> tuple[Floats, float] | None:
    """Weights, shape (F,), and intercept of the log odds, on rows that are not scaled."""
    match [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]:
        case [LogisticRegression() as logistic]:
            return np.asarray(logistic.coef_[0]), float(logistic.intercept_[0])
        case [StandardScaler(with_mean=True, with_std=True) as scaler, LogisticRegression() as logistic]:
            weights = np.asarray(logistic.coef_[0] / scaler.scale_)
            return weights, float(logistic.intercept_[0] - weights @ scaler.mean_)
    return None
