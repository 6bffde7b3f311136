"""What became of the coupons of a history, in the order of time."""

from collections.abc import Iterator
from datetime import date

import numpy as np

from app.domain.history import History, day_after
from app.errors import DatasetRefused
from app.training.rows import OUTCOME_DAYS


def outcomes(history: History) -> Iterator[tuple[date, bool]]:
    """The day on which each coupon was handed out, and whether it was redeemed within 14 days.

    Coupons whose 14 days are not over at the end of the history are left out. Raises DatasetRefused where none is left.
    """
    issues = history.issues
    if not len(issues.day):
        raise DatasetRefused("the history holds no coupon that was handed out: there is nothing to watch")
    end = day_after(history)
    order = np.argsort(issues.day, kind="stable")
    order = order[issues.day[order] + OUTCOME_DAYS < end]
    if not len(order):
        raise DatasetRefused(
            f"all coupons were handed out in the last {OUTCOME_DAYS} days before {end}: their outcomes are still open"
        )
    day, redeemed_on = issues.day[order], issues.redeemed_on[order]
    is_redeemed = redeemed_on - day <= np.timedelta64(OUTCOME_DAYS, "D")  # never, where it was not redeemed
    return zip(day.astype(object).tolist(), is_redeemed.tolist(), strict=True)
