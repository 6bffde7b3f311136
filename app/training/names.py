"""What can be trained, by name: nothing here needs scikit-learn, so that the command line can say it."""

from enum import StrEnum


class ModelName(StrEnum):
    """The kinds of models; AUTO is whichever of the others is best inside the training period."""

    LOGISTIC = "logistic"
    HIST_GRADIENT_BOOSTING = "hist_gradient_boosting"
    BLEND = "blend"
    AUTO = "auto"
