"""What a calibration by one sigmoid does to a model: its log odds stretched and shifted."""

from typing import NamedTuple

from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator


class Uncalibrated(NamedTuple):
    """A model within its calibration: log odds = slope x its own log odds + offset."""

    model: ClassifierMixin
    slope: float = 1.0
    offset: float = 0.0


def uncalibrated(model: ClassifierMixin) -> Uncalibrated | None:
    """The model itself where it has no calibration; None where it has another than one sigmoid over a frozen model."""
    if not isinstance(model, CalibratedClassifierCV):
        return Uncalibrated(model)
    part, *others = model.calibrated_classifiers_
    if others or part.method != "sigmoid" or not isinstance(part.estimator, FrozenEstimator):
        return None
    sigmoid = part.calibrators[0]
    return Uncalibrated(part.estimator.estimator, -float(sigmoid.a_), -float(sigmoid.b_))
