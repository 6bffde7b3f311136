"""Loads the four files into the cache: all of it or nothing, through staging tables, with a count of everything."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date

import asyncpg

from app.adapters.csv_files import Dataset, orphans, with_shifted_dates
from app.adapters.csv_rows import BadRow, TableFile
from app.adapters.postgres.errors import database_errors
from app.adapters.postgres.load_report import LoadReport, TableReport
from app.adapters.postgres.queries import load_queries
from app.adapters.tables import COUPON_PRODUCT

SQL_FILE = "load.sql"
TIMEOUT_SECONDS = 600.0
PROGRESS_ROWS = 500

Progress = Callable[[str, int, int], None]


async def load(
    connection: asyncpg.Connection,
    dataset: Dataset,
    *,
    shift: bool,
    dry_run: bool,
    today: date,
    on_progress: Progress = lambda table, done, total: None,
) -> LoadReport:
    """Insert and update what the files hold; rows that the database has and the files have not stay.

    The links of a coupon in coupon_info.csv become those of the files. `shift` moves the dates of coupons that have all
    expired before `today`; `dry_run` takes everything back at the end. `on_progress` is told the table, and how many of
    how many rows have been sent. Raises DatabaseUnavailable; nothing has changed then.
    """
    shifted, years = with_shifted_dates(dataset, today) if shift else (dataset, 0)
    is_to_stay = False
    with database_errors("loading the files"):
        transaction = connection.transaction()
        await transaction.start()
        try:
            report = await _load(connection, shifted, on_progress)
            is_to_stay = not dry_run
        finally:
            await (transaction.commit() if is_to_stay else transaction.rollback())
    coupons = shifted.coupons.rows
    expired = sum(str(row["end_date"]) < today.isoformat() for row in coupons)
    return replace(
        report,
        expired_coupons=expired,
        are_all_expired=0 < expired == len(coupons),
        shifted_years=years,
        is_dry_run=dry_run,
    )


async def _load(connection: asyncpg.Connection, dataset: Dataset, on_progress: Progress) -> LoadReport:
    sql = load_queries(SQL_FILE)
    await connection.execute(sql["lock"], timeout=TIMEOUT_SECONDS)
    await connection.execute(sql["stage"])
    lost = await _orphans(connection, dataset)
    files = [_without(file, lost) if file.table is COUPON_PRODUCT else file for file in dataset.files]
    for file in files:
        await _stage(connection, file, on_progress)
    return LoadReport(
        tables=tuple([await _merge(connection, file) for file in files]),
        bad_rows=tuple(bad_row for file in files for bad_row in file.bad_rows),
        orphans=len(lost),
        coupons_without_products=await connection.fetchval(sql["coupons_without_products"]),
    )


async def _orphans(connection: asyncpg.Connection, dataset: Dataset) -> tuple[BadRow, ...]:
    sql = load_queries(SQL_FILE)
    coupon_ids = {row["coupon_id"] for row in dataset.links.rows}
    product_ids = {row["product_id"] for row in dataset.links.rows}
    known_coupons = await connection.fetch(sql["known_coupons"], coupon_ids)
    known_products = await connection.fetch(sql["known_products"], product_ids)
    return orphans(dataset, {row["coupon_id"] for row in known_coupons}, {row["product_id"] for row in known_products})


def _without(links: TableFile, lost: Sequence[BadRow]) -> TableFile:
    lost_lines = {bad_row.line for bad_row in lost}
    kept = [(row, line) for row, line in zip(links.rows, links.lines, strict=True) if line not in lost_lines]
    return replace(
        links,
        rows=tuple(row for row, _ in kept),
        lines=tuple(line for _, line in kept),
        bad_rows=(*links.bad_rows, *lost),
    )


async def _stage(connection: asyncpg.Connection, file: TableFile, on_progress: Progress) -> None:
    names = file.table.column_names
    total = len(file.rows)

    def records() -> Iterator[tuple[object, ...]]:
        for done, row in enumerate(file.rows, start=1):
            yield tuple(row[name] for name in names)
            if done % PROGRESS_ROWS == 0 or done == total:
                on_progress(file.table.name, done, total)

    await connection.copy_records_to_table(
        f"stage_{file.table.name}", records=records(), columns=names, timeout=TIMEOUT_SECONDS
    )


async def _merge(connection: asyncpg.Connection, file: TableFile) -> TableReport:
    counts = await connection.fetchrow(load_queries(SQL_FILE)[f"merge_{file.table.name}"], timeout=TIMEOUT_SECONDS)
    return TableReport(
        table=file.table.name,
        file=file.file,
        rows_read=file.rows_read,
        inserted=counts["inserted"],
        updated=counts["updated"],
        unchanged=len(file.rows) - counts["inserted"] - counts["updated"],
        refused=len(file.bad_rows),
        deleted=counts["deleted"],
        ignored_columns=file.ignored_columns,
    )
