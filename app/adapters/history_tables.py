"""The files of a history: their columns, and the rules a row must keep."""

from collections.abc import Callable

from app.adapters.columns import Column, Kind
from app.adapters.tables import Problem, Row, Table

FIRST_DAY, LAST_DAY = "1900-01-01", "2199-12-31"  # days beyond are marks of something else, such as 9999-12-31
MAX_QUANTITY = 1_000_000
MAX_PRICE = 1e9


def _id(name: str, *, required: bool = True, absent: bool = False) -> Column:
    return Column(name, Kind.TEXT, required, max_length=64, may_be_absent=absent)


def _day(name: str, *, required: bool = True, absent: bool = False) -> Column:
    return Column(name, Kind.DATE, required, may_be_absent=absent)


def _files(name: str) -> tuple[str, ...]:
    return f"{name}.csv", f"{name}.parquet"


def _within_range(*days: str) -> Callable[[Row], Problem | None]:
    def broken(row: Row) -> Problem | None:
        for name in days:
            day = row[name]
            if isinstance(day, str) and not FIRST_DAY <= day <= LAST_DAY:
                return Problem(name, f"must be from {FIRST_DAY} to {LAST_DAY}")
        return None

    return broken


CUSTOMERS = Table(
    "customers",
    _files("customers"),
    (
        _id("customer_id"),
        Column("gender", Kind.TEXT, max_length=1, choices=("F", "M"), may_be_absent=True),
        _day("born", required=False, absent=True),
    ),
    key=("customer_id",),
    row_rule=_within_range("born"),
)
ORDERS = Table(
    "orders",
    _files("orders"),
    (_id("order_id"), _id("customer_id"), _day("ordered_on")),
    key=("order_id",),
    row_rule=_within_range("ordered_on"),
)
ORDER_LINES = Table(
    "order_lines",
    _files("order_lines"),
    (
        _id("order_id"),
        _id("product_id"),
        Column("quantity", Kind.INTEGER, True, 1, MAX_QUANTITY),
        Column("price", Kind.REAL, True, 0, MAX_PRICE),
        _id("coupon_id", required=False, absent=True),
    ),
    key=(),
)
COUPON_ISSUES = Table(
    "coupon_issues",
    _files("coupon_issues"),
    (_id("customer_id"), _id("coupon_id"), _day("issued_on"), _day("redeemed_on", required=False, absent=True)),
    key=("customer_id", "coupon_id", "issued_on"),
    row_rule=_within_range("issued_on", "redeemed_on"),
)
REDEMPTIONS = Table(
    "redemptions",
    _files("redemptions"),
    (_id("customer_id"), _id("coupon_id"), _day("redeemed_on")),
    key=("customer_id", "coupon_id", "redeemed_on"),
    row_rule=_within_range("redeemed_on"),
)
HISTORY_TABLES = (CUSTOMERS, ORDERS, ORDER_LINES, COUPON_ISSUES)  # what is referred to comes first
