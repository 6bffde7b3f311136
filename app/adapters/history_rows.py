"""Rows of a history's files as columns of numbers; each row that names what is not there is refused."""

from array import array
from collections.abc import Mapping
from datetime import date

import numpy as np

from app.adapters.tables import Problem, Row
from app.domain.customer import Gender
from app.domain.history import NEVER, WITHOUT_COUPON, CouponIssues, Customers, Days, Ints, Purchases

EPOCH = date(1970, 1, 1).toordinal()
NOT_REDEEMED = np.iinfo(np.int64).min  # as NEVER is a number of days


class CustomerRows:
    """The customers by their ids, in the order of the file."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self._genders: list[Gender] = []
        self._born: list[str | None] = []

    def take(self, row: Row) -> Problem | None:
        """Keep the customer, or say what is wrong with the row; so do the others."""
        key = _key(row, "customer_id")
        if key in self.index:
            return Problem("customer_id", "must be unique")
        self.index[key] = len(self.index)
        self._genders.append(Gender(_key(row, "gender")))
        self._born.append(None if row["born"] is None else str(row["born"]))
        return None

    def customers(self) -> Customers:
        """All that were taken."""
        born = [NEVER if day is None else np.datetime64(day, "D") for day in self._born]
        return Customers(tuple(self.index), tuple(self._genders), np.array(born, dtype="datetime64[D]"))


class OrderRows:
    """Who ordered, and when."""

    def __init__(self, customers: Mapping[str, int]) -> None:
        self._customers = customers
        self.index: dict[str, int] = {}
        self.customer = array("q")
        self.day = array("q")

    def take(self, row: Row) -> Problem | None:
        customer = self._customers.get(_key(row, "customer_id"))
        if customer is None:
            return Problem("customer_id", "must name a customer of the customers file")
        key = _key(row, "order_id")
        if key in self.index:
            return Problem("order_id", "must be unique")
        self.index[key] = len(self.index)
        self.customer.append(customer)
        self.day.append(_days_since_epoch(row["ordered_on"]))
        return None


class LineRows:
    """What was ordered."""

    def __init__(self, orders: OrderRows, products: Mapping[str, int], coupons: Mapping[str, int]) -> None:
        self._orders, self._products, self._coupons = orders, products, coupons
        self._order, self._product, self._quantity, self._coupon = array("q"), array("q"), array("q"), array("q")
        self._price = array("d")

    def take(self, row: Row) -> Problem | None:
        order = self._orders.index.get(_key(row, "order_id"))
        if order is None:
            return Problem("order_id", "must name an order of the orders file")
        product = self._products.get(_key(row, "product_id"))
        if product is None:
            return Problem("product_id", "must name a product of the products file")
        coupon_id = _key(row, "coupon_id")
        coupon = self._coupons.get(coupon_id) if coupon_id else WITHOUT_COUPON
        if coupon is None:
            return Problem("coupon_id", "must name a coupon of the coupon file")
        self._order.append(order)
        self._product.append(product)
        self._quantity.append(int(str(row["quantity"])))
        self._price.append(float(str(row["price"])))
        self._coupon.append(coupon)
        return None

    def purchases(self) -> Purchases:
        """All lines that were taken."""
        order = _ints(self._order)
        return Purchases(
            customer=_ints(self._orders.customer)[order],
            day=_days(self._orders.day)[order],
            product=_ints(self._product),
            quantity=_ints(self._quantity),
            price=np.array(self._price, dtype=np.float64),
            coupon=_ints(self._coupon),
        )


class IssueRows:
    """Coupons handed to customers, and what became of them."""

    def __init__(self, customers: Mapping[str, int], coupons: Mapping[str, int]) -> None:
        self._customers, self._coupons = customers, coupons
        self._customer, self._coupon, self._day = array("q"), array("q"), array("q")
        self._redeemed_on = array("q")
        self._seen: set[int] = set()
        self._issues_of: dict[tuple[int, int], list[int]] = {}

    def take(self, row: Row) -> Problem | None:
        found = self._pair(row)
        if isinstance(found, Problem):
            return found
        customer, coupon = found
        day, used = _days_since_epoch(row["issued_on"]), row["redeemed_on"]
        redeemed = NOT_REDEEMED if used is None else _days_since_epoch(used)
        if used is not None and redeemed < day:
            return Problem("redeemed_on", f"must not be before issued_on, {row['issued_on']}")
        key = (day * len(self._customers) + customer) * len(self._coupons) + coupon
        if key in self._seen:
            return Problem("coupon_id", "must be handed to a customer once a day")
        self._seen.add(key)
        self._customer.append(customer)
        self._coupon.append(coupon)
        self._day.append(day)
        self._redeemed_on.append(redeemed)
        return None

    def prepare_redemptions(self) -> None:
        """Find each customer's issues of each coupon, in the order of their days."""
        for issue in sorted(range(len(self._day)), key=self._day.__getitem__):
            self._issues_of.setdefault((self._customer[issue], self._coupon[issue]), []).append(issue)

    def redeem(self, row: Row) -> Problem | None:
        """Keep a redemption: of the customer's last issue of the coupon, up to that day, that is not redeemed yet.

        They are to come in the order of their days.
        """
        found = self._pair(row)
        if isinstance(found, Problem):
            return found
        day = _days_since_epoch(row["redeemed_on"])
        before = [issue for issue in self._issues_of.get(found, ()) if self._day[issue] <= day]
        if not before:
            return Problem("redeemed_on", "must follow an issue of the coupon to the customer")
        still_open = [issue for issue in before if self._redeemed_on[issue] == NOT_REDEEMED]
        if not still_open:
            return Problem("redeemed_on", "must be the only redemption of an issue of the coupon to the customer")
        self._redeemed_on[still_open[-1]] = day
        return None

    def issues(self) -> CouponIssues:
        """All that were taken."""
        return CouponIssues(_ints(self._customer), _ints(self._coupon), _days(self._day), _days(self._redeemed_on))

    def _pair(self, row: Row) -> tuple[int, int] | Problem:
        customer = self._customers.get(_key(row, "customer_id"))
        if customer is None:
            return Problem("customer_id", "must name a customer of the customers file")
        coupon = self._coupons.get(_key(row, "coupon_id"))
        return Problem("coupon_id", "must name a coupon of the coupon file") if coupon is None else (customer, coupon)


def _key(row: Row, column: str) -> str:
    value = row[column]
    return "" if value is None else str(value).strip()


def _days_since_epoch(day: object) -> int:
    return date.fromisoformat(str(day)).toordinal() - EPOCH


def _ints(values: "array[int]") -> Ints:
    return np.array(values, dtype=np.int64)


def _days(values: "array[int]") -> Days:
    return _ints(values).astype("datetime64[D]")
