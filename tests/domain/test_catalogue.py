"""The shop's coupons, one snapshot for each version of them."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.domain.coupon import Coupon, CouponType, Product
from app.domain.eligibility import Refusal
from tests.builders import COUPON, PRODUCT, TODAY, catalogue

OTHER = replace(COUPON, coupon_id="23", department="Women")
OTHER_FIELDS = [
    replace(COUPON, coupon_id="24"),
    replace(COUPON, type=CouponType.BUY_ALL),
    replace(COUPON, department="Boys"),
    replace(COUPON, discount=15.0),
    replace(COUPON, how_many_products_required=4),
    replace(COUPON, start_date=date(2026, 1, 2)),
    replace(COUPON, end_date=date(2026, 12, 30)),
    replace(COUPON, product_mean_price=7.13),
    replace(COUPON, products_available=41),
    replace(COUPON, products=()),
    replace(COUPON, products=(PRODUCT, replace(PRODUCT, product_id="34"))),
]
OTHER_PRODUCTS = [
    replace(PRODUCT, product_id="34"),
    replace(PRODUCT, name="Other"),
    replace(PRODUCT, category="Other"),
    replace(PRODUCT, sizes="Other"),
    replace(PRODUCT, vendor="Other"),
    replace(PRODUCT, description="Other"),
    replace(PRODUCT, buy_price=8.0),
    replace(PRODUCT, department="Other"),
]


def test_the_examples_change_every_field() -> None:
    changed_in_coupons = {
        name for name in Coupon.__slots__ for other in OTHER_FIELDS if getattr(other, name) != getattr(COUPON, name)
    }
    changed_in_products = {
        name for name in Product.__slots__ for other in OTHER_PRODUCTS if getattr(other, name) != getattr(PRODUCT, name)
    }

    assert changed_in_coupons == set(Coupon.__slots__)
    assert changed_in_products == set(Product.__slots__)


def test_the_same_coupons_are_the_same_version() -> None:
    copy = replace(COUPON, products=(replace(PRODUCT),))

    assert catalogue(copy, replace(OTHER)).version == catalogue(COUPON, OTHER).version


@pytest.mark.parametrize("changed", OTHER_FIELDS)
def test_any_change_of_a_coupon_is_another_version(changed: Coupon) -> None:
    assert catalogue(changed, OTHER).version != catalogue(COUPON, OTHER).version


@pytest.mark.parametrize("changed", OTHER_PRODUCTS)
def test_any_change_of_a_product_is_another_version(changed: Product) -> None:
    assert catalogue(replace(COUPON, products=(changed,))).version != catalogue(COUPON).version


def test_one_coupon_more_or_less_is_another_version() -> None:
    versions = {catalogue(COUPON).version, catalogue(OTHER).version, catalogue(COUPON, OTHER).version}

    assert len(versions) == 3


def test_holds_its_coupons_by_id() -> None:
    shop = catalogue(COUPON, OTHER)

    assert (len(shop), dict(shop.coupons)) == (2, {"22": COUPON, "23": OTHER})


@pytest.mark.parametrize("spelling", ["Men", "men", "MEN"])
def test_screens_the_coupons_of_the_department_alone(spelling: str) -> None:
    screening = catalogue(COUPON, OTHER).screening(spelling, TODAY)

    assert (screening.candidates, screening.refused) == ((COUPON,), ())


def test_a_department_without_coupons_is_empty() -> None:
    screening = catalogue(COUPON).screening("Garden", TODAY)

    assert (screening.candidates, screening.refused) == ((), ())


def test_a_screening_is_made_once_a_day() -> None:
    shop = catalogue(COUPON)

    assert shop.screening("Men", TODAY) is shop.screening("men", TODAY)


def test_another_day_is_screened_anew() -> None:
    shop = catalogue(COUPON)
    last_day, day_after = COUPON.end_date, COUPON.end_date + timedelta(days=1)

    screenings = [shop.screening("Men", day) for day in (last_day, day_after, last_day)]

    assert [screening.candidates for screening in screenings] == [(COUPON,), (), (COUPON,)]
    assert screenings[1].refused == ((COUPON, Refusal.EXPIRED),)
