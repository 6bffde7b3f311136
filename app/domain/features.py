"""The one encoding of customer and coupon, for training and for serving.

A row is [customer columns | coupon columns | products of the two | gaps between the two]. The interactions are what
lets a linear model tell customers apart: without them it would rank the coupons alike for everybody.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DOCUMENTED_DEPARTMENTS

Floats = NDArray[np.float64]

ENCODING_VERSION = 1
AGE_BANDS = ((0, 25), (25, 35), (35, 50), (50, 200))

CUSTOMER_COLUMNS = (
    "is_female",
    "is_male",
    *(f"age_{low}_{high}" for low, high in AGE_BANDS),
    "log_mean_buy_price",
    "log_coupons_used",
    "mean_discount_received",
    "log_unique_products",
    "log_total_items",
    "coupon_share",
)
COUPON_COLUMNS = (
    *(f"type_{kind}" for kind in CouponType),
    *(f"department_{name.lower()}" for name in DOCUMENTED_DEPARTMENTS),
    "discount",
    "log_products_required",
    "log_mean_price",
    "log_products_available",
)
_INTERACTING = {
    "is_female": [column for column in COUPON_COLUMNS if column.startswith("department_")],
    "is_male": [column for column in COUPON_COLUMNS if column.startswith("department_")],
    **{
        f"age_{low}_{high}": [column for column in COUPON_COLUMNS if column.startswith(("department_", "type_"))]
        for low, high in AGE_BANDS
    },
    "mean_discount_received": ["discount"],
    "coupon_share": ["discount", *(column for column in COUPON_COLUMNS if column.startswith("type_"))],
    "log_total_items": ["log_products_required", "type_buy_all"],
}
INTERACTIONS = tuple((left, right) for left, rights in _INTERACTING.items() for right in rights)
GAPS = (("log_mean_buy_price", "log_mean_price"), ("mean_discount_received", "discount"))

FEATURE_NAMES = (
    *CUSTOMER_COLUMNS,
    *COUPON_COLUMNS,
    *(f"{left}*{right}" for left, right in INTERACTIONS),
    *(f"|{left}-{right}|" for left, right in GAPS),
)

_LEFT = np.array([CUSTOMER_COLUMNS.index(left) for left, _ in INTERACTIONS])
_RIGHT = np.array([COUPON_COLUMNS.index(right) for _, right in INTERACTIONS])
_GAP_LEFT = np.array([CUSTOMER_COLUMNS.index(left) for left, _ in GAPS])
_GAP_RIGHT = np.array([COUPON_COLUMNS.index(right) for _, right in GAPS])
_CUSTOMER_END = len(CUSTOMER_COLUMNS)
_COUPON_END = _CUSTOMER_END + len(COUPON_COLUMNS)
_INTERACTION_END = _COUPON_END + len(INTERACTIONS)


def customer_matrix(contexts: Sequence[CustomerContext]) -> Floats:
    """Shape (m, len(CUSTOMER_COLUMNS)); discounts as shares of one, amounts as log(1 + amount)."""
    rows = [
        (
            context.gender is Gender.FEMALE,
            context.gender is Gender.MALE,
            *(low <= context.age < high for low, high in AGE_BANDS),
            context.mean_buy_price,
            context.total_coupons_used,
            context.mean_discount_received / 100,
            context.unique_products_bought,
            context.total_items_bought,
            context.unique_products_bought_with_coupons / max(1, context.unique_products_bought),
        )
        for context in contexts
    ]
    return _with_logs(rows, CUSTOMER_COLUMNS)


def coupon_matrix(coupons: Sequence[Coupon]) -> Floats:
    """Shape (n, len(COUPON_COLUMNS)); discounts as shares of one, amounts as log(1 + amount)."""
    rows = [
        (
            *(coupon.type is kind for kind in CouponType),
            *(coupon.department == name for name in DOCUMENTED_DEPARTMENTS),
            coupon.discount / 100,
            max(0, coupon.how_many_products_required),
            coupon.product_mean_price,
            coupon.products_available,
        )
        for coupon in coupons
    ]
    return _with_logs(rows, COUPON_COLUMNS)


def encode(customers: Floats, coupons: Floats) -> Floats:
    """Pair customers with coupons, shape (n, len(FEATURE_NAMES)).

    `customers` has the shape (n, C) of `customer_matrix`, row i going with coupon i, or (1, C): one customer for all
    coupons; `coupons` has the shape (n, D) of `coupon_matrix`.
    """
    rows = np.empty((len(coupons), len(FEATURE_NAMES)))
    rows[:, :_CUSTOMER_END] = customers
    rows[:, _CUSTOMER_END:_COUPON_END] = coupons
    np.multiply(customers[:, _LEFT], coupons[:, _RIGHT], out=rows[:, _COUPON_END:_INTERACTION_END])
    np.abs(customers[:, _GAP_LEFT] - coupons[:, _GAP_RIGHT], out=rows[:, _INTERACTION_END:])
    return rows


def _with_logs(rows: Sequence[tuple[float, ...]], columns: Sequence[str]) -> Floats:
    matrix = np.array(rows, dtype=np.float64).reshape(len(rows), len(columns))
    logs = [index for index, column in enumerate(columns) if column.startswith("log_")]
    matrix[:, logs] = np.log1p(np.maximum(matrix[:, logs], 0.0))
    return matrix
