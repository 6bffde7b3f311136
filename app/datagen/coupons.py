"""The coupons of one calendar year of the artificial shop."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import assert_never

import numpy as np

from app.domain.coupon import Coupon, CouponType, Product
from app.domain.department import DOCUMENTED_DEPARTMENTS

DEPARTMENT_COUPONS = 0.01  # of a department's coupons; each holds all of its products
BUY_ALL_COUPONS = 0.25
BUY_MORE_COUPONS = 0.35
WHOLE_YEAR_COUPONS = 0.58  # the others run for some weeks
CAMPAIGN_WEEKS = (4, 12)
SOLD_OUT_COUPONS = 0.02
NO_NUMBER = -1  # a department coupon requires no number of products

PRODUCTS_PER_COUPON = {CouponType.BUY_ALL: (2, 5), CouponType.BUY_MORE: (6, 23), CouponType.JUST_DISCOUNT: (6, 23)}
DISCOUNTS = {  # percent
    CouponType.BUY_MORE: (10, 15, 20, 25, 30, 35, 40),
    CouponType.BUY_ALL: (10, 15, 20, 25, 30, 35),
    CouponType.JUST_DISCOUNT: (5, 10, 15, 20, 25, 30),
    CouponType.DEPARTMENT: (5, 10, 15, 20),
}
ITEMS_IN_STOCK = 25  # of a usual product


def make_coupons(
    rng: np.random.Generator, products: Sequence[Product], count: int, year: int, first_id: int
) -> tuple[Coupon, ...]:
    """Coupons with `count` ids from `first_id` on, spread evenly over the departments, valid within `year`."""
    assortments = {
        name: [product for product in products if product.department == name] for name in DOCUMENTED_DEPARTMENTS
    }
    made: list[Coupon] = []
    for index, department in enumerate(DOCUMENTED_DEPARTMENTS):
        share = len(range(index, count, len(DOCUMENTED_DEPARTMENTS)))
        ids = range(first_id + index, first_id + count, len(DOCUMENTED_DEPARTMENTS))
        kinds, windows = _types(rng, share), _windows(rng, share, year)
        made.extend(
            _coupon(rng, coupon_id, kind, assortments[department], window)
            for coupon_id, kind, window in zip(ids, kinds, windows, strict=True)
        )
    return tuple(sorted(made, key=lambda coupon: int(coupon.coupon_id)))


def _types(rng: np.random.Generator, count: int) -> list[CouponType]:
    of_department = max(1, round(count * DEPARTMENT_COUPONS))
    buy_all, buy_more = round(count * BUY_ALL_COUPONS), round(count * BUY_MORE_COUPONS)
    kinds = [CouponType.DEPARTMENT] * of_department + [CouponType.BUY_ALL] * buy_all + [CouponType.BUY_MORE] * buy_more
    kinds += [CouponType.JUST_DISCOUNT] * (count - len(kinds))
    return [kinds[index] for index in rng.permutation(count)]


def _windows(rng: np.random.Generator, count: int, year: int) -> list[tuple[date, date]]:
    """First and last day of each coupon."""
    first, last = date(year, 1, 1), date(year, 12, 31)
    whole_year = round(count * WHOLE_YEAR_COUPONS)
    windows = [(first, last)] * whole_year
    for _ in range(count - whole_year):
        length = 7 * int(rng.integers(CAMPAIGN_WEEKS[0], CAMPAIGN_WEEKS[1] + 1))
        start = first + timedelta(int(rng.integers((last - first).days - length + 2)))
        windows.append((start, start + timedelta(length - 1)))
    return [windows[index] for index in rng.permutation(count)]


def _coupon(
    rng: np.random.Generator, coupon_id: int, kind: CouponType, assortment: list[Product], window: tuple[date, date]
) -> Coupon:
    products = _products(rng, kind, assortment)
    is_sold_out = rng.random() < SOLD_OUT_COUPONS
    return Coupon(
        coupon_id=str(coupon_id),
        type=kind,
        department=assortment[0].department,
        discount=float(rng.choice(DISCOUNTS[kind])),
        how_many_products_required=_required(rng, kind, len(products)),
        start_date=window[0],
        end_date=window[1],
        product_mean_price=round(sum(product.buy_price for product in products) / len(products), 2),
        products_available=0 if is_sold_out else 1 + int(rng.poisson(ITEMS_IN_STOCK, len(products)).sum()),
        products=products,
    )


def _products(rng: np.random.Generator, kind: CouponType, assortment: list[Product]) -> tuple[Product, ...]:
    """All of the department, or some of about the same price: of one category, or to be worn together."""
    if kind is CouponType.DEPARTMENT:
        return tuple(assortment)
    low, high = PRODUCTS_PER_COUPON[kind]
    size = int(rng.integers(low, high + 1))
    anchor = assortment[rng.integers(len(assortment))]
    mixes_categories = kind is CouponType.BUY_ALL
    similar = sorted(
        (product for product in assortment if mixes_categories or product.category == anchor.category),
        key=lambda product: (abs(product.buy_price - anchor.buy_price), int(product.product_id)),
    )[: 2 * size]
    picked = rng.permutation(len(similar))[:size]
    return tuple(sorted((similar[index] for index in picked), key=lambda product: int(product.product_id)))


def _required(rng: np.random.Generator, kind: CouponType, products: int) -> int:
    match kind:
        case CouponType.BUY_MORE:
            return int(rng.integers(2, 6))
        case CouponType.BUY_ALL:
            return products
        case CouponType.JUST_DISCOUNT:
            return 1
        case CouponType.DEPARTMENT:
            return NO_NUMBER
        case _:
            assert_never(kind)
