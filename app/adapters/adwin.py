"""ChangeDetector by ADWIN: a window that is cut where its two parts differ too much to have one mean.

Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, 2007; as river has it.
"""

from collections.abc import Callable

from app.domain.redemption import ChangeDetector
from app.errors import DatasetRefused

CONFIDENCE = 0.0002  # with the 0.002 of river, coupons used in bursts gave a false alarm in one of 14 steady histories


def adwin() -> Callable[[], ChangeDetector]:
    """Makes detectors. Raises DatasetRefused where river is not installed."""
    try:
        from river.drift import ADWIN
    except ImportError as error:
        raise DatasetRefused("to look for changes in the rate of redemptions, pip install river") from error

    class Adwin:
        def __init__(self) -> None:
            self._window = ADWIN(delta=CONFIDENCE)

        def has_changed(self, outcome: float) -> bool:
            self._window.update(outcome)
            return bool(self._window.drift_detected)

    return Adwin
