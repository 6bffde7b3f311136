"""Coupons and the products they are good for."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import assert_never


class CouponType(StrEnum):
    """What a customer has to do for the discount."""

    BUY_MORE = "buy_more"
    BUY_ALL = "buy_all"
    JUST_DISCOUNT = "just_discount"
    DEPARTMENT = "department"


@dataclass(frozen=True, slots=True)
class Product:
    """One product; `buy_price` in the shop's currency."""

    product_id: str
    name: str
    category: str
    sizes: str
    vendor: str
    description: str
    buy_price: float
    department: str


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon that may be issued from `start_date` to `end_date`, both included.

    `discount` is in percent, `product_mean_price` in the shop's currency, `products_available` counts items in stock.
    """

    coupon_id: str
    type: CouponType
    department: str
    discount: float
    how_many_products_required: int
    start_date: date
    end_date: date
    product_mean_price: float
    products_available: int
    products: tuple[Product, ...] = ()

    @property
    def how_many(self) -> int:
        """How many items the customer must buy, as the contract counts them for each type (-1: no number applies)."""
        match self.type:
            case CouponType.BUY_MORE:
                return self.how_many_products_required
            case CouponType.BUY_ALL:
                return len(self.products)
            case CouponType.JUST_DISCOUNT:
                return 1
            case CouponType.DEPARTMENT:
                return -1
            case _:
                assert_never(self.type)
