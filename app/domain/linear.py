"""A linear model of the features, folded so that no pair of customer and coupon has to be encoded."""

from dataclasses import dataclass

import numpy as np

from app.domain.features import (
    COUPON_COLUMNS,
    COUPON_END,
    CUSTOMER_COLUMNS,
    CUSTOMER_END,
    GAP,
    HAS_BOUGHT,
    LEFT,
    RIGHT,
    Floats,
    price_gap,
    sigmoid,
)
from app.domain.model_card import LinearForm


@dataclass(frozen=True, slots=True)
class LinearModel:
    """Log odds that are a weighted sum of the features of `encode`, taken apart by who has a part in them.

    For one customer the products with a coupon's columns are weights of these columns: one product of a matrix with a
    vector scores all candidates. `of_pairs` has the shape (D, C).
    """

    intercept: float
    of_customer: Floats
    of_coupon: Floats
    of_pairs: Floats
    of_gap: float

    @classmethod
    def of(cls, form: LinearForm) -> "LinearModel":
        """The model whose weights are those of FEATURE_NAMES."""
        weights = np.array(form.weights)
        pairs = np.zeros((len(COUPON_COLUMNS), len(CUSTOMER_COLUMNS)))
        pairs[RIGHT, LEFT] = weights[COUPON_END:GAP]
        customer, coupon = weights[:CUSTOMER_END].copy(), weights[CUSTOMER_END:COUPON_END].copy()
        return cls(form.intercept, customer, coupon, pairs, float(weights[GAP]))

    def probabilities(self, customer: Floats, coupons: Floats) -> Floats:
        """Shape (n,), of one customer, shape (C,), and n coupons, shape (n, D), as the features' matrices have them."""
        odds = coupons @ (self.of_coupon + self.of_pairs @ customer)
        odds += self.intercept + self.of_customer @ customer
        if customer[HAS_BOUGHT]:
            odds += self.of_gap * price_gap(customer, coupons)
        return sigmoid(odds)
