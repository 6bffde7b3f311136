"""Values that many tests begin with (`dataclasses.replace` makes the others of them), and how they end a task."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any

from app.domain.catalogue import Catalogue
from app.domain.coupon import Coupon, CouponType, Product
from app.domain.customer import CustomerContext, Gender
from app.domain.event import FocusEvent

NOW = datetime(2026, 6, 15, 12, 30, tzinfo=UTC)
TODAY = NOW.date()

PRODUCT = Product(
    product_id="33",
    name="Plain T-shirt",
    category="T-shirts",
    sizes="S-XL",
    vendor="Northmoor",
    description="Cotton, plain.",
    buy_price=7.12,
    department="Men",
)

COUPON = Coupon(
    coupon_id="22",
    type=CouponType.BUY_MORE,
    department="Men",
    discount=14.0,
    how_many_products_required=3,
    start_date=date(2026, 1, 1),
    end_date=date(2026, 12, 31),
    product_mean_price=7.12,
    products_available=40,
    products=(PRODUCT,),
)

ANNA = CustomerContext(
    customer_id="127",
    gender=Gender.FEMALE,
    age=34,
    mean_buy_price=28.5,
    total_coupons_used=11,
    mean_discount_received=22.25,
    unique_products_bought=60,
    unique_products_bought_with_coupons=9,
    total_items_bought=90,
)

FOCUS = FocusEvent(
    customer_id="127",
    ts=int(NOW.timestamp()),
    department="Men",
    department_asked="Men",
)


def catalogue(*coupons: Coupon) -> Catalogue:
    """A catalogue of these coupons, or of the one."""
    return Catalogue(coupons or (COUPON,))


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let it run while the block lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await stop(task)


async def stop(task: asyncio.Task[None]) -> None:
    """Cancel until it helps: `asyncio.wait_for` of Python 3.11 may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1)
