"""Customers and coupons that every model is tried on: what it says of them stands on its card."""

from datetime import date
from itertools import product

import numpy as np

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.features import Floats, coupon_matrix, customer_matrix

_FIRST, _LAST = date(2000, 1, 1), date(2000, 12, 31)


def probe() -> tuple[Floats, Floats]:
    """Customers, shape (8, C), and coupons, shape (40, D), as the features' matrices have them; always the same."""
    customers = [
        CustomerContext("probe", gender, age, price, used, 12.5, 3 * used + 4, used, 9 * used + 4)
        for gender, (age, price, used) in product(
            (Gender.FEMALE, Gender.MALE), ((19, 0.0, 0), (33, 18.4, 2), (47, 41.25, 9), (71, 96.0, 31))
        )
    ]
    coupons = [
        Coupon("probe", kind, department, discount, 1 + index % 4, _FIRST, _LAST, 6.5 * (index + 1), 11 * index)
        for index, (department, kind, discount) in enumerate(product(DOCUMENTED_DEPARTMENTS, CouponType, (5.0, 30.0)))
    ]
    return customer_matrix(customers), coupon_matrix(coupons)


def largest_gap(one: Floats, other: Floats) -> float:
    """Between two arrays of one shape; infinite where one holds what is no number."""
    gap = np.abs(one - other)
    return float(gap.max()) if np.isfinite(gap).all() else float("inf")
