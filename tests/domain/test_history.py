"""What was known of a customer on a day."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from app.datagen.generate import generate
from app.domain.coupon import Coupon, CouponType
from app.domain.customer import USUAL_AGE, CustomerContext, Gender
from app.domain.history import (
    NEVER,
    WITHOUT_COUPON,
    CouponIssues,
    Customers,
    Days,
    History,
    Purchases,
    before,
    contexts_as_of,
    day_after,
    in_order,
    period,
)

ANNA, BERT = 0, 1


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


def days(*texts: str) -> Days:
    return np.array(texts, dtype="datetime64[D]")


def coupon(coupon_id: str, discount: float) -> Coupon:
    first, last = date(2025, 1, 1), date(2025, 12, 31)
    return Coupon(coupon_id, CouponType.JUST_DISCOUNT, "Men", discount, 1, first, last, 10.0, 5)


@pytest.fixture
def history() -> History:
    """Anna buys on three days, twice with a coupon; Bert on one."""
    return History(
        Customers(("anna", "bert"), (Gender.FEMALE, Gender.MALE), days("1990-05-20", "1960-01-01")),
        (coupon("a", 20), coupon("b", 35)),
        Purchases(
            customer=np.array([ANNA, ANNA, ANNA, BERT, ANNA]),
            day=days("2025-03-01", "2025-03-01", "2025-04-01", "2025-03-15", "2025-05-01"),
            product=np.array([7, 8, 7, 7, 9]),
            quantity=np.array([1, 2, 1, 5, 1]),
            price=np.array([10.0, 4.5, 8.0, 99.99, 6.5]),
            coupon=np.array([WITHOUT_COUPON, WITHOUT_COUPON, 0, WITHOUT_COUPON, 1]),
        ),
        CouponIssues(
            customer=np.array([ANNA, ANNA, ANNA]),
            coupon=np.array([0, 1, 0]),
            day=days("2025-03-20", "2025-04-20", "2025-04-20"),
            redeemed_on=np.array([day("2025-04-01"), day("2025-05-01"), NEVER]),
        ),
    )


def context(history: History, customer: int, on: str) -> CustomerContext:
    return contexts_as_of(history, np.array([customer]), days(on))[0]


def test_a_context_sums_up_all_earlier_purchases_and_redemptions(history: History) -> None:
    assert context(history, ANNA, "2026-01-01") == CustomerContext(
        customer_id="anna",
        gender=Gender.FEMALE,
        age=35,
        mean_buy_price=6.7,  # (10 + 2 * 4.50 + 8 + 6.50) / 5
        total_coupons_used=2,
        mean_discount_received=27.5,
        unique_products_bought=3,
        unique_products_bought_with_coupons=2,
        total_items_bought=5,
    )


def test_nothing_of_the_day_itself_is_known(history: History) -> None:
    before, after = context(history, ANNA, "2025-04-01"), context(history, ANNA, "2025-04-02")

    assert (before.total_items_bought, before.total_coupons_used, before.unique_products_bought_with_coupons) == (
        3,
        0,
        0,
    )
    assert (after.total_items_bought, after.total_coupons_used, after.unique_products_bought_with_coupons) == (4, 1, 1)
    assert after.unique_products_bought == before.unique_products_bought


def test_a_customer_who_has_bought_nothing_has_a_context_of_zeros(history: History) -> None:
    assert context(history, BERT, "2025-03-15") == CustomerContext("bert", Gender.MALE, 65, 0.0, 0, 0.0, 0, 0, 0)


def test_customers_get_a_year_older_on_their_birthday(history: History) -> None:
    assert [context(history, ANNA, on).age for on in ("2025-05-19", "2025-05-20", "2026-05-19")] == [34, 35, 35]


def test_the_future_and_the_other_customers_change_nothing(history: History) -> None:
    known = context(history, ANNA, "2025-04-15")
    purchases, issues = history.purchases, history.issues
    is_unseen = (purchases.day >= day("2025-04-15")) | (purchases.customer == BERT)
    changed = replace(
        history,
        purchases=replace(
            purchases,
            price=np.where(is_unseen, 1234.56, purchases.price),
            quantity=np.where(is_unseen, 77, purchases.quantity),
            product=np.where(is_unseen, 1, purchases.product),
        ),
        issues=replace(issues, redeemed_on=np.where(issues.day >= day("2025-04-15"), NEVER, issues.redeemed_on)),
    )

    assert context(changed, ANNA, "2025-04-15") == known


def nothing(history: History) -> History:
    return before(history, day("2000-01-01"))


def test_a_birth_that_is_not_known_or_yet_to_come_gives_the_usual_age(history: History) -> None:
    changed = replace(history, customers=replace(history.customers, born=days("NaT", "2025-03-02")))

    ages = [
        context.age for context in contexts_as_of(changed, np.array([ANNA, BERT]), days("2025-03-01", "2025-03-01"))
    ]
    assert ages == [USUAL_AGE, USUAL_AGE]


def test_the_day_after_a_history_follows_its_last_day_of_any_kind(history: History) -> None:
    assert period(history).astype(str).tolist() == ["2025-03-01", "2025-05-01"]
    assert day_after(history) == day("2025-05-02")
    assert day_after(before(history, day("2025-04-21"))) == day("2025-04-21")


def test_a_history_of_nothing_has_no_days(history: History) -> None:
    assert len(period(nothing(history))) == 0
    with pytest.raises(ValueError, match="neither purchases nor coupons"):
        day_after(nothing(history))


def test_customers_are_ordered_by_their_ids_short_ones_first() -> None:
    ids = ("10", "b", "9", "a", "11")
    people = Customers(ids, (Gender.UNKNOWN,) * 5, days(*["2000-01-01"] * 5))
    empty = np.empty(0, dtype=np.int64)
    bought = Purchases(np.array([0]), days("2025-01-01"), *(np.array([1]) for _ in range(4)))
    issues = CouponIssues(empty, empty, days(), days())

    ordered = in_order(History(people, (), bought, issues))

    assert ordered.customers.ids == ("9", "a", "b", "10", "11")
    assert ordered.purchases.customer.tolist() == [3]


def test_contexts_of_many_are_those_of_each_alone() -> None:
    history = generate(3, customers=20, products=50, coupons=20).history
    customers = np.arange(20).repeat(3)
    asked = np.tile(days("2024-02-01", "2024-12-24", "2026-01-01"), 20)

    together = contexts_as_of(history, customers, asked)

    assert together == [_counted_one_by_one(history, *pair) for pair in zip(customers.tolist(), asked, strict=True)]


def _counted_one_by_one(history: History, customer: int, asked: np.datetime64) -> CustomerContext:
    bought = history.purchases
    lines = [row for row in range(len(bought.day)) if bought.customer[row] == customer and bought.day[row] < asked]
    issues = history.issues
    uses = [
        row for row in range(len(issues.day)) if issues.customer[row] == customer and issues.redeemed_on[row] < asked
    ]
    items = sum(int(bought.quantity[row]) for row in lines)
    paid = sum(round(bought.price[row] * 100) * int(bought.quantity[row]) for row in lines)
    discounts = [history.coupons[issues.coupon[row]].discount for row in uses]
    return CustomerContext(
        customer_id=history.customers.ids[customer],
        gender=history.customers.genders[customer],
        age=context(history, customer, str(asked)).age,
        mean_buy_price=round(paid / items / 100, 2) if items else 0.0,
        total_coupons_used=len(uses),
        mean_discount_received=round(sum(discounts) / len(uses), 2) if uses else 0.0,
        unique_products_bought=len({int(bought.product[row]) for row in lines}),
        unique_products_bought_with_coupons=len(
            {int(bought.product[row]) for row in lines if bought.coupon[row] != WITHOUT_COUPON}
        ),
        total_items_bought=items,
    )
