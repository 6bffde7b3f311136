"""What happened in the artificial shop: visits, coupons handed out, redemptions, purchases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np

from app.datagen.customers import Traits
from app.datagen.products import CATEGORY_NAMES
from app.datagen.truth import redemption_probability
from app.domain.coupon import Coupon, CouponType, Product
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.features import Floats
from app.domain.history import NEVER, WITHOUT_COUPON, CouponIssues, Customers, Days, History, Ints, Purchases

LINES_PER_VISIT = 2.2
SECOND_ITEM = 0.12  # how often two of the same are bought
PRICE_TOLERANCE = 0.45  # of the log price: how far from their level customers buy
HANDOUTS = 0.5
COUPONS_PER_HANDOUT = 6
HANDOUT_FOLLOWS_TASTE = 0.6  # 0: departments are visited alike, 1: as tastes go
DAYS_TO_REDEEM = 14
PRODUCTS_OF_A_DEPARTMENT_COUPON = 2


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """A customer came to the shop; both arrays have the shape (visits,)."""

    customer: Ints
    day: Days

    def only(self, chosen: Ints) -> "Visits":
        """Some of them, by their index."""
        return Visits(self.customer[chosen], self.day[chosen])


def make_history(
    seeds: Sequence[np.random.SeedSequence],
    customers: Customers,
    traits: Traits,
    products: Sequence[Product],
    coupons: Sequence[Coupon],
    period: tuple[np.datetime64, np.datetime64],
) -> tuple[History, Floats]:
    """The history from the first day to before the last of `period`, and the true probability of each coupon issue.

    `seeds` holds one for each of visits, purchases, coupon issues and redemptions.
    """
    visits_rng, purchases_rng, issues_rng, uses_rng = (np.random.default_rng(seed) for seed in seeds)
    visits = make_visits(visits_rng, traits, period)
    bought = make_purchases(purchases_rng, visits, traits, products)
    issued_to, coupon = make_handouts(issues_rng, visits, traits, coupons)
    probabilities = redemption_probability(traits, coupons)[issued_to.customer, coupon]
    redeemed_on = _redeem(uses_rng, probabilities, issued_to.day, _last_days(coupons)[coupon])
    issues = CouponIssues(issued_to.customer, coupon, issued_to.day, redeemed_on)
    redeemed = _redeemed_lines(uses_rng, issues, products, coupons)
    history = History(customers, coupons, _joined(bought, redeemed), issues)
    return history, probabilities


def make_visits(rng: np.random.Generator, traits: Traits, period: tuple[np.datetime64, np.datetime64]) -> Visits:
    """Visits on different random days from each customer's joining to the end, by customer and day."""
    days = int((period[1] - period[0]).astype(np.int64))
    counts = rng.poisson(traits.visits_per_day * (days - traits.joined))
    customer = np.repeat(np.arange(len(counts)), counts)
    joined = traits.joined[customer]
    day = np.floor(joined + rng.random(len(customer)) * (days - joined)).astype(np.int64)
    customer, day = np.unique(np.stack([customer, day]), axis=1)
    return Visits(customer, period[0] + day.astype("timedelta64[D]"))


def make_purchases(rng: np.random.Generator, visits: Visits, traits: Traits, products: Sequence[Product]) -> Purchases:
    """What is bought without a coupon: products of the liked departments and categories, at a fitting price."""
    lines = 1 + rng.poisson(LINES_PER_VISIT - 1, len(visits.day))
    customer, day = np.repeat(visits.customer, lines), np.repeat(visits.day, lines)
    departments = np.array([DOCUMENTED_DEPARTMENTS.index(product.department) for product in products])
    categories = np.array([CATEGORY_NAMES.index(product.category) for product in products])
    prices = np.array([product.buy_price for product in products])
    gap = (np.log(prices) - traits.price_level[:, None]) / PRICE_TOLERANCE
    liking = traits.department_taste[:, departments] + traits.category_taste[:, categories] - gap**2 / 2
    product = _draw(rng, liking, customer)
    quantity = 1 + (rng.random(len(product)) < SECOND_ITEM).astype(np.int64)
    return Purchases(customer, day, product, quantity, prices[product], np.full(len(product), WITHOUT_COUPON))


def make_handouts(
    rng: np.random.Generator, visits: Visits, traits: Traits, coupons: Sequence[Coupon]
) -> tuple[Visits, Ints]:
    """Different coupons of one department, valid and in stock on the day: the visit and the coupon of each issue."""
    visits = visits.only(np.flatnonzero(rng.random(len(visits.day)) < HANDOUTS))
    department = _draw(rng, HANDOUT_FOLLOWS_TASTE * traits.department_taste, visits.customer)
    issued_at: list[Ints] = []
    issued: list[Ints] = []
    for index, name in enumerate(DOCUMENTED_DEPARTMENTS):
        offered = np.array(
            [row for row, coupon in enumerate(coupons) if coupon.department == name and coupon.products_available],
            dtype=np.int64,
        )
        at = np.flatnonzero(department == index)
        first, last = _first_days(coupons)[offered], _last_days(coupons)[offered]
        day = visits.day[at, None]
        lots = np.where((first <= day) & (day <= last), rng.random((len(at), len(offered))), np.inf)
        drawn = np.argsort(lots, axis=1, kind="stable")[:, :COUPONS_PER_HANDOUT]
        is_valid = np.isfinite(np.take_along_axis(lots, drawn, axis=1))
        issued_at.append(np.repeat(at, is_valid.sum(axis=1)))
        issued.append(offered[drawn[is_valid]])
    issue_visit, coupon = np.concatenate(issued_at), np.concatenate(issued)
    order = np.argsort(issue_visit, kind="stable")
    return visits.only(issue_visit[order]), coupon[order]


def _redeem(rng: np.random.Generator, probabilities: Floats, day: Days, last_day: Days) -> Days:
    """The day on which each coupon issued is used, or NEVER."""
    wait = rng.integers(DAYS_TO_REDEEM, size=len(day)).astype("timedelta64[D]")
    return np.where(rng.random(len(day)) < probabilities, np.minimum(day + wait, last_day), NEVER)


def _redeemed_lines(
    rng: np.random.Generator, issues: CouponIssues, products: Sequence[Product], coupons: Sequence[Coupon]
) -> Purchases:
    """What is bought with the coupons: as much as each of them requires."""
    index_of = {product.product_id: index for index, product in enumerate(products)}
    used = np.flatnonzero(issues.is_redeemed)
    baskets = [_basket(rng, coupons[coupon]) for coupon in issues.coupon[used]]
    issue = np.repeat(used, np.array([len(basket) for basket in baskets], dtype=np.int64))
    lines = [line for basket in baskets for line in basket]
    coupon = issues.coupon[issue]
    discount = np.array([coupon.discount for coupon in coupons])[coupon]
    prices = np.array([product.buy_price for product, _ in lines])
    return Purchases(
        customer=issues.customer[issue],
        day=issues.redeemed_on[issue],
        product=np.array([index_of[product.product_id] for product, _ in lines], dtype=np.int64),
        quantity=np.array([quantity for _, quantity in lines], dtype=np.int64),
        price=np.round(prices * (1 - discount / 100), 2),
        coupon=coupon,
    )


def _basket(rng: np.random.Generator, coupon: Coupon) -> list[tuple[Product, int]]:
    """Products and how many of each."""
    match coupon.type:
        case CouponType.BUY_ALL:
            return [(product, 1) for product in coupon.products]
        case CouponType.DEPARTMENT:
            picks = rng.integers(len(coupon.products), size=PRODUCTS_OF_A_DEPARTMENT_COUPON)
            return [(coupon.products[pick], 1) for pick in sorted(set(picks.tolist()))]
        case CouponType.BUY_MORE | CouponType.JUST_DISCOUNT:
            return [(coupon.products[rng.integers(len(coupon.products))], coupon.how_many_products_required)]
        case _:
            assert_never(coupon.type)


def _draw(rng: np.random.Generator, logits: Floats, customer: Ints) -> Ints:
    """For each entry of `customer` a column of its row of `logits`, shape (customers, k), by softmax."""
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    cumulated = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    cumulated[:, -1] = 1.0
    lots = rng.random(len(customer))
    flat = (cumulated + np.arange(len(cumulated))[:, None]).ravel()
    found = np.searchsorted(flat, lots + customer, side="right") - customer * logits.shape[1]
    return np.asarray(np.minimum(found, logits.shape[1] - 1))


def _first_days(coupons: Sequence[Coupon]) -> Days:
    return np.array([coupon.start_date for coupon in coupons], dtype="datetime64[D]")


def _last_days(coupons: Sequence[Coupon]) -> Days:
    return np.array([coupon.end_date for coupon in coupons], dtype="datetime64[D]")


def _joined(*parts: Purchases) -> Purchases:
    fields = ("customer", "day", "product", "quantity", "price", "coupon")
    return Purchases(*(np.concatenate([getattr(part, name) for part in parts]) for name in fields))
