"""Training rows: each coupon handed out, as it looked on that day, and whether it was redeemed."""

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from app.domain.features import Floats, coupon_matrix, customer_matrix, encode
from app.domain.history import Days, History, Ints, contexts_as_of
from app.domain.model_card import DataWindow
from app.errors import DatasetRefused

WARM_UP_DAYS = 90  # at the start of a history everybody looks new
OUTCOME_DAYS = 14  # until then a coupon may still be redeemed, so the outcome is not known on the day of a cut
FIT_SHARE, CALIBRATION_SHARE = 0.7, 0.1  # of the days; the rest is for validation


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Coupons handed out, one row each.

    `features` has the shape (n, len(FEATURE_NAMES)), every other array (n,). Rows of one `decision` were one choice.
    """

    features: Floats
    is_redeemed: NDArray[np.bool_]
    day: Days
    customer: Ints
    coupon: Ints
    decision: Ints

    def __len__(self) -> int:
        return len(self.day)

    @property
    def base_rate(self) -> float:
        """Share of the rows that were redeemed."""
        return float(self.is_redeemed.mean())

    @property
    def window(self) -> DataWindow:
        """What these rows are, for the card."""
        first, last = self.day.min().item(), self.day.max().item()
        return DataWindow(len(self), int(self.is_redeemed.sum()), first, last)

    def only(self, chosen: NDArray[np.bool_]) -> "Rows":
        """Some of the rows."""
        return Rows(
            self.features[chosen],
            self.is_redeemed[chosen],
            self.day[chosen],
            self.customer[chosen],
            self.coupon[chosen],
            self.decision[chosen],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Three parts that follow each other in time."""

    fit: Rows
    calibration: Rows
    validation: Rows


def make_rows(history: History) -> Rows:
    """One row for each coupon issue, with what was known of the customer before that day."""
    issues = history.issues
    customers = customer_matrix(contexts_as_of(history, issues.customer, issues.day))
    coupons = coupon_matrix(history.coupons)[issues.coupon]
    choices = np.stack([issues.day.astype(np.int64), issues.customer])
    decision = np.unique(choices, axis=1, return_inverse=True)[1].ravel()
    return Rows(encode(customers, coupons), issues.is_redeemed, issues.day, issues.customer, issues.coupon, decision)


def split_in_time(rows: Rows) -> Split:
    """Never at random: a model is used on days that come after those it was made from.

    Raises DatasetRefused where a part lacks coupons that were redeemed, or such that were not.
    """
    if not len(rows):
        raise DatasetRefused("the history holds no coupon that was handed out: there is nothing to learn from")
    age = (rows.day - rows.day.min()).astype(np.int64)
    days = age.max() + 1 - WARM_UP_DAYS
    calibration_day = WARM_UP_DAYS + round(days * FIT_SHARE)
    validation_day = WARM_UP_DAYS + round(days * (FIT_SHARE + CALIBRATION_SHARE))
    split = Split(
        fit=rows.only((age >= WARM_UP_DAYS) & (age < calibration_day - OUTCOME_DAYS)),
        calibration=rows.only((age >= calibration_day) & (age < validation_day - OUTCOME_DAYS)),
        validation=rows.only(age >= validation_day),
    )
    for name, part in (("fit", split.fit), ("calibration", split.calibration), ("validation", split.validation)):
        if len(np.unique(part.is_redeemed)) < 2:
            raise DatasetRefused(f"the {name} period ({len(part)} coupons) needs redeemed coupons and unredeemed ones")
    return split


def digest(history: History) -> str:
    """sha256 of everything that a model is trained on."""
    customers, purchases, issues = history.customers, history.purchases, history.issues
    hashed = sha256()
    hashed.update(repr([replace(coupon, products=()) for coupon in history.coupons]).encode())
    hashed.update(repr([*customers.ids, *customers.genders]).encode())
    for array in (
        customers.born,
        purchases.customer,
        purchases.day,
        purchases.product,
        purchases.quantity,
        purchases.price,
        purchases.coupon,
        issues.customer,
        issues.coupon,
        issues.day,
        issues.redeemed_on,
    ):
        hashed.update(array.tobytes())
    return hashed.hexdigest()
