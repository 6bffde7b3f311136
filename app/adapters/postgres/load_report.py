"""What a load has done, and how it reads."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.adapters.csv_rows import BadRow, ignored_lines, refusal_lines


@dataclass(frozen=True, slots=True)
class TableReport:
    """Counts of one table: of the file's rows, and (links alone) of rows deleted since the file no longer has them."""

    table: str
    file: str
    rows_read: int
    inserted: int
    updated: int
    unchanged: int
    refused: int
    deleted: int
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LoadReport:
    """A whole load. `bad_rows` are all that were refused, `orphans` those of them that are links to nothing.

    `expired_coupons` counts after the dates were moved, by `shifted_years`; coupons are those of the file.
    """

    tables: tuple[TableReport, ...]
    bad_rows: tuple[BadRow, ...]
    orphans: int
    coupons_without_products: int
    expired_coupons: int = 0
    are_all_expired: bool = False
    shifted_years: int = 0
    is_dry_run: bool = False

    @property
    def refused(self) -> int:
        """Rows refused, of all tables."""
        return len(self.bad_rows)


def lines(report: LoadReport) -> list[str]:
    """The report in plain words, with the first 20 bad rows."""
    return [*_table_lines(report), *refusal_lines(report.bad_rows, report.refused), *_remarks(report)]


def _table_lines(report: LoadReport) -> Iterator[str]:
    heads = ("table", "file", "read", "inserted", "updated", "unchanged", "refused", "deleted")
    yield _in_columns(*heads)
    for table in report.tables:
        counts = (table.rows_read, table.inserted, table.updated, table.unchanged, table.refused, table.deleted)
        yield _in_columns(table.table, table.file, *(f"{count:,}" for count in counts))


def _in_columns(table: str, file: str, *counts: str) -> str:
    return f"{table:<16}{file:<20}" + "".join(f"{count:>10}" for count in counts)


def _remarks(report: LoadReport) -> Iterator[str]:
    for table in report.tables:
        yield from ignored_lines(table.file, table.table, table.ignored_columns)
    if report.orphans:
        yield f"orphans: {report.orphans:,} links to what is neither in the files nor in the database"
    if report.coupons_without_products:
        yield f"note: {report.coupons_without_products:,} coupons have no product"
    if report.shifted_years:
        yield f"note: all coupons had expired; their dates were moved by {_years(report.shifted_years)}"
    if report.are_all_expired:
        yield "WARNING: all coupons have expired, none can be offered; --shift-dates moves them by whole years"
    elif report.expired_coupons:
        yield f"note: {report.expired_coupons:,} coupons have expired"
    if report.is_dry_run:
        yield "dry run: nothing was changed"


def _years(years: int) -> str:
    return "1 year" if years == 1 else f"{years} years"
