"""What customers bought and which coupons they used, and what was known of them on any day.

Columnar: every array of a table has one entry for each row. Customers, products and coupons are named by their index.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from app.domain.coupon import Coupon
from app.domain.customer import USUAL_AGE, CustomerContext, Gender
from app.domain.features import Floats

Ints = NDArray[np.int64]
Days = NDArray[np.datetime64]

NEVER = np.datetime64("NaT", "D")
WITHOUT_COUPON = -1

_CENTS = 100
_SPAN = 1 << 23  # more than twice the days of the calendar: customer * _SPAN + day sorts by customer, then by day

Columns = TypeVar("Columns", "Purchases", "CouponIssues")


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """Who they are; `born` has the shape (customers,), in days, NEVER where nobody knows."""

    ids: Sequence[str]
    genders: Sequence[Gender]
    born: Days


@dataclass(frozen=True, slots=True, eq=False)
class Purchases:
    """Lines of orders, in any order, each array of the shape (lines,).

    `price` is what was paid for one item, in the shop's currency. `coupon` is WITHOUT_COUPON where none was used.
    """

    customer: Ints
    day: Days
    product: Ints
    quantity: Ints
    price: Floats
    coupon: Ints


@dataclass(frozen=True, slots=True, eq=False)
class CouponIssues:
    """Coupons handed to customers, in any order, each array of the shape (issues,).

    `redeemed_on` is NEVER where the coupon was not used. Issues to one customer on one day were one choice.
    """

    customer: Ints
    coupon: Ints
    day: Days
    redeemed_on: Days

    @property
    def is_redeemed(self) -> NDArray[np.bool_]:
        """Whether the coupon was used, shape (issues,)."""
        return ~np.isnat(self.redeemed_on)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """All that a shop remembers. `coupons` are those that were issued, of past campaigns."""

    customers: Customers
    coupons: Sequence[Coupon]
    purchases: Purchases
    issues: CouponIssues


def in_order(history: History) -> History:
    """The same history, whatever order its rows were in: customers by their ids, short ones first."""
    ids, genders = history.customers.ids, history.customers.genders
    ranked = sorted(range(len(ids)), key=lambda index: (len(ids[index]), ids[index]))
    order = np.array(ranked, dtype=np.int64)
    place = np.empty(len(ids), dtype=np.int64)
    place[order] = np.arange(len(ids))
    return History(
        Customers(
            tuple(ids[index] for index in ranked),
            tuple(genders[index] for index in ranked),
            history.customers.born[order],
        ),
        history.coupons,
        _sorted(replace(history.purchases, customer=place[history.purchases.customer])),
        _sorted(replace(history.issues, customer=place[history.issues.customer])),
    )


def before(history: History, day: np.datetime64) -> History:
    """What had happened before `day` began."""
    issues = _only(history.issues, history.issues.day < day)
    return replace(
        history,
        purchases=_only(history.purchases, history.purchases.day < day),
        issues=replace(issues, redeemed_on=np.where(issues.redeemed_on < day, issues.redeemed_on, NEVER)),
    )


def period(history: History) -> Days:
    """The first and the last day on which anything happened, shape (2,); shape (0,) where nothing did."""
    days = np.concatenate([history.purchases.day, history.issues.day, history.issues.redeemed_on])
    days = days[~np.isnat(days)]
    return np.array([days.min(), days.max()]) if len(days) else days


def day_after(history: History) -> np.datetime64:
    """The first day of which the history holds nothing. Raises ValueError for one that holds nothing at all."""
    days = period(history)
    if not len(days):
        raise ValueError("the history holds neither purchases nor coupons handed out")
    return np.datetime64(days[-1] + 1, "D")


def contexts_as_of(history: History, customer: Ints, day: Days) -> list[CustomerContext]:
    """What was known of `customer[i]` before `day[i]` began: nothing of that day, nothing later.

    Both arrays have the shape (n,). Means have two decimals. The mean discount is that of the coupons used.
    """
    return Past(history).contexts(customer, day)


class Past:
    """A history added up once, to be asked for many customers and days."""

    def __init__(self, history: History) -> None:
        self._customers = history.customers
        self._bought = _RunningSums(_purchase_key(history), _bought(history))
        self._used = _RunningSums(_use_key(history), _discounts(history))

    def contexts(self, customer: Ints, day: Days) -> list[CustomerContext]:
        """See contexts_as_of."""
        items, cents, products, products_with_coupon = self._bought.before(customer, day)
        used, percents = self._used.before(customer, day)
        means = np.round(cents / np.maximum(items, 1) / _CENTS, 2)
        mean_discounts = np.round(percents / np.maximum(used, 1) / _CENTS, 2)
        columns = (
            _ages(self._customers.born[customer], day),
            means,
            used,
            mean_discounts,
            products,
            products_with_coupon,
            items,
        )
        who = customer.tolist()
        ids, genders = self._customers.ids, self._customers.genders
        return [
            CustomerContext(ids[index], genders[index], *row)
            for index, *row in zip(who, *(column.tolist() for column in columns), strict=True)
        ]


def _only(columns: Columns, chosen: Ints | NDArray[np.bool_]) -> Columns:
    return type(columns)(*(getattr(columns, field.name)[chosen] for field in fields(columns)))


def _sorted(columns: Columns) -> Columns:
    """By the first column, then by the second, and so on."""
    keys = [getattr(columns, field.name) for field in fields(columns)]
    return _only(columns, np.lexsort(tuple(reversed(keys))))


def _purchase_key(history: History) -> Ints:
    return _key(history.purchases.customer, history.purchases.day)


def _bought(history: History) -> Ints:
    """Shape (4, lines): items, cents, products bought for the first time, the same with a coupon."""
    purchases = history.purchases
    with_coupon = purchases.coupon != WITHOUT_COUPON
    return np.stack(
        [
            purchases.quantity,
            np.rint(purchases.price * _CENTS).astype(np.int64) * purchases.quantity,
            _is_first(purchases, np.ones_like(with_coupon)),
            _is_first(purchases, with_coupon),
        ]
    )


def _use_key(history: History) -> Ints:
    is_redeemed = history.issues.is_redeemed
    return _key(history.issues.customer[is_redeemed], history.issues.redeemed_on[is_redeemed])


def _discounts(history: History) -> Ints:
    """Shape (2, uses): ones, and the discounts in hundredths of a percent."""
    used = history.issues.coupon[history.issues.is_redeemed]
    percents = np.array([coupon.discount for coupon in history.coupons], dtype=np.float64)[used]
    return np.stack([np.ones_like(used), np.rint(percents * _CENTS).astype(np.int64)])


def _is_first(purchases: Purchases, counts: NDArray[np.bool_]) -> Ints:
    """One for the customer's first line, of those that count, with the product."""
    lines = np.flatnonzero(counts)
    lines = lines[np.lexsort((purchases.day[lines], purchases.product[lines], purchases.customer[lines]))]
    customer, product = purchases.customer[lines], purchases.product[lines]
    is_new = np.ones(len(lines), dtype=np.bool_)
    is_new[1:] = (customer[1:] != customer[:-1]) | (product[1:] != product[:-1])
    first = np.zeros(len(counts), dtype=np.int64)
    first[lines[is_new]] = 1
    return first


class _RunningSums:
    """Sums of `amounts`, shape (k, rows), over the rows of each customer up to any day.

    Whole numbers, so that no rounding carries over from one customer, or from the future, to another sum.
    """

    def __init__(self, key: Ints, amounts: Ints) -> None:
        order = np.argsort(key, kind="stable")
        self._key = key[order]
        self._running = np.zeros((len(amounts), len(key) + 1), dtype=np.int64)
        np.cumsum(amounts[:, order], axis=1, out=self._running[:, 1:])

    def before(self, customer: Ints, day: Days) -> Ints:
        """Of each customer before each day, both of the shape (n,): shape (k, n)."""
        start = np.searchsorted(self._key, customer * _SPAN - _SPAN // 2)
        end = np.searchsorted(self._key, _key(customer, day))
        return self._running[:, end] - self._running[:, start]


def _key(customer: Ints, day: Days) -> Ints:
    return customer * _SPAN + day.astype("datetime64[D]").astype(np.int64)


def _ages(born: Days, day: Days) -> Ints:
    """Whole years from birth to the day; the usual age where the birth is not known, or is yet to come."""
    months = day.astype("datetime64[M]").astype(np.int64) - born.astype("datetime64[M]").astype(np.int64)
    day_of_month = day - day.astype("datetime64[M]")
    birth_day_of_month = born - born.astype("datetime64[M]")
    ages = (months - (day_of_month < birth_day_of_month)) // 12
    return np.asarray(np.where(np.isnat(born) | (born > day), USUAL_AGE, ages))
