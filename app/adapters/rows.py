"""From rows of the documented tables to domain values, whether the rows come from files or from the database.

The database's columns may hold what no file would pass: NULL everywhere, any text as a date. A row that cannot be
what it should be raises ValueError with a sentence; what is merely missing takes a default.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date

import numpy as np

from app.adapters.columns import WHOLE_NUMBER
from app.adapters.tables import COUPON_INFO, Row, first_problem
from app.domain.coupon import Coupon, CouponType, Product
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DepartmentNames


def coupon_from_row(row: Row, products: tuple[Product, ...], departments: DepartmentNames) -> Coupon:
    """A row of coupon_info. Raises ValueError when it breaks a rule of that table, NULL included."""
    if (problem := first_problem(COUPON_INFO, row)) is not None:
        raise ValueError(f"coupon {row['coupon_id']}: {problem.column} {problem.rule}")
    return Coupon(
        coupon_id=str(row["coupon_id"]),
        type=CouponType(str(row["coupon_type"])),
        department=departments.canonical(str(row["department"])),
        discount=_real(row["discount"]),
        how_many_products_required=_whole(row["how_many_products_required"]),
        start_date=date.fromisoformat(str(row["start_date"])),
        end_date=date.fromisoformat(str(row["end_date"])),
        product_mean_price=_real(row["product_mean_price"]),
        products_available=_whole(row["products_available"]),
        products=products,
    )


def product_from_row(row: Row) -> Product:
    """A row of product_info; a missing text is empty, a missing price 0."""
    return Product(
        product_id=str(row["product_id"]),
        name=_text(row["name"]),
        category=_text(row["category"]),
        sizes=_text(row["sizes"]),
        vendor=_text(row["vendor"]),
        description=_text(row["description"]),
        buy_price=_real(row["buy_price"]),
        department=_text(row["department"]),
    )


def context_from_row(row: Row, defaults: CustomerContext) -> CustomerContext:
    """A row of customer_info (or customer_info_text); what is missing takes the value of `defaults`."""
    return CustomerContext(
        customer_id=str(row["customer_id"]),
        gender=Gender(row["gender"]) if row["gender"] in ("F", "M") else defaults.gender,
        age=_whole(row["age"], defaults.age),
        mean_buy_price=_real(row["mean_buy_price"], defaults.mean_buy_price),
        total_coupons_used=_whole(row["total_coupons_used"], defaults.total_coupons_used),
        mean_discount_received=_real(row["mean_discount_received"], defaults.mean_discount_received),
        unique_products_bought=_whole(row["unique_products_bought"], defaults.unique_products_bought),
        unique_products_bought_with_coupons=_whole(
            row["unique_products_bought_with_coupons"], defaults.unique_products_bought_with_coupons
        ),
        total_items_bought=_whole(row["total_items_bought"], defaults.total_items_bought),
    )


def row_from_context(context: CustomerContext) -> Row:
    """A row of customer_info; an id that is a whole number becomes one, no gender becomes NULL."""
    key = context.customer_id
    is_whole = WHOLE_NUMBER.fullmatch(key) is not None and str(int(key)) == key
    return {
        **asdict(context),
        "customer_id": int(key) if is_whole else key,
        "gender": context.gender.value or None,
    }


def shortest(value: float) -> float:
    """The number with the fewest digits that the same REAL stands for: 12.9 for 12.899999618530273."""
    return float(str(np.float32(value)))


@dataclass(frozen=True, slots=True)
class Shifted:
    """Rows of coupon_info, moved by a number of years."""

    rows: Sequence[Row]
    years: int


def shift_dates(rows: Sequence[Row], today: date) -> Shifted:
    """Move all coupons by the fewest whole years that let one of them end today or later, if all have ended before.

    Takes rows as the reader passed them: dates in ISO text. 29 February becomes the 28th where the year has none.
    """
    ends = [date.fromisoformat(str(row["end_date"])) for row in rows]
    if not ends or max(ends) >= today:
        return Shifted(rows, 0)
    years = today.year - max(ends).year
    if _moved(max(ends), years) < today:
        years += 1
    return Shifted([{**row, **_moved_dates(row, years)} for row in rows], years)


def _moved_dates(row: Row, years: int) -> Row:
    return {name: _moved(date.fromisoformat(str(row[name])), years).isoformat() for name in ("start_date", "end_date")}


def _moved(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return day.replace(year=day.year + years, day=28)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _whole(value: object, default: int = 0) -> int:
    return value if isinstance(value, int) else default


def _real(value: object, default: float = 0.0) -> float:
    return shortest(value) if isinstance(value, int | float) and math.isfinite(value) else default
