"""What the central knows of a customer."""

from dataclasses import dataclass
from enum import StrEnum

USUAL_AGE = 38  # of somebody who has not told


class Gender(StrEnum):
    """As the documented tables spell it; UNKNOWN where the central does not say."""

    FEMALE = "F"
    MALE = "M"
    UNKNOWN = ""


@dataclass(frozen=True, slots=True)
class CustomerContext:
    """Demographics and purchase history of one customer.

    `age` is in years, `mean_buy_price` in the shop's currency, `mean_discount_received` in percent; the totals count
    coupons and items over the customer's whole history.
    """

    customer_id: str
    gender: Gender
    age: int
    mean_buy_price: float
    total_coupons_used: int
    mean_discount_received: float
    unique_products_bought: int
    unique_products_bought_with_coupons: int
    total_items_bought: int


class ContextSource(StrEnum):
    """Where the context of a decision came from."""

    CENTRAL = "central"
    CACHE = "cache"
    STALE = "stale"
    DEFAULTS = "defaults"
