"""The artificial shop: what it holds, and that its history has the cause it claims."""

import csv
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from app.datagen.files import write_dataset, write_history
from app.datagen.generate import Shop, generate
from app.datagen.truth import redemption_probability
from app.domain.coupon import Coupon, CouponType
from app.domain.customer import Gender
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.eligibility import Refusal, first_refusal
from app.domain.features import Floats
from app.domain.history import contexts_as_of

SHIPPED = Path(__file__).parents[2] / "data4db"
DOCUMENTED_COLUMNS = {
    "coupon_info.csv": "coupon_id,coupon_type,department,discount,how_many_products_required,"
    "start_date,end_date,product_mean_price,products_available",
    "products.csv": "product_id,name,category,sizes,vendor,description,buy_price,department",
    "coupon_product.csv": "coupon_id,product_id",
    "customer_info.csv": "customer_id,gender,age,mean_buy_price,total_coupons_used,mean_discount_received,"
    "unique_products_bought,unique_products_bought_with_coupons,total_items_bought",
}
VARCHARS = {
    "coupon_info.csv": {"coupon_type": 16, "department": 10, "start_date": 10, "end_date": 10},
    "products.csv": {
        "name": 256,
        "category": 50,
        "sizes": 50,
        "vendor": 50,
        "description": 256,
        "department": 10,
    },
    "customer_info.csv": {"gender": 1},
}
REALS = {
    "coupon_info.csv": ("product_mean_price",),
    "products.csv": ("buy_price",),
    "customer_info.csv": ("mean_buy_price", "mean_discount_received"),
}


@pytest.fixture(scope="module")
def shop() -> Shop:
    return generate()


@pytest.fixture(scope="module")
def small_shop() -> Shop:
    return generate(7, customers=40, products=100, coupons=50)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def of_department(shop: Shop, name: str) -> list[Coupon]:
    return [coupon for coupon in shop.coupons if coupon.department == name]


def test_the_default_seed_gives_the_committed_files_byte_for_byte(shop: Shop, tmp_path: Path) -> None:
    write_dataset(shop, tmp_path)

    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {name: (SHIPPED / name).read_bytes() for name in DOCUMENTED_COLUMNS}


def test_another_seed_gives_another_shop(small_shop: Shop) -> None:
    other = generate(8, customers=40, products=100, coupons=50)

    assert other.products != small_shop.products
    assert other.coupons != small_shop.coupons
    assert other.contexts != small_shop.contexts


@pytest.mark.parametrize("sizes", [{"customers": 0}, {"products": 24}, {"coupons": 4}])
def test_a_shop_too_small_for_five_departments_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        generate(1, **sizes)


def test_the_smallest_shop_can_be_made() -> None:
    smallest = generate(1, customers=1, products=25, coupons=5)

    assert len(smallest.coupons) == len(DOCUMENTED_DEPARTMENTS)


@pytest.mark.parametrize("name", DOCUMENTED_COLUMNS)
def test_columns_are_those_of_the_documented_table_in_its_order(name: str) -> None:
    with (SHIPPED / name).open(encoding="utf-8") as file:
        assert file.readline().rstrip("\n") == DOCUMENTED_COLUMNS[name]


@pytest.mark.parametrize("name", VARCHARS)
def test_every_text_fits_its_column(name: str) -> None:
    for row in rows(SHIPPED / name):
        assert all(0 < len(row[column]) <= limit for column, limit in VARCHARS[name].items()), row


@pytest.mark.parametrize("name", REALS)
def test_amounts_come_back_from_a_real_column_as_they_were_written(name: str) -> None:
    for row in rows(SHIPPED / name):
        for column in REALS[name]:
            assert str(np.float32(row[column])).removesuffix(".0") == row[column]


def test_every_department_has_about_two_hundred_coupons_of_all_types(shop: Shop) -> None:
    for department in DOCUMENTED_DEPARTMENTS:
        coupons = of_department(shop, department)
        assert 190 <= len(coupons) <= 200
        assert {coupon.type for coupon in coupons} == set(CouponType)


def test_a_department_coupon_holds_all_products_of_its_department(shop: Shop) -> None:
    for coupon in shop.coupons:
        assert {product.department for product in coupon.products} == {coupon.department}
        if coupon.type is CouponType.DEPARTMENT:
            assert list(coupon.products) == [p for p in shop.products if p.department == coupon.department]


def test_links_are_as_many_as_in_the_documented_files(shop: Shop) -> None:
    assert 17_000 <= sum(len(coupon.products) for coupon in shop.coupons) <= 18_000


def test_a_coupon_requires_what_its_type_says(shop: Shop) -> None:
    assert all(coupon.how_many_products_required == coupon.how_many for coupon in shop.coupons)


def test_the_mean_price_of_a_coupon_is_that_of_its_products(shop: Shop) -> None:
    for coupon in shop.coupons:
        mean = sum(product.buy_price for product in coupon.products) / len(coupon.products)
        assert coupon.product_mean_price == pytest.approx(mean, abs=0.005001)


def test_well_over_half_of_each_department_is_valid_on_every_day_of_the_year(shop: Shop) -> None:
    for department in DOCUMENTED_DEPARTMENTS:
        coupons = of_department(shop, department)
        for offset in range(365):
            today = date(2026, 1, 1) + timedelta(offset)
            live = sum(coupon.start_date <= today <= coupon.end_date for coupon in coupons)
            assert live / len(coupons) > 0.55, (department, today)


def test_every_rule_of_eligibility_has_its_cases(shop: Shop) -> None:
    fates = Counter(first_refusal(coupon, date(2026, 6, 15)) for coupon in shop.coupons)

    assert min(fates[rule] for rule in (Refusal.NOT_STARTED, Refusal.EXPIRED, Refusal.OUT_OF_STOCK)) >= 5


def test_validity_lies_within_the_year_asked_for() -> None:
    shop = generate(5, customers=5, products=50, coupons=50, year=2031)

    assert {day.year for coupon in shop.coupons for day in (coupon.start_date, coupon.end_date)} == {2031}


def test_coupons_of_the_history_are_others_of_the_same_kinds(shop: Shop) -> None:
    past = shop.history.coupons

    assert {c.coupon_id for c in past}.isdisjoint(c.coupon_id for c in shop.coupons)
    assert Counter((c.type, c.department) for c in past) == Counter(
        (c.type, c.department) for c in (*shop.coupons, *shop.coupons)
    )


def test_customer_info_is_what_the_history_says_on_new_years_day(shop: Shop) -> None:
    customers = np.arange(len(shop.contexts))

    assert shop.contexts == contexts_as_of(
        shop.history, customers, np.full(len(customers), np.datetime64("2026-01-01"))
    )


def test_coupons_are_handed_out_and_redeemed_while_they_are_valid(shop: Shop) -> None:
    issues = shop.history.issues
    first, last = (
        np.array([getattr(coupon, name) for coupon in shop.history.coupons], dtype="datetime64[D]")[issues.coupon]
        for name in ("start_date", "end_date")
    )
    used = issues.is_redeemed

    assert (first <= issues.day).all()
    assert (issues.day <= last).all()
    assert (issues.day[used] <= issues.redeemed_on[used]).all()
    assert (issues.redeemed_on[used] <= last[used]).all()
    assert shop.history.purchases.day.max() < np.datetime64("2026-01-01")


def test_coupons_are_redeemed_at_a_rate_that_is_realistic_and_can_be_learned(shop: Shop) -> None:
    assert 0.08 < shop.history.issues.is_redeemed.mean() < 0.15


def test_coupons_are_redeemed_as_often_as_the_truth_says(shop: Shop) -> None:
    ranked = np.argsort(shop.truth)
    for part in np.array_split(ranked, 20):
        expected = shop.truth[part]
        spread = np.sqrt((expected * (1 - expected)).sum()) / len(part)
        assert abs(shop.history.issues.is_redeemed[part].mean() - expected.mean()) < 4 * spread


def mean_truth(shop: Shop, coupon: Coupon) -> float:
    return float(redemption_probability(shop.traits, [coupon]).mean())


def test_more_discount_makes_redemption_likelier(shop: Shop) -> None:
    deep, flat = (replace(shop.coupons[0], discount=discount) for discount in (40.0, 5.0))

    assert mean_truth(shop, deep) > 2 * mean_truth(shop, flat)


def test_more_products_required_make_redemption_less_likely(shop: Shop) -> None:
    many, one = (replace(shop.coupons[0], how_many_products_required=number) for number in (5, 1))

    assert mean_truth(shop, many) < 0.7 * mean_truth(shop, one)


def test_a_price_that_suits_the_customer_makes_redemption_likelier(shop: Shop) -> None:
    cheap, dear = (replace(shop.coupons[0], product_mean_price=price) for price in (15.0, 80.0))
    truth = redemption_probability(shop.traits, [cheap, dear])
    likes_cheap = shop.traits.price_level < np.log(20)
    likes_dear = shop.traits.price_level > np.log(60)

    assert truth[likes_cheap, 0].mean() > 2 * truth[likes_cheap, 1].mean()
    assert truth[likes_dear, 1].mean() > 2 * truth[likes_dear, 0].mean()


def test_women_and_men_redeem_for_themselves_more(shop: Shop) -> None:
    is_female = np.array([gender is Gender.FEMALE for gender in shop.history.customers.genders])

    assert _by_department(shop, is_female, "Women") > 1.5 * _by_department(shop, ~is_female, "Women")
    assert _by_department(shop, ~is_female, "Men") > 1.5 * _by_department(shop, is_female, "Men")


def test_parents_redeem_for_children_and_the_young_for_sports(shop: Shop) -> None:
    ages = np.array([context.age for context in shop.contexts])
    parents, young, seniors = (ages >= 32) & (ages < 46), ages < 26, ages >= 60

    for department in ("Boys", "Girls"):
        assert _by_department(shop, parents, department) > 1.5 * _by_department(shop, young, department)
    assert _by_department(shop, young, "Sports") > 1.5 * _by_department(shop, seniors, "Sports")


def test_types_please_different_ages(shop: Shop) -> None:
    buy_more, just_discount = (
        replace(shop.coupons[0], type=kind) for kind in (CouponType.BUY_MORE, CouponType.JUST_DISCOUNT)
    )
    truth: Floats = redemption_probability(shop.traits, [buy_more, just_discount])
    ages = np.array([context.age for context in shop.contexts])
    parents, young = (ages >= 32) & (ages < 46), ages < 26

    assert truth[parents, 0].mean() > truth[parents, 1].mean()
    assert truth[young, 0].mean() < truth[young, 1].mean()


def _by_department(shop: Shop, who: np.ndarray[tuple[int], np.dtype[np.bool_]], name: str) -> float:
    return float(redemption_probability(shop.traits, of_department(shop, name))[who].mean())


def test_purchases_follow_taste_and_price_level(shop: Shop) -> None:
    bought = shop.history.purchases
    departments = np.array([DOCUMENTED_DEPARTMENTS.index(product.department) for product in shop.products])
    taste = shop.traits.department_taste[bought.customer, departments[bought.product]]
    means = np.array([context.mean_buy_price for context in shop.contexts])
    has_bought = means > 0

    assert taste.mean() > shop.traits.department_taste.mean() + 0.2
    assert np.corrcoef(np.log(means[has_bought]), shop.traits.price_level[has_bought])[0, 1] > 0.8


def test_the_written_history_holds_together(small_shop: Shop, tmp_path: Path) -> None:
    write_history(small_shop, tmp_path)

    tables = {path.stem: rows(path) for path in tmp_path.iterdir()}
    coupons = {row["coupon_id"] for row in tables["coupon_info"]}
    customers = {row["customer_id"] for row in tables["customers"]}
    orders = {row["order_id"]: row["customer_id"] for row in tables["orders"]}
    lines = tables["order_lines"]
    assert len(lines) == len(small_shop.history.purchases.day)
    assert {row["order_id"] for row in lines} == set(orders)
    assert set(orders.values()) <= customers
    assert {row["product_id"] for row in lines} <= {row["product_id"] for row in tables["products"]}
    used = {(orders[row["order_id"]], row["coupon_id"]) for row in lines if row["coupon_id"]}
    redeemed = {(row["customer_id"], row["coupon_id"]) for row in tables["coupon_issues"] if row["redeemed_on"]}
    assert used == redeemed
    assert {coupon for _, coupon in redeemed} <= coupons
