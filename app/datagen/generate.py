"""A whole artificial shop from one seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.datagen.coupons import make_coupons
from app.datagen.customers import Traits, make_customers
from app.datagen.past import make_history
from app.datagen.products import make_products
from app.domain.coupon import Coupon, Product
from app.domain.customer import CustomerContext
from app.domain.features import Floats
from app.domain.history import History, contexts_as_of

DEFAULT_SEED = 20260101
DEFAULT_YEAR = 2026
YEARS_OF_HISTORY = 2


@dataclass(frozen=True, slots=True, eq=False)
class Shop:
    """The shop on New Year's Day of `year`, what happened before, and why.

    `coupons` are the catalogue of the year; those of the history have ids of their own. `truth` is the true probability
    of each coupon issue of the history, shape (issues,); `traits` make that of any customer and coupon
    (`app.datagen.truth.redemption_probability`).
    """

    seed: int
    year: int
    products: Sequence[Product]
    coupons: Sequence[Coupon]
    contexts: Sequence[CustomerContext]
    history: History
    traits: Traits
    truth: Floats


def generate(
    seed: int = DEFAULT_SEED,
    *,
    customers: int = 1000,
    products: int = 3000,
    coupons: int = 1000,
    year: int = DEFAULT_YEAR,
    years: int = YEARS_OF_HISTORY,
) -> Shop:
    """Make a shop; the same arguments give the same shop.

    Each of the `years` of the history had as many coupons as `year`. Products and coupons are spread over five
    departments, of which none may be empty: fewer than 25 products or 5 coupons raise ValueError.
    """
    if customers < 1 or products < 25 or coupons < 5:
        raise ValueError("a shop has at least 1 customer, 25 products and 5 coupons")
    seeds = np.random.SeedSequence(seed).spawn(7)
    product_rng, coupon_rng, customer_rng = (np.random.default_rng(part) for part in seeds[:3])
    start, end = np.datetime64(f"{year - years}-01-01"), np.datetime64(f"{year}-01-01")
    assortment = make_products(product_rng, products)
    catalogue = make_coupons(coupon_rng, assortment, coupons, year, first_id=1)
    past = [
        coupon
        for back in range(years, 0, -1)
        for coupon in make_coupons(
            coupon_rng, assortment, coupons, year - back, first_id=1 + (1 + years - back) * coupons
        )
    ]
    people, traits = make_customers(customer_rng, customers, start, end)
    history, truth = make_history(seeds[3:], people, traits, assortment, past, (start, end))
    contexts = contexts_as_of(history, np.arange(customers), np.full(customers, end))
    return Shop(seed, year, assortment, catalogue, contexts, history, traits, truth)
