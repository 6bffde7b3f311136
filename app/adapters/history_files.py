"""A retailer's purchase and coupon history, from a folder of CSV or Parquet files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.adapters.csv_files import CatalogueFiles, catalogue_coupons, has_file, orphans, path_of, read_catalogue_files
from app.adapters.csv_rows import BadRow, TableFile, ignored_lines, open_table, read_file, refusal_lines, shown
from app.adapters.history_rows import CustomerRows, IssueRows, LineRows, OrderRows
from app.adapters.history_tables import COUPON_ISSUES, CUSTOMERS, HISTORY_TABLES, ORDER_LINES, ORDERS, REDEMPTIONS
from app.adapters.tables import CATALOGUE_TABLES, Problem, Row, Table
from app.domain.department import DepartmentNames
from app.domain.history import History, in_order, period
from app.errors import DatasetRefused

KEPT_BAD_ROWS = 1000  # of those to be shown; all are counted
PROGRESS_BYTES = 1 << 20

OnProgress = Callable[[str, int, int], None]
Take = Callable[[Row], Problem | None]


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


@dataclass(frozen=True, slots=True)
class ImportedHistory:
    """The history, the catalogue it speaks of without links to nowhere, and the report."""

    history: History
    catalogue: CatalogueFiles
    report: HistoryReport


def read_history(
    folder: Path, departments: DepartmentNames, on_progress: OnProgress = lambda file, done, total: None
) -> ImportedHistory:
    """Read customers, products, coupons and their links, orders, order lines, coupon issues, and redemptions.

    Rows that break a rule, or name a row that is not there, are left out and reported. Redemptions are a column of
    the coupon issues or a file of their own. The order of rows does not matter. `on_progress` gets a file's name, and
    how many of its bytes were read. Raises DatasetRefused, naming all files and columns that are missing.
    """
    _refuse_what_cannot_be_read(folder)
    reader = _Reader(folder, on_progress)
    catalogue = read_catalogue_files(folder)
    orphaned = orphans(catalogue)
    for file in (catalogue.products, catalogue.coupons):
        reader.count_file(file)
    reader.count_file(catalogue.links, orphaned)
    coupons = catalogue_coupons(catalogue, departments)
    product_ids = sorted((str(row["product_id"]) for row in catalogue.products.rows), key=int)
    product_index = {product_id: index for index, product_id in enumerate(product_ids)}
    coupon_index = {coupon.coupon_id: index for index, coupon in enumerate(coupons)}
    people = CustomerRows()
    reader.read(CUSTOMERS, people.take)
    orders = OrderRows(people.index)
    reader.read(ORDERS, orders.take)
    lines = LineRows(orders, product_index, coupon_index)
    reader.read(ORDER_LINES, lines.take)
    issues = IssueRows(people.index, coupon_index)
    reader.read(COUPON_ISSUES, issues.take)
    if has_file(folder, REDEMPTIONS):
        reader.read_redemptions(issues)
    history = in_order(History(people.customers(), coupons, lines.purchases(), issues.issues()))
    report = HistoryReport(tuple(reader.counts), tuple(reader.bad_rows), tuple(_remarks(history)))
    return ImportedHistory(history, catalogue.without(orphaned), report)


def _refuse_what_cannot_be_read(folder: Path) -> None:
    """Look at all files before any is read, so that everything that is missing is said at once."""
    if not folder.is_dir():
        raise DatasetRefused(f"{folder} is no folder")
    problems: list[str] = []
    has_redemptions = has_file(folder, REDEMPTIONS)
    for table in (*CATALOGUE_TABLES, *HISTORY_TABLES, *((REDEMPTIONS,) if has_redemptions else ())):
        try:
            with open_table(path_of(folder, table), table) as opened:
                if table is COUPON_ISSUES and has_redemptions and "redeemed_on" not in opened.absent_columns:
                    problems.append(
                        f"{folder} must have redemptions once: as the column redeemed_on of {opened.file}, or as a file"
                    )
        except DatasetRefused as error:
            problems.append(str(error))
    if problems:
        raise DatasetRefused("\n".join(problems))


def _remarks(history: History) -> list[str]:
    """What a retailer may not have meant to send."""
    remarks = []
    days = period(history)
    if len(days):
        remarks.append(f"days: {days[0]} to {days[1]}")
    active = np.zeros(len(history.customers.ids), dtype=np.bool_)
    active[history.purchases.customer] = True
    active[history.issues.customer] = True
    idle = len(active) - int(active.sum())
    without_products = sum(not coupon.products for coupon in history.coupons)
    if idle:
        remarks.append(f"note: {idle:,} customers have neither bought anything nor got a coupon")
    if without_products:
        remarks.append(f"note: {without_products:,} coupons have no product")
    if not len(history.purchases.day):
        remarks.append("note: nothing was ever bought: all customers look new")
    if not len(history.issues.day):
        remarks.append("WARNING: no coupon was ever handed out: there is nothing to train a model on")
    elif not history.issues.is_redeemed.any():
        remarks.append("WARNING: no coupon was ever redeemed: there is nothing to train a model on")
    return remarks


class _Reader:
    """Goes through the files of a folder, and remembers what was refused."""

    def __init__(self, folder: Path, on_progress: OnProgress) -> None:
        self._folder = folder
        self._on_progress = on_progress
        self.counts: list[TableCount] = []
        self.bad_rows: list[BadRow] = []

    def count_file(self, file: TableFile, more_bad_rows: Sequence[BadRow] = ()) -> None:
        """A file that was read whole."""
        refused = sorted((*file.bad_rows, *more_bad_rows), key=lambda bad: bad.line)
        self.counts.append(TableCount(file.table.name, file.file, file.rows_read, len(refused), file.ignored_columns))
        self._keep(refused)

    def read(self, table: Table, take: Take) -> None:
        """Give each good row to `take`, which may still find a problem with it."""
        path = path_of(self._folder, table)
        name, size, done, told = path.name, path.stat().st_size, 0, 0

        def on_bytes(count: int) -> None:
            nonlocal done, told
            done += count
            if done - told >= PROGRESS_BYTES:
                told = done
                self._on_progress(name, done, size)

        self._on_progress(name, 0, size)
        read = refused = 0
        with open_table(path, table, on_bytes) as opened:
            for line, row in opened.rows:
                read += 1
                bad = row if isinstance(row, BadRow) else _bad_row(name, line, row, take(row))
                if bad is not None:
                    refused += 1
                    self._keep((bad,))
        self.counts.append(TableCount(table.name, name, read, refused, opened.ignored_columns))
        self._on_progress(name, size, size)

    def read_redemptions(self, issues: IssueRows) -> None:
        """Whatever their order in the file, they are taken in that of their days."""
        path = path_of(self._folder, REDEMPTIONS)
        size = path.stat().st_size
        self._on_progress(path.name, 0, size)
        file = read_file(path, REDEMPTIONS)
        issues.prepare_redemptions()
        by_day = sorted(zip(file.rows, file.lines, strict=True), key=lambda found: str(found[0]["redeemed_on"]))
        bad_rows = [_bad_row(file.file, line, row, issues.redeem(row)) for row, line in by_day]
        self.count_file(file, [bad for bad in bad_rows if bad is not None])
        self._on_progress(path.name, size, size)

    def _keep(self, bad_rows: Sequence[BadRow]) -> None:
        self.bad_rows.extend(bad_rows[: KEPT_BAD_ROWS - len(self.bad_rows)])


def _bad_row(file: str, line: int, row: Row, problem: Problem | None) -> BadRow | None:
    if problem is None:
        return None
    return BadRow(file, line, problem.column, shown(str(row[problem.column])), problem.rule)
