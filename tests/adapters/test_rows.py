from collections.abc import Mapping
from datetime import date

import numpy as np
import pytest

from app.adapters.rows import (
    Shifted,
    context_from_row,
    coupon_from_row,
    product_from_row,
    shift_dates,
    shortest,
)
from app.domain.coupon import Coupon, CouponType, Product
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DepartmentNames

NAMES = DepartmentNames.with_aliases({"Sport": "Sports"})
DEFAULTS = CustomerContext("", Gender.UNKNOWN, 40, 20.5, 1, 2.5, 3, 4, 5)
SHIRT = Product("11", "Shirt", "", "", "", "", 7.12, "Men")
COUPON_ROW: Mapping[str, object] = {
    "coupon_id": 1,
    "coupon_type": "buy_more",
    "department": " sport",
    "discount": 14,
    "how_many_products_required": 3,
    "start_date": "2026-01-01",
    "end_date": "2026-12-31",
    "product_mean_price": 7.119999885559082,
    "products_available": 40,
}
PRODUCT_ROW: Mapping[str, object] = {
    "product_id": 11,
    "name": "Shirt",
    "category": "Men Shirts",
    "sizes": "S-XL",
    "vendor": "Northmoor",
    "description": "Blue.",
    "buy_price": 12.899999618530273,
    "department": "Men",
}
CUSTOMER_ROW: Mapping[str, object] = {
    "customer_id": 7,
    "gender": "F",
    "age": 57,
    "mean_buy_price": 34.220001220703125,
    "total_coupons_used": 15,
    "mean_discount_received": 22.329999923706055,
    "unique_products_bought": 126,
    "unique_products_bought_with_coupons": 23,
    "total_items_bought": 175,
}


def test_a_row_is_a_coupon_with_the_canonical_department() -> None:
    assert coupon_from_row(COUPON_ROW, (SHIRT,), NAMES) == Coupon(
        "1", CouponType.BUY_MORE, "Sports", 14.0, 3, date(2026, 1, 1), date(2026, 12, 31), 7.12, 40, (SHIRT,)
    )


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"coupon_type": None}, "coupon 1: coupon_type must not be empty"),
        (
            {"coupon_type": "gift"},
            "coupon 1: coupon_type must be one of buy_more, buy_all, just_discount, department",
        ),
        ({"department": None}, "coupon 1: department must not be empty"),
        ({"department": 5}, "coupon 1: department must be text"),
        ({"discount": None}, "coupon 1: discount must not be empty"),
        ({"discount": 500}, "coupon 1: discount must be from 0 to 100"),
        ({"start_date": None}, "coupon 1: start_date must not be empty"),
        ({"start_date": "1.1.2026"}, "coupon 1: start_date must be a date like 2010-12-31"),
        ({"end_date": "2026-02-30"}, "coupon 1: end_date must be a date like 2010-12-31"),
        ({"end_date": "2025-12-31"}, "coupon 1: end_date must not be before start_date"),
        ({"product_mean_price": float("nan")}, "coupon 1: product_mean_price must be a number"),
        ({"products_available": None}, "coupon 1: products_available must not be empty"),
    ],
)
def test_a_row_that_is_no_coupon_is_refused_with_a_sentence(wrong: Mapping[str, object], sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        coupon_from_row({**COUPON_ROW, **wrong}, (), NAMES)

    assert str(refused.value) == sentence


def test_a_row_is_a_product() -> None:
    assert product_from_row(PRODUCT_ROW) == Product(
        "11", "Shirt", "Men Shirts", "S-XL", "Northmoor", "Blue.", 12.9, "Men"
    )


@pytest.mark.parametrize("price", [None, float("nan"), float("inf")])
def test_a_product_may_lack_everything_but_its_id(price: float | None) -> None:
    row = dict.fromkeys(PRODUCT_ROW) | {"product_id": 11, "buy_price": price}

    assert product_from_row(row) == Product("11", "", "", "", "", "", 0.0, "")


def test_a_row_is_a_context() -> None:
    assert context_from_row(CUSTOMER_ROW, DEFAULTS) == CustomerContext(
        "7", Gender.FEMALE, 57, 34.22, 15, 22.33, 126, 23, 175
    )


@pytest.mark.parametrize("gender", [None, "", "x"])
def test_a_context_takes_the_defaults_for_what_it_lacks(gender: str | None) -> None:
    row = dict.fromkeys(CUSTOMER_ROW) | {"customer_id": "A-7", "gender": gender}

    assert context_from_row(row, DEFAULTS) == CustomerContext("A-7", Gender.UNKNOWN, 40, 20.5, 1, 2.5, 3, 4, 5)


@pytest.mark.parametrize("value", [0.0, 12.9, 7.12, 16777216.0, 0.1, 3.4028235e38, 1e-45])
def test_the_shortest_number_is_what_was_written_before_the_table_rounded_it(value: float) -> None:
    assert shortest(float(np.float32(value))) == value


def dates(*pairs: tuple[str, str]) -> list[Mapping[str, object]]:
    return [{"coupon_id": 1, "start_date": start, "end_date": end} for start, end in pairs]


@pytest.mark.parametrize(
    ("today", "years"),
    [
        (date(2010, 6, 30), 0),
        (date(2010, 12, 31), 0),
        (date(2011, 1, 1), 1),
        (date(2026, 12, 31), 16),
        (date(2027, 1, 1), 17),
    ],
)
def test_expired_coupons_move_by_the_fewest_years(today: date, years: int) -> None:
    rows = dates(("2010-01-01", "2010-03-31"), ("2010-01-01", "2010-12-31"))

    assert shift_dates(rows, today) == Shifted(
        dates(
            (f"{2010 + years}-01-01", f"{2010 + years}-03-31"),
            (f"{2010 + years}-01-01", f"{2010 + years}-12-31"),
        ),
        years,
    )


def test_coupons_of_several_years_move_together() -> None:
    rows = dates(("2009-12-01", "2010-01-31"), ("2008-01-01", "2008-12-31"))

    assert shift_dates(rows, date(2026, 2, 1)) == Shifted(
        dates(("2026-12-01", "2027-01-31"), ("2025-01-01", "2025-12-31")), 17
    )


def test_the_29th_of_february_becomes_the_28th_where_there_is_none() -> None:
    rows = dates(("2024-02-29", "2024-02-29"))

    assert shift_dates(rows, date(2025, 2, 28)) == Shifted(dates(("2025-02-28", "2025-02-28")), 1)
    assert shift_dates(rows, date(2025, 3, 1)) == Shifted(dates(("2026-02-28", "2026-02-28")), 2)
    assert shift_dates(rows, date(2028, 2, 29)) == Shifted(dates(("2028-02-29", "2028-02-29")), 4)


def test_no_coupons_stay_where_they_are() -> None:
    assert shift_dates([], date(2026, 1, 1)) == Shifted([], 0)
