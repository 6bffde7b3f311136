"""What was known on a day does not depend on that day, on later ones, or on the order of rows."""

from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import Gender
from app.domain.history import (
    NEVER,
    CouponIssues,
    Customers,
    Days,
    History,
    Ints,
    Purchases,
    before,
    contexts_as_of,
    in_order,
)
from app.training.rows import write_rows

IDS = ("anna", "7", "bert")
CUT = 30  # the day as of which is asked, counted from the first
LAST = 60
FIRST_DAY = np.datetime64("2025-01-01", "D")
COUPONS = tuple(
    Coupon(
        str(number),
        CouponType.JUST_DISCOUNT,
        "Men",
        float(discount),
        1,
        FIRST_DAY.item(),
        (FIRST_DAY + LAST).item(),
        9.5,
        5,
    )
    for number, discount in enumerate((10, 25, 40))
)


class Line(NamedTuple):
    """A purchase: customer, day, product, quantity, cents, coupon."""

    customer: int
    day: int
    product: int
    quantity: int
    cents: int
    coupon: int


class Issue(NamedTuple):
    """A coupon handed out, and after how many days it was redeemed."""

    customer: int
    coupon: int
    day: int
    wait: int | None


def lines(first: int, last: int) -> st.SearchStrategy[list[Line]]:
    return st.lists(
        st.builds(
            Line,
            *(st.integers(0, 2), st.integers(first, last), st.integers(0, 3), st.integers(1, 5)),
            *(st.integers(0, 9999), st.integers(-1, 2)),
        ),
        max_size=12,
    )


def issues(first: int, last: int) -> st.SearchStrategy[list[Issue]]:
    waits = st.none() | st.integers(0, 30)
    return st.lists(
        st.builds(Issue, st.integers(0, 2), st.integers(0, 2), st.integers(first, last), waits),
        max_size=12,
        unique_by=lambda issue: issue[:3],
    )


def dates(offsets: list[int]) -> Days:
    return FIRST_DAY + np.array(offsets, dtype=np.int64)


def ints(values: list[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def history_of(bought: list[Line], issued: list[Issue]) -> History:
    redeemed = [NEVER if one.wait is None else FIRST_DAY + one.day + one.wait for one in issued]
    return History(
        Customers(
            IDS, (Gender.FEMALE, Gender.UNKNOWN, Gender.MALE), np.array(["1990-01-15", NEVER, "1950-12-31"], "M8[D]")
        ),
        COUPONS,
        Purchases(
            ints([line.customer for line in bought]),
            dates([line.day for line in bought]),
            ints([line.product for line in bought]),
            ints([line.quantity for line in bought]),
            np.array([line.cents / 100 for line in bought], dtype=np.float64),
            ints([line.coupon for line in bought]),
        ),
        CouponIssues(
            ints([one.customer for one in issued]),
            ints([one.coupon for one in issued]),
            dates([one.day for one in issued]),
            np.array(redeemed, dtype="datetime64[D]"),
        ),
    )


def written(history: History, day: np.datetime64) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_rows(history, day, path)
        return path.read_bytes()


@settings(max_examples=40)
@given(lines(0, CUT - 1), issues(0, CUT - 1), lines(CUT, LAST), issues(CUT, LAST), st.integers(CUT, LAST), st.randoms())
def test_whatever_happens_on_a_day_or_later_contexts_and_training_rows_as_of_it_stay(
    bought: list[Line],
    issued: list[Issue],
    later_bought: list[Line],
    later_issued: list[Issue],
    redeemed_later: int,
    random: Random,
) -> None:
    cut = FIRST_DAY + CUT
    other_end = [
        one if one.wait is not None and one.day + one.wait < CUT else one._replace(wait=redeemed_later - one.day)
        for one in issued
    ]
    all_bought, all_issued = [*bought, *later_bought], [*other_end, *later_issued]
    random.shuffle(all_bought)
    random.shuffle(all_issued)
    past, whole = history_of(bought, issued), history_of(all_bought, all_issued)
    customers = np.arange(len(IDS)).repeat(3)
    asked = np.tile(np.array([FIRST_DAY, cut - 7, cut]), len(IDS))

    assert contexts_as_of(whole, customers, asked) == contexts_as_of(past, customers, asked)
    assert contexts_as_of(before(whole, cut), customers, asked) == contexts_as_of(past, customers, asked)
    assert written(in_order(whole), cut) == written(in_order(past), cut)


@settings(max_examples=40)
@given(lines(0, LAST), issues(0, LAST), st.randoms())
def test_the_order_of_rows_does_not_matter(bought: list[Line], issued: list[Issue], random: Random) -> None:
    usual = history_of(bought, issued)
    random.shuffle(bought)
    random.shuffle(issued)
    other = history_of(bought, issued)
    everybody = np.arange(len(IDS))
    day = FIRST_DAY + LAST + 31

    assert contexts_as_of(other, everybody, np.full(3, day)) == contexts_as_of(usual, everybody, np.full(3, day))
    assert written(in_order(other), day) == written(in_order(usual), day)
