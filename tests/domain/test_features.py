"""The encoding that training and serving share."""

from dataclasses import replace
from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.features import (
    COUPON_COLUMNS,
    CUSTOMER_COLUMNS,
    FEATURE_NAMES,
    PRICE_GAP,
    coupon_matrix,
    customer_matrix,
    encode,
)

CUSTOMER = CustomerContext("1", Gender.FEMALE, 30, 24.5, 8, 20.0, 40, 6, 55)
NEWCOMER = CustomerContext("2", Gender.UNKNOWN, 0, 0.0, 0, 0.0, 0, 0, 0)
COUPON = Coupon("1", CouponType.BUY_MORE, "Men", 25.0, 3, date(2026, 1, 1), date(2026, 12, 31), 30.0, 12)
COUPONS = [
    replace(COUPON, type=kind, department=department, discount=discount)
    for kind in CouponType
    for department, discount in (("Boys", 5.0), ("Women", 40.0), ("Garden", 10.0))
]

contexts = st.builds(
    CustomerContext,
    customer_id=st.just("1"),
    gender=st.sampled_from(Gender),
    age=st.integers(-5, 150),
    mean_buy_price=st.floats(-10, 1e6),
    total_coupons_used=st.integers(-1, 10**9),
    mean_discount_received=st.floats(0, 100),
    unique_products_bought=st.integers(0, 10**9),
    unique_products_bought_with_coupons=st.integers(0, 10**9),
    total_items_bought=st.integers(-1, 10**9),
)


def encoded(context: CustomerContext, coupon: Coupon) -> dict[str, float]:
    row = encode(customer_matrix([context]), coupon_matrix([coupon]))[0]
    return dict(zip(FEATURE_NAMES, row.tolist(), strict=True))


def test_every_column_has_a_name_of_its_own() -> None:
    assert encode(customer_matrix([CUSTOMER]), coupon_matrix(COUPONS)).shape == (len(COUPONS), len(FEATURE_NAMES))
    assert len(set(FEATURE_NAMES)) == len(FEATURE_NAMES)


def test_one_customer_for_all_coupons_is_encoded_as_pairs_are() -> None:
    coupons = coupon_matrix(COUPONS)
    served = encode(customer_matrix([CUSTOMER]), coupons)
    trained = encode(customer_matrix([CUSTOMER] * len(COUPONS)), coupons[np.arange(len(COUPONS))])

    assert np.abs(served - trained).max() == 0


def test_interactions_are_products_of_the_named_columns() -> None:
    row = encoded(CUSTOMER, COUPON)

    for name in FEATURE_NAMES:
        if "*" in name:
            left, right = name.split("*")
            assert row[name] == row[left] * row[right], name


def test_a_department_that_was_never_trained_on_is_all_zeros() -> None:
    row = encoded(CUSTOMER, replace(COUPON, department="Garden"))

    assert not any(value for name, value in row.items() if "department_" in name)


def test_an_unknown_gender_is_neither() -> None:
    row = encoded(NEWCOMER, COUPON)

    assert (row["is_female"], row["is_male"]) == (0, 0)


def test_who_has_bought_nothing_has_no_price_to_differ_from() -> None:
    assert encoded(NEWCOMER, COUPON)[PRICE_GAP] == 0
    assert encoded(CUSTOMER, COUPON)[PRICE_GAP] > 0


def test_who_is_unknown_uses_coupons_at_the_usual_rate() -> None:
    usual = np.log(0.1)

    assert np.isclose(encoded(NEWCOMER, COUPON)["log_coupon_rate"], usual)
    assert encoded(CUSTOMER, COUPON)["log_coupon_rate"] > usual


def test_the_number_of_no_number_counts_as_none() -> None:
    of_department = replace(COUPON, type=CouponType.DEPARTMENT, how_many_products_required=-1)

    assert encoded(CUSTOMER, of_department)["log_products_required"] == 0


@given(contexts)
def test_any_context_gives_finite_numbers(context: CustomerContext) -> None:
    assert np.isfinite(encode(customer_matrix([context]), coupon_matrix(COUPONS))).all()


def test_nothing_in_gives_nothing_out() -> None:
    assert customer_matrix([]).shape == (0, len(CUSTOMER_COLUMNS))
    assert coupon_matrix([]).shape == (0, len(COUPON_COLUMNS))
    assert encode(customer_matrix([CUSTOMER]), coupon_matrix([])).shape == (0, len(FEATURE_NAMES))
