"""Which coupons may be offered today."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.coupon import Coupon
from app.domain.eligibility import Refusal, first_refusal, screen
from app.domain.features import COUPON_COLUMNS, coupon_matrix
from tests.builders import COUPON, TODAY

YESTERDAY, TOMORROW = TODAY - timedelta(days=1), TODAY + timedelta(days=1)

days = st.dates(TODAY - timedelta(days=3), TODAY + timedelta(days=3))
coupons = st.builds(
    Coupon,
    coupon_id=st.uuids().map(str),
    type=st.just(COUPON.type),
    department=st.just(COUPON.department),
    discount=st.floats(0, 100),
    how_many_products_required=st.integers(-1, 5),
    start_date=days,
    end_date=days,
    product_mean_price=st.floats(0, 1000),
    products_available=st.integers(-1, 2),
)


@pytest.mark.parametrize("today", [COUPON.start_date, TODAY, COUPON.end_date])
def test_a_coupon_is_valid_from_its_first_to_its_last_day(today: date) -> None:
    assert first_refusal(COUPON, today) is None


def test_refuses_before_the_first_day() -> None:
    assert first_refusal(replace(COUPON, start_date=TOMORROW), TODAY) is Refusal.NOT_STARTED


def test_refuses_after_the_last_day() -> None:
    assert first_refusal(replace(COUPON, end_date=YESTERDAY), TODAY) is Refusal.EXPIRED


@pytest.mark.parametrize("products_available", [0, -1])
def test_refuses_what_is_sold_out(products_available: int) -> None:
    assert first_refusal(replace(COUPON, products_available=products_available), TODAY) is Refusal.OUT_OF_STOCK


def test_the_first_rule_that_refuses_gives_the_reason() -> None:
    doubly_refused = replace(COUPON, end_date=YESTERDAY, products_available=0)

    assert first_refusal(doubly_refused, TODAY) is Refusal.EXPIRED


def test_screening_tells_the_candidates_from_the_refused() -> None:
    valid, cheap = COUPON, replace(COUPON, coupon_id="23", discount=50.0)
    expired, sold_out = replace(COUPON, end_date=YESTERDAY), replace(COUPON, products_available=0)

    screening = screen((expired, valid, sold_out, cheap), TODAY)

    assert screening.candidates == (valid, cheap)
    assert screening.refused == ((expired, Refusal.EXPIRED), (sold_out, Refusal.OUT_OF_STOCK))
    np.testing.assert_array_equal(screening.features, coupon_matrix((valid, cheap)))


def test_nothing_to_screen_leaves_nothing() -> None:
    screening = screen((), TODAY)

    assert (screening.candidates, screening.refused) == ((), ())
    assert screening.features.shape == (0, len(COUPON_COLUMNS))


@given(st.lists(coupons, max_size=8))
def test_every_coupon_is_a_candidate_or_refused(shelf: Sequence[Coupon]) -> None:
    screening = screen(shelf, TODAY)
    refused = [coupon for coupon, _ in screening.refused]

    assert [coupon for coupon in shelf if coupon not in refused] == list(screening.candidates)
    assert [coupon for coupon in shelf if coupon not in screening.candidates] == refused
    assert len(screening.features) == len(screening.candidates)


@given(coupons)
def test_a_candidate_is_valid_today_and_in_stock(coupon: Coupon) -> None:
    is_candidate = coupon.start_date <= TODAY <= coupon.end_date and coupon.products_available > 0

    assert (first_refusal(coupon, TODAY) is None) is is_candidate
