"""How many products a coupon asks for."""

from dataclasses import replace

import pytest

from app.domain.coupon import CouponType
from tests.builders import COUPON, PRODUCT

LISTED = replace(COUPON, how_many_products_required=3, products=(PRODUCT, replace(PRODUCT, product_id="34")))


@pytest.mark.parametrize(
    ("kind", "how_many"),
    [
        pytest.param(CouponType.BUY_MORE, 3, id="as many of one product as are required"),
        pytest.param(CouponType.BUY_ALL, 2, id="all products on the list"),
        pytest.param(CouponType.JUST_DISCOUNT, 1, id="one"),
        pytest.param(CouponType.DEPARTMENT, -1, id="no number applies"),
    ],
)
def test_how_many_depends_on_the_type(kind: CouponType, how_many: int) -> None:
    assert replace(LISTED, type=kind).how_many == how_many


def test_every_type_has_a_number() -> None:
    assert all(isinstance(replace(LISTED, type=kind).how_many, int) for kind in CouponType)
