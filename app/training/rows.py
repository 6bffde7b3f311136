"""Training rows: each coupon handed out, as it looked on that day, and whether it was redeemed."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from errno import EEXIST
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.domain.features import FEATURE_NAMES, Floats, coupon_matrix, customer_matrix, encode
from app.domain.history import Days, History, Ints, Past, before
from app.domain.model_card import DataWindow
from app.errors import DatasetRefused

WARM_UP_DAYS = 90  # at the start of a history everybody looks new
OUTCOME_DAYS = 14  # until then a coupon may still be redeemed, so the outcome is not known on the day of a cut
FIT_SHARE, CALIBRATION_SHARE = 0.7, 0.1  # of the days; the rest is for validation
ROWS_AT_ONCE = 50_000
NO_ROWS = "the history holds no coupon that was handed out: there is nothing to learn from"

Chosen = slice | NDArray[np.bool_] | Ints


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Coupons handed out, one row each, in the order of their days.

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
    def has_both(self) -> bool:
        """Whether some were redeemed and some were not."""
        return 0 < int(self.is_redeemed.sum()) < len(self)

    @property
    def window(self) -> DataWindow:
        """What these rows are, for the card."""
        first, last = self.day.min().item(), self.day.max().item()
        return DataWindow(len(self), int(self.is_redeemed.sum()), first, last)

    def only(self, chosen: Chosen) -> "Rows":
        """Some of the rows; of a slice, a view of them."""
        return Rows(
            self.features[chosen],
            self.is_redeemed[chosen],
            self.day[chosen],
            self.customer[chosen],
            self.coupon[chosen],
            self.decision[chosen],
        )

    def between(self, first: np.datetime64, end: np.datetime64) -> "Rows":
        """Those from the first day to before the other: a view."""
        return self.only(slice(*np.searchsorted(self.day, [first, end])))


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Three parts that follow each other in time."""

    fit: Rows
    calibration: Rows
    validation: Rows


def make_rows(history: History, on_progress: Callable[[int, int], None] = lambda done, total: None) -> Rows:
    """One row for each coupon issue, with what was known of the customer before that day.

    `on_progress` is told of rows done, and of how many there are.
    """
    issues = history.issues
    order = np.argsort(issues.day, kind="stable")
    customer, coupon, day = issues.customer[order], issues.coupon[order], issues.day[order]
    past, coupons = Past(history), coupon_matrix(history.coupons)
    features = np.empty((len(order), len(FEATURE_NAMES)))
    for start in range(0, len(order), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        customers = customer_matrix(past.contexts(customer[part], day[part]))
        features[part] = encode(customers, coupons[coupon[part]])
        on_progress(min(start + ROWS_AT_ONCE, len(order)), len(order))
    decision = np.unique(day.astype(np.int64) * len(history.customers.ids) + customer, return_inverse=True)[1]
    return Rows(features, issues.is_redeemed[order], day, customer, coupon, decision.astype(np.int64))


def split_in_time(rows: Rows) -> Split:
    """Never at random: a model is used on days that come after those it was made from.

    Of the last days the outcome is not known yet; they are in no part. Raises DatasetRefused where a part lacks coupons
    that were redeemed, or such that were not.
    """
    if not len(rows):
        raise DatasetRefused(NO_ROWS)
    first, end = rows.day[0], end_of_outcomes(rows)
    days = int((end - first).astype(np.int64)) - WARM_UP_DAYS
    start = first + WARM_UP_DAYS
    calibration_day = start + round(days * FIT_SHARE)
    validation_day = start + round(days * (FIT_SHARE + CALIBRATION_SHARE))
    split = Split(
        fit=rows.between(start, calibration_day - OUTCOME_DAYS),
        calibration=rows.between(calibration_day, validation_day - OUTCOME_DAYS),
        validation=rows.between(validation_day, end),
    )
    for name, part in (("fit", split.fit), ("calibration", split.calibration), ("validation", split.validation)):
        _check_both(name, part, rows)
    return split


def split_at(rows: Rows, day: np.datetime64) -> Split:
    """For a model that was made elsewhere, of what was known before `day`: nothing to calibrate it on.

    Raises DatasetRefused where a part lacks coupons that were redeemed, or such that were not.
    """
    if not len(rows):
        raise DatasetRefused(NO_ROWS)
    fit = rows.between(rows.day[0], day - OUTCOME_DAYS + 1)
    split = Split(fit, calibration=rows.only(slice(0)), validation=rows.between(day, end_of_outcomes(rows)))
    for name, part in (("fit", split.fit), ("validation", split.validation)):
        _check_both(name, part, rows)
    return split


def end_of_outcomes(rows: Rows) -> np.datetime64:
    """The first day on which a coupon that was handed out may still be redeemed. There is one row at least."""
    return np.datetime64(rows.day[-1] + 1 - OUTCOME_DAYS, "D")


def _check_both(name: str, part: Rows, rows: Rows) -> None:
    if part.has_both:
        return
    raise DatasetRefused(
        f"the {name} period has {len(part):,} coupons, {int(part.is_redeemed.sum()):,} of them redeemed: it needs both "
        f"kinds; the history goes from {rows.day[0]} to {rows.day[-1]}, and its first {WARM_UP_DAYS} days are left out"
    )


def write_rows(history: History, day: np.datetime64, path: Path) -> int:
    """Write a CSV file, whole or not at all, with the rows whose outcome was known before `day`; how many there are.

    Raises OSError, also where something is there that is no ordinary file.
    """
    if path.exists() and not path.is_file():
        raise FileExistsError(EEXIST, "there is something else than an ordinary file", str(path))
    known = before(history, day)
    rows = make_rows(known)
    rows = rows.only(rows.day + OUTCOME_DAYS <= day)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("customer_id", "coupon_id", "issued_on", "decision", *FEATURE_NAMES, "is_redeemed"))
            writer.writerows(_fields(known, rows))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return len(rows)


def _fields(history: History, rows: Rows) -> Iterator[tuple[object, ...]]:
    ids, coupons = history.customers.ids, history.coupons
    for index in range(len(rows)):
        who, what = ids[rows.customer[index]], coupons[rows.coupon[index]].coupon_id
        head = (who, what, rows.day[index], rows.decision[index])
        yield (*head, *rows.features[index].tolist(), int(rows.is_redeemed[index]))


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
