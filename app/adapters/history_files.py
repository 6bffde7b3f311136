"""A retailer's purchase and coupon history, from a folder of CSV or Parquet files."""

from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from app.adapters.columns import Column, Kind
from app.adapters.csv_files import catalogue_coupons, has_file, orphans, path_of, read_catalogue_files
from app.adapters.csv_rows import BadRow, TableFile, ignored_lines, open_table, refusal_lines
from app.adapters.tables import Problem, Row, Table
from app.domain.customer import Gender
from app.domain.department import DepartmentNames
from app.domain.history import NEVER, WITHOUT_COUPON, CouponIssues, Customers, Days, History, Ints, Purchases

KEPT_BAD_ROWS = 1000  # of those to be shown; all are counted
PROGRESS_BYTES = 1 << 20
MAX_QUANTITY = 1_000_000
MAX_PRICE = 1e9
EPOCH = date(1970, 1, 1).toordinal()
NOT_REDEEMED = np.iinfo(np.int64).min  # as NEVER is a number of days

OnProgress = Callable[[str, int, int], None]
Take = Callable[[Row], Problem | None]


def _id(name: str, *, required: bool = True, absent: bool = False) -> Column:
    return Column(name, Kind.TEXT, required, max_length=64, may_be_absent=absent)


def _day(name: str, *, required: bool = True, absent: bool = False) -> Column:
    return Column(name, Kind.DATE, required, may_be_absent=absent)


def _files(name: str) -> tuple[str, ...]:
    return f"{name}.csv", f"{name}.parquet"


CUSTOMERS = Table(
    "customers",
    _files("customers"),
    (
        _id("customer_id"),
        Column("gender", Kind.TEXT, max_length=1, choices=("F", "M"), may_be_absent=True),
        _day("born", required=False, absent=True),
    ),
    key=("customer_id",),
)
ORDERS = Table("orders", _files("orders"), (_id("order_id"), _id("customer_id"), _day("ordered_on")), key=("order_id",))
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
)
REDEMPTIONS = Table(
    "redemptions",
    _files("redemptions"),
    (_id("customer_id"), _id("coupon_id"), _day("redeemed_on")),
    key=("customer_id", "coupon_id", "redeemed_on"),
)


@dataclass(frozen=True, slots=True)
class TableCount:
    """How many rows of a file were read, and how many of them refused."""

    table: str
    file: str
    rows_read: int
    refused: int
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HistoryReport:
    """What became of every file; `bad_rows` are the first of those refused, `remarks` what else is worth knowing."""

    tables: tuple[TableCount, ...]
    bad_rows: tuple[BadRow, ...]
    remarks: tuple[str, ...]

    @property
    def refused(self) -> int:
        """Rows refused, of all tables."""
        return sum(table.refused for table in self.tables)

    def lines(self) -> list[str]:
        """The report in plain words."""
        head = f"{'table':<16}{'file':<24}{'read':>12}{'refused':>10}"
        counts = [f"{one.table:<16}{one.file:<24}{one.rows_read:>12,}{one.refused:>10,}" for one in self.tables]
        ignored = [line for one in self.tables for line in ignored_lines(one.file, one.table, one.ignored_columns)]
        return [head, *counts, *refusal_lines(self.bad_rows, self.refused), *ignored, *self.remarks]


def read_history(
    folder: Path, departments: DepartmentNames, on_progress: OnProgress = lambda file, done, total: None
) -> tuple[History, HistoryReport]:
    """Read customers, products, coupons and their links, orders, order lines, coupon issues, and redemptions.

    Rows that break a rule, or name a row that is not there, are left out and reported. Redemptions are a column of
    the coupon issues or a file of their own; each belongs to the customer's last issue of that coupon before it.
    `on_progress` gets a file's name, and how many of its bytes were read. Raises DatasetRefused for files or columns
    that are missing.
    """
    reader = _Reader(folder, on_progress)
    catalogue = read_catalogue_files(folder)
    for file in (catalogue.products, catalogue.coupons):
        reader.count_file(file)
    reader.count_file(catalogue.links, orphans(catalogue))
    coupons = catalogue_coupons(catalogue, departments)
    product_index = {str(row["product_id"]): index for index, row in enumerate(catalogue.products.rows)}
    coupon_index = {coupon.coupon_id: index for index, coupon in enumerate(coupons)}
    people = _People()
    reader.read(CUSTOMERS, people.take)
    orders = _Orders(people.index)
    reader.read(ORDERS, orders.take)
    lines = _Lines(orders, product_index, coupon_index)
    reader.read(ORDER_LINES, lines.take)
    issues = _Issues(people.index, coupon_index)
    reader.read(COUPON_ISSUES, issues.take)
    if has_file(folder, REDEMPTIONS):
        issues.index_for_redemptions()
        reader.read(REDEMPTIONS, issues.take_redemption)
    history = History(people.customers(), coupons, lines.purchases(), issues.issues())
    return history, HistoryReport(tuple(reader.counts), tuple(reader.bad_rows), tuple(_remarks(history)))


def _remarks(history: History) -> list[str]:
    """What a retailer may not have meant to send."""
    active = np.zeros(len(history.customers.ids), dtype=np.bool_)
    active[history.purchases.customer] = True
    active[history.issues.customer] = True
    idle = len(active) - int(active.sum())
    without_products = sum(not coupon.products for coupon in history.coupons)
    remarks = []
    if idle:
        remarks.append(f"note: {idle:,} customers have neither bought anything nor got a coupon")
    if without_products:
        remarks.append(f"note: {without_products:,} coupons have no product")
    if not history.issues.is_redeemed.any():
        remarks.append("WARNING: no coupon was ever redeemed: there is nothing to train a model on")
    return remarks


class _Reader:
    """Goes through the files of a folder, and remembers what was refused."""

    def __init__(self, folder: Path, on_progress: OnProgress) -> None:
        self._folder = folder
        self._on_progress = on_progress
        self.counts: list[TableCount] = []
        self.bad_rows: list[BadRow] = []

    def count_file(self, file: TableFile, orphaned: Sequence[BadRow] = ()) -> None:
        """A file that was read whole."""
        refused = (*file.bad_rows, *orphaned)
        self.counts.append(TableCount(file.table.name, file.file, file.rows_read, len(refused), file.ignored_columns))
        self._keep(refused)

    def read(self, table: Table, take: Take) -> None:
        """Give each good row to `take`, which may still find a problem with it."""
        path = path_of(self._folder, table)
        size, done, told = path.stat().st_size, 0, 0

        def on_bytes(count: int) -> None:
            nonlocal done, told
            done += count
            if done - told >= PROGRESS_BYTES:
                told = done
                self._on_progress(path.name, done, size)

        read = refused = 0
        with open_table(path, table, on_bytes) as opened:
            for line, row in opened.rows:
                read += 1
                bad = row if isinstance(row, BadRow) else _bad_row(path.name, line, row, take(row))
                if bad is not None:
                    refused += 1
                    self._keep((bad,))
        self.counts.append(TableCount(table.name, path.name, read, refused, opened.ignored_columns))
        self._on_progress(path.name, size, size)

    def _keep(self, bad_rows: Sequence[BadRow]) -> None:
        self.bad_rows.extend(bad_rows[: KEPT_BAD_ROWS - len(self.bad_rows)])


def _bad_row(file: str, line: int, row: Row, problem: Problem | None) -> BadRow | None:
    return None if problem is None else BadRow(file, line, problem.column, str(row[problem.column]), problem.rule)


class _People:
    """The customers by their ids, in the order of the file."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self._genders: list[Gender] = []
        self._born: list[str | None] = []

    def take(self, row: Row) -> Problem | None:
        key = _key(row, "customer_id")
        if key in self.index:
            return Problem("customer_id", "must be unique")
        self.index[key] = len(self.index)
        self._genders.append(Gender(_key(row, "gender")))
        self._born.append(None if row["born"] is None else str(row["born"]))
        return None

    def customers(self) -> Customers:
        born = np.array(
            [NEVER if day is None else np.datetime64(day, "D") for day in self._born], dtype="datetime64[D]"
        )
        return Customers(tuple(self.index), tuple(self._genders), born)


class _Orders:
    """Who ordered, and when."""

    def __init__(self, customers: Mapping[str, int]) -> None:
        self._customers = customers
        self.index: dict[str, int] = {}
        self.customer = array("q")
        self.day = array("q")

    def take(self, row: Row) -> Problem | None:
        customer = self._customers.get(_key(row, "customer_id"))
        if customer is None:
            return Problem("customer_id", "must name a customer of the customers file")
        key = _key(row, "order_id")
        if key in self.index:
            return Problem("order_id", "must be unique")
        self.index[key] = len(self.index)
        self.customer.append(customer)
        self.day.append(_ordinal(row["ordered_on"]))
        return None


class _Lines:
    """What was ordered."""

    def __init__(self, orders: _Orders, products: Mapping[str, int], coupons: Mapping[str, int]) -> None:
        self._orders, self._products, self._coupons = orders, products, coupons
        self._order, self._product, self._quantity, self._coupon = array("q"), array("q"), array("q"), array("q")
        self._price = array("d")

    def take(self, row: Row) -> Problem | None:
        order = self._orders.index.get(_key(row, "order_id"))
        if order is None:
            return Problem("order_id", "must name an order of the orders file")
        product = self._products.get(_key(row, "product_id"))
        if product is None:
            return Problem("product_id", "must name a product of the products file")
        coupon_id = _key(row, "coupon_id")
        coupon = self._coupons.get(coupon_id) if coupon_id else WITHOUT_COUPON
        if coupon is None:
            return Problem("coupon_id", "must name a coupon of the coupon file")
        self._order.append(order)
        self._product.append(product)
        self._quantity.append(int(str(row["quantity"])))
        self._price.append(float(str(row["price"])))
        self._coupon.append(coupon)
        return None

    def purchases(self) -> Purchases:
        order = _ints(self._order)
        return Purchases(
            customer=_ints(self._orders.customer)[order],
            day=_days(self._orders.day)[order],
            product=_ints(self._product),
            quantity=_ints(self._quantity),
            price=np.frombuffer(self._price, dtype=np.float64) if self._price else np.empty(0),
            coupon=_ints(self._coupon),
        )


class _Issues:
    """Coupons handed to customers, and what became of them."""

    def __init__(self, customers: Mapping[str, int], coupons: Mapping[str, int]) -> None:
        self._customers, self._coupons = customers, coupons
        self._customer, self._coupon, self._day = array("q"), array("q"), array("q")
        self._redeemed_on = array("q")
        self._seen: set[tuple[int, int, int]] = set()
        self._issues_of: dict[tuple[int, int], list[int]] = {}

    def take(self, row: Row) -> Problem | None:
        found = self._pair(row)
        if isinstance(found, Problem):
            return found
        day, used = _ordinal(row["issued_on"]), row["redeemed_on"]
        redeemed = NOT_REDEEMED if used is None else _ordinal(used)
        if used is not None and redeemed < day:
            return Problem("redeemed_on", f"must not be before issued_on, {row['issued_on']}")
        if (*found, day) in self._seen:
            return Problem("coupon_id", "must be handed to a customer once a day")
        self._seen.add((*found, day))
        self._customer.append(found[0])
        self._coupon.append(found[1])
        self._day.append(day)
        self._redeemed_on.append(redeemed)
        return None

    def index_for_redemptions(self) -> None:
        """Find each customer's issues of each coupon, in the order of their days."""
        for issue in sorted(range(len(self._day)), key=self._day.__getitem__):
            self._issues_of.setdefault((self._customer[issue], self._coupon[issue]), []).append(issue)

    def take_redemption(self, row: Row) -> Problem | None:
        found = self._pair(row)
        if isinstance(found, Problem):
            return found
        day = _ordinal(row["redeemed_on"])
        before = [issue for issue in self._issues_of.get(found, ()) if self._day[issue] <= day]
        if not before:
            return Problem("redeemed_on", "must follow an issue of the coupon to the customer")
        if self._redeemed_on[before[-1]] != NOT_REDEEMED:
            return Problem("redeemed_on", "must be the only redemption of that issue")
        self._redeemed_on[before[-1]] = day
        return None

    def issues(self) -> CouponIssues:
        return CouponIssues(_ints(self._customer), _ints(self._coupon), _days(self._day), _days(self._redeemed_on))

    def _pair(self, row: Row) -> tuple[int, int] | Problem:
        customer = self._customers.get(_key(row, "customer_id"))
        if customer is None:
            return Problem("customer_id", "must name a customer of the customers file")
        coupon = self._coupons.get(_key(row, "coupon_id"))
        return Problem("coupon_id", "must name a coupon of the coupon file") if coupon is None else (customer, coupon)


def _key(row: Row, column: str) -> str:
    value = row[column]
    return "" if value is None else str(value).strip()


def _ordinal(day: object) -> int:
    return date.fromisoformat(str(day)).toordinal() - EPOCH


def _ints(values: "array[int]") -> Ints:
    return np.array(values, dtype=np.int64)


def _days(values: "array[int]") -> Days:
    return _ints(values).astype("datetime64[D]")
