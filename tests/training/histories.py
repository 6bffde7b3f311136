"""Histories that lack something."""

from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray

from app.domain.history import NEVER, CouponIssues, History, Purchases


def some_issues(history: History, chosen: slice | NDArray[np.bool_]) -> History:
    """With some of the coupons that were handed out."""
    columns = (getattr(history.issues, one.name)[chosen] for one in fields(CouponIssues))
    return replace(history, issues=CouponIssues(*columns))


def never_issued(history: History) -> History:
    return some_issues(history, slice(0))


def redeemed_never(history: History) -> History:
    return replace(history, issues=replace(history.issues, redeemed_on=np.full_like(history.issues.redeemed_on, NEVER)))


def redeemed_always(history: History) -> History:
    return replace(history, issues=replace(history.issues, redeemed_on=history.issues.day + 1))


def nothing_bought(history: History) -> History:
    columns = (getattr(history.purchases, one.name)[:0] for one in fields(Purchases))
    return replace(history, purchases=Purchases(*columns))
