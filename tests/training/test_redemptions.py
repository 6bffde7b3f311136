"""What became of the coupons of a history, in the order of time."""

from datetime import date

import numpy as np
import pytest

from app.domain.coupon import Coupon
from app.domain.customer import Gender
from app.domain.history import CouponIssues, Customers, History, Purchases
from app.errors import DatasetRefused
from app.training.redemptions import outcomes
from tests.builders import COUPON


def days(*texts: str) -> np.ndarray:
    return np.array(texts, dtype="datetime64[D]")


def history(issued: np.ndarray, redeemed: np.ndarray) -> History:
    none, floats = np.empty(0, dtype=np.int64), np.empty(0)
    zeros = np.zeros(len(issued), dtype=np.int64)
    coupons: list[Coupon] = [COUPON]
    return History(
        Customers(("1",), (Gender.FEMALE,), days("1990-01-01")),
        coupons,
        Purchases(none, days(), none, none, floats, none),
        CouponIssues(zeros, zeros, issued, redeemed),
    )


def test_outcomes_come_in_the_order_of_the_days_and_late_redemptions_count_as_none() -> None:
    issued = days("2026-01-03", "2026-01-01", "2026-01-02", "2026-03-01")
    redeemed = days("2026-01-17", "2026-01-16", "NaT", "NaT")

    assert list(outcomes(history(issued, redeemed))) == [
        (date(2026, 1, 1), False),
        (date(2026, 1, 2), False),
        (date(2026, 1, 3), True),
    ]


def test_a_coupon_whose_days_are_not_over_has_no_outcome_yet() -> None:
    issued = days("2026-01-01", "2026-01-02", "2026-01-16")

    assert list(outcomes(history(issued, days("NaT", "NaT", "NaT")))) == [
        (date(2026, 1, 1), False),
        (date(2026, 1, 2), False),
    ]


@pytest.mark.parametrize(
    ("issued", "problem"),
    [(days(), "no coupon that was handed out"), (days("2026-01-01", "2026-01-09"), "still open")],
)
def test_a_history_without_outcomes_is_refused(issued: np.ndarray, problem: str) -> None:
    with pytest.raises(DatasetRefused, match=problem):
        outcomes(history(issued, np.full(len(issued), np.datetime64("NaT", "D"))))
