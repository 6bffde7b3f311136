"""The four documented tables: their columns, their files, and the rules a row must keep. Everybody reads it here."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.adapters.columns import REAL_MAX, Column, Kind, broken_rule
from app.domain.coupon import CouponType

Row = Mapping[str, object]

INT_MIN, INT_MAX = -(2**31), 2**31 - 1


@dataclass(frozen=True, slots=True)
class Problem:
    """A rule that a row breaks, and the column that breaks it."""

    column: str
    rule: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table, the names its file may have (the first is the one to write), and the columns that tell its rows apart.

    `row_rule` looks at what no single column can tell.
    """

    name: str
    file_names: tuple[str, ...]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    row_rule: Callable[[Row], Problem | None] = lambda row: None

    @property
    def column_names(self) -> tuple[str, ...]:
        """In the order of the table, which is that of the written file."""
        return tuple(column.name for column in self.columns)


def first_problem(table: Table, row: Row) -> Problem | None:
    """The first rule of the table that the row breaks."""
    for column in table.columns:
        if (rule := broken_rule(column, row[column.name])) is not None:
            return Problem(column.name, rule)
    return table.row_rule(row)


def _starts_before_it_ends(row: Row) -> Problem | None:
    start, end = row["start_date"], row["end_date"]
    if isinstance(start, str) and isinstance(end, str) and start > end:
        return Problem("end_date", "must not be before start_date")
    return None


def _whole(name: str, minimum: int = 0, maximum: int = INT_MAX, *, required: bool = False) -> Column:
    return Column(name, Kind.INTEGER, required, minimum, maximum)


def _real(name: str, maximum: float = REAL_MAX, *, required: bool = False) -> Column:
    return Column(name, Kind.REAL, required, 0, maximum)


def _text(name: str, max_length: int, *choices: str, required: bool = False) -> Column:
    return Column(name, Kind.TEXT, required, max_length=max_length, choices=choices)


COUPON_INFO = Table(
    "coupon_info",
    ("coupon_info.csv",),
    (
        _whole("coupon_id", INT_MIN, required=True),
        _text("coupon_type", 16, *CouponType, required=True),
        _text("department", 10, required=True),
        _whole("discount", maximum=100, required=True),
        _whole("how_many_products_required", minimum=-1, required=True),  # -1: no number applies
        Column("start_date", Kind.DATE, is_required=True),
        Column("end_date", Kind.DATE, is_required=True),
        _real("product_mean_price", required=True),
        _whole("products_available", required=True),
    ),
    key=("coupon_id",),
    row_rule=_starts_before_it_ends,
)
PRODUCT_INFO = Table(
    "product_info",
    ("products.csv", "product_info.csv"),
    (
        _whole("product_id", INT_MIN, required=True),
        _text("name", 256),
        _text("category", 50),
        _text("sizes", 50),
        _text("vendor", 50),
        _text("description", 256),
        _real("buy_price"),
        _text("department", 10),
    ),
    key=("product_id",),
)
COUPON_PRODUCT = Table(
    "coupon_product",
    ("coupon_product.csv",),
    (_whole("coupon_id", INT_MIN, required=True), _whole("product_id", INT_MIN, required=True)),
    key=("coupon_id", "product_id"),
)
CUSTOMER_INFO = Table(
    "customer_info",
    ("customer_info.csv",),
    (
        _whole("customer_id", INT_MIN, required=True),
        _text("gender", 1, "F", "M"),
        _whole("age", maximum=150),
        _real("mean_buy_price"),
        _whole("total_coupons_used"),
        _real("mean_discount_received", maximum=100),
        _whole("unique_products_bought"),
        _whole("unique_products_bought_with_coupons"),
        _whole("total_items_bought"),
    ),
    key=("customer_id",),
)
CATALOGUE_TABLES = (PRODUCT_INFO, COUPON_INFO, COUPON_PRODUCT)
TABLES = (*CATALOGUE_TABLES, CUSTOMER_INFO)  # what is referred to comes first
