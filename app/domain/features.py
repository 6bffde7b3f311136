"""The one encoding of customer and coupon, for training and for serving.

A row is [customer columns | coupon columns | products of the two | gap between the two]. The interactions are what
lets a linear model tell customers apart: without them it would rank the coupons alike for everybody. With the squares
of both log prices and their product it can say that a price may be too low as well as too high for a customer. Totals
enter as rates, pulled towards the usual while little is known: a model that counts would drift, as customers only ever
grow older in it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DOCUMENTED_DEPARTMENTS

Floats = NDArray[np.float64]

ENCODING_VERSION = 2
AGE_BANDS = ((0, 25), (25, 30), (30, 35), (35, 40), (40, 50), (50, 60), (60, 200))
USUAL_COUPON_RATE = 0.1  # coupons used for each item bought, by somebody of whom nothing is known
ITEMS_UNTIL_KNOWN = 40.0  # how many items weigh as much as that guess
USUAL_DISCOUNT = 20.0  # percent, of the coupons used by somebody of whom nothing is known
USES_UNTIL_KNOWN = 3.0

_TYPES = tuple(f"type_{kind}" for kind in CouponType)
_DEPARTMENTS = tuple(f"department_{name.lower()}" for name in DOCUMENTED_DEPARTMENTS)
_AGES = tuple(f"age_{low}_{high}" for low, high in AGE_BANDS)

CUSTOMER_COLUMNS = (
    "is_female",
    "is_male",
    *_AGES,
    "has_bought",
    "log_mean_buy_price",
    "squared_log_mean_buy_price",
    "log_coupon_rate",
    "mean_discount_received",
)
COUPON_COLUMNS = (
    *_TYPES,
    *_DEPARTMENTS,
    "discount",
    "log_products_required",
    "log_mean_price",
    "log_products_available",
    "squared_log_mean_price",
)
_INTERACTING = {
    "is_female": _DEPARTMENTS,
    "is_male": _DEPARTMENTS,
    **dict.fromkeys(_AGES, (*_TYPES, *_DEPARTMENTS)),
    "has_bought": ("log_mean_price", "squared_log_mean_price"),
    "log_mean_buy_price": ("log_mean_price",),
    "log_coupon_rate": ("discount",),
    "mean_discount_received": ("discount",),
}
INTERACTIONS = tuple((left, right) for left, rights in _INTERACTING.items() for right in rights)
PRICE_GAP = "|log_mean_buy_price-log_mean_price|"  # 0 for a customer who has bought nothing

FEATURE_NAMES = (
    *CUSTOMER_COLUMNS,
    *COUPON_COLUMNS,
    *(f"{left}*{right}" for left, right in INTERACTIONS),
    PRICE_GAP,
)

LEFT = np.array([CUSTOMER_COLUMNS.index(left) for left, _ in INTERACTIONS])
RIGHT = np.array([COUPON_COLUMNS.index(right) for _, right in INTERACTIONS])
HAS_BOUGHT = CUSTOMER_COLUMNS.index("has_bought")
BUY_PRICE = CUSTOMER_COLUMNS.index("log_mean_buy_price")
COUPON_RATE = CUSTOMER_COLUMNS.index("log_coupon_rate")
PRICE = COUPON_COLUMNS.index("log_mean_price")
CUSTOMER_END = len(CUSTOMER_COLUMNS)
COUPON_END = CUSTOMER_END + len(COUPON_COLUMNS)
GAP = len(FEATURE_NAMES) - 1


def customer_matrix(contexts: Sequence[CustomerContext]) -> Floats:
    """Shape (m, len(CUSTOMER_COLUMNS)); the price as log(1 + price) and its square, the rate of coupons used as its
    log, the discount as a share of one.
    """
    rows = [
        (
            context.gender is Gender.FEMALE,
            context.gender is Gender.MALE,
            *(low <= context.age < high for low, high in AGE_BANDS),
            context.mean_buy_price > 0,
            context.mean_buy_price,
            0.0,
            _coupon_rate(context),
            _mean_discount(context),
        )
        for context in contexts
    ]
    matrix = np.array(rows, dtype=np.float64).reshape(len(rows), len(CUSTOMER_COLUMNS))
    matrix[:, BUY_PRICE] = np.log1p(np.maximum(matrix[:, BUY_PRICE], 0.0))
    matrix[:, BUY_PRICE + 1] = matrix[:, BUY_PRICE] ** 2
    matrix[:, COUPON_RATE] = np.log(matrix[:, COUPON_RATE])
    return matrix


def coupon_matrix(coupons: Sequence[Coupon]) -> Floats:
    """Shape (n, len(COUPON_COLUMNS)); discounts as shares of one, amounts as log(1 + amount), the price squared, too.

    Laid out in memory by column, as `encode` reads it.
    """
    rows = [
        (
            *(coupon.type is kind for kind in CouponType),
            *(coupon.department == name for name in DOCUMENTED_DEPARTMENTS),
            coupon.discount / 100,
            coupon.how_many_products_required,
            coupon.product_mean_price,
            coupon.products_available,
            0.0,
        )
        for coupon in coupons
    ]
    matrix = np.array(rows, dtype=np.float64, order="F").reshape(len(rows), len(COUPON_COLUMNS), order="F")
    amounts = slice(COUPON_COLUMNS.index("log_products_required"), -1)
    matrix[:, amounts] = np.log1p(np.maximum(matrix[:, amounts], 0.0))
    matrix[:, -1] = matrix[:, PRICE] ** 2
    return matrix


def encode(customers: Floats, coupons: Floats) -> Floats:
    """Pair customers with coupons, shape (n, len(FEATURE_NAMES)).

    `customers` has the shape (n, C) of `customer_matrix`, row i going with coupon i, or (1, C): one customer for all
    coupons; `coupons` has the shape (n, D) of `coupon_matrix`.
    """
    columns = np.empty((len(FEATURE_NAMES), len(coupons)))
    customer, coupon = customers.T, coupons.T
    columns[:CUSTOMER_END] = customer
    columns[CUSTOMER_END:COUPON_END] = coupon
    np.multiply(customer[LEFT], coupon[RIGHT], out=columns[COUPON_END:GAP])
    columns[GAP] = price_gap(customers, coupons)
    return columns.T


def price_gap(customers: Floats, coupons: Floats) -> Floats:
    """How far the prices are apart, 0 where the customer has bought nothing; shapes as in `encode`."""
    gap: Floats = customers[..., HAS_BOUGHT] * np.abs(customers[..., BUY_PRICE] - coupons[:, PRICE])
    return gap


def sigmoid(log_odds: Floats) -> Floats:
    """Probabilities, of the same shape; no odds are too large."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * log_odds))


def _coupon_rate(context: CustomerContext) -> float:
    """Coupons used for each item bought; the usual one until enough is known. Always above 0."""
    used, items = max(0, context.total_coupons_used), max(0, context.total_items_bought)
    return (used + USUAL_COUPON_RATE * ITEMS_UNTIL_KNOWN) / (items + ITEMS_UNTIL_KNOWN)


def _mean_discount(context: CustomerContext) -> float:
    """Of the coupons used, as a share of one; the usual one until enough is known."""
    used = max(0, context.total_coupons_used)
    percents = context.mean_discount_received * used + USUAL_DISCOUNT * USES_UNTIL_KNOWN
    return percents / (used + USES_UNTIL_KNOWN) / 100
