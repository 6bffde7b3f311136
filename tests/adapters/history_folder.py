"""A small folder of a history's files, for tests to spoil."""

from dataclasses import fields
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as pa_csv
from pyarrow import parquet

from app.adapters.history_files import ImportedHistory, read_history
from app.domain.department import DepartmentNames
from app.domain.history import History
from tests.adapters.csv_folder import COUPONS, LINKS, PRODUCTS

CUSTOMERS = """\
customer_id,gender,born
anna,F,1990-05-20
bert,M,
7,,1960-01-01
"""
ORDERS = """\
order_id,customer_id,ordered_on
o1,anna,2025-03-01
o2,bert,2025-03-15
o3,anna,2025-04-01
"""
ORDER_LINES = """\
order_id,product_id,quantity,price,coupon_id
o1,11,1,10,
o1,12,2,4.5,
o2,13,5,99.99,
o3,11,1,8,1
"""
COUPON_ISSUES = """\
customer_id,coupon_id,issued_on,redeemed_on
anna,1,2025-03-20,2025-04-01
anna,2,2025-03-20,
bert,3,2025-04-02,
"""
FILES = {
    "products": PRODUCTS,
    "coupon_info": COUPONS,
    "coupon_product": LINKS,
    "customers": CUSTOMERS,
    "orders": ORDERS,
    "order_lines": ORDER_LINES,
    "coupon_issues": COUPON_ISSUES,
}
HISTORY_FILES = ("customers", "orders", "order_lines", "coupon_issues", "redemptions")


def write_history_folder(folder: Path, **contents: str) -> Path:
    """Write the seven files as CSV, these contents or others; bytes that are no UTF-8 as lone surrogates."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (FILES | contents).items():
        (folder / f"{name}.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    return folder


def header_of_all() -> dict[str, str]:
    """The files without any row."""
    return {name: text.splitlines()[0] + "\n" for name, text in FILES.items()}


def read(folder: Path) -> ImportedHistory:
    """Read a folder, departments by their documented names."""
    return read_history(folder, DepartmentNames.with_aliases({}))


def read_text(folder: Path, **contents: str) -> ImportedHistory:
    """Write the files, and read them."""
    return read(write_history_folder(folder, **contents))


def table_of(folder: Path, name: str) -> pa.Table:
    """A CSV file of the folder, with the types that its values look like."""
    return pa_csv.read_csv(folder / f"{name}.csv")


def write_parquet(folder: Path, name: str, table: pa.Table) -> None:
    """Put a Parquet file in the place of the CSV file."""
    parquet.write_table(table, folder / f"{name}.parquet")
    (folder / f"{name}.csv").unlink()


def to_parquet(folder: Path) -> Path:
    """Make all CSV files that may be Parquet such."""
    for name in HISTORY_FILES:
        if (folder / f"{name}.csv").exists():
            write_parquet(folder, name, table_of(folder, name))
    return folder


def listed(history: History) -> list[object]:
    """All values of a history, to compare."""
    columns = [
        (field.name, getattr(table, field.name).tolist())
        for table in (history.purchases, history.issues)
        for field in fields(table)
    ]
    customers = history.customers
    return [
        *(tuple(customers.ids), tuple(customers.genders), customers.born.astype(str).tolist()),
        *(list(history.coupons), columns),
    ]
