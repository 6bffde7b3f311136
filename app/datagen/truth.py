"""The cause: how likely each customer is to redeem each coupon.

A logistic model of taste (that comes from age and gender), price fit, discount, deal-proneness and type.
"""

from collections.abc import Sequence

import numpy as np

from app.datagen.customers import Traits
from app.datagen.products import CATEGORY_NAMES
from app.domain.coupon import Coupon, CouponType
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.features import Floats

INTERCEPT = -1.75
TASTE, CATEGORY_TASTE = 0.8, 0.4
PRICE_GAP = -1.6  # per unit of log price
DISCOUNT, DISCOUNT_OF_DEAL_PRONE = 0.55, 0.15
USUAL_DISCOUNT = 20.0
DEAL_PRONENESS = 0.4
REQUIRED = -0.5  # per unit of log products required

# What everybody thinks of a type, and what the young, parents and seniors add to that.
TYPE_EFFECTS = {
    CouponType.BUY_MORE: (0.0, -0.4, 0.6, 0.0),
    CouponType.BUY_ALL: (-0.1, 0.4, 0.0, -0.3),
    CouponType.JUST_DISCOUNT: (0.0, 0.4, 0.0, 0.1),
    CouponType.DEPARTMENT: (0.4, 0.0, 0.0, 0.5),
}


def redemption_probability(traits: Traits, coupons: Sequence[Coupon]) -> Floats:
    """The true probability for every customer and coupon, shape (customers, coupons)."""
    departments, categories, types = _one_hot(coupons)
    discount = (np.array([coupon.discount for coupon in coupons]) - USUAL_DISCOUNT) / 10
    price = np.log([coupon.product_mean_price for coupon in coupons])
    required = np.log([max(1, coupon.how_many_products_required) for coupon in coupons])
    effects = np.array([TYPE_EFFECTS[kind] for kind in CouponType])
    deal = traits.deal_proneness[:, None]
    logits = (
        INTERCEPT
        + TASTE * traits.department_taste @ departments.T
        + CATEGORY_TASTE * traits.category_taste @ categories.T
        + PRICE_GAP * np.abs(traits.price_level[:, None] - price)
        + (DISCOUNT + DISCOUNT_OF_DEAL_PRONE * deal) * discount
        + DEAL_PRONENESS * deal
        + REQUIRED * required
        + (effects[:, 0] + traits.life @ effects[:, 1:].T) @ types.T
    )
    probabilities: Floats = 1 / (1 + np.exp(-logits))
    return probabilities


def _one_hot(coupons: Sequence[Coupon]) -> tuple[Floats, Floats, Floats]:
    """One row for each coupon: its department, the shares of the categories among its products, its type."""
    departments = [[coupon.department == name for name in DOCUMENTED_DEPARTMENTS] for coupon in coupons]
    types = [[coupon.type is kind for kind in CouponType] for coupon in coupons]
    position = {name: index for index, name in enumerate(CATEGORY_NAMES)}
    categories = np.zeros((len(coupons), len(CATEGORY_NAMES)))
    for row, coupon in enumerate(coupons):
        found = [position[product.category] for product in coupon.products]
        categories[row] = np.bincount(found, minlength=len(CATEGORY_NAMES)) / len(found)
    return np.array(departments, dtype=np.float64), categories, np.array(types, dtype=np.float64)
