"""A folder of the four documented CSV files, and what the service makes of it without a database."""

import csv
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from app.adapters.csv_rows import BadRow, TableFile, read_file
from app.adapters.rows import context_from_row, coupon_from_row, product_from_row, shift_dates
from app.adapters.tables import CATALOGUE_TABLES, TABLES, Row, Table
from app.domain.coupon import Coupon, Product
from app.domain.customer import CustomerContext
from app.domain.department import DepartmentNames
from app.errors import DatasetRefused


@dataclass(frozen=True, slots=True)
class CatalogueFiles:
    """The three files of a shop's coupons and products."""

    products: TableFile
    coupons: TableFile
    links: TableFile

    def without(self, orphaned: Sequence[BadRow]) -> "CatalogueFiles":
        """Without the links that are refused."""
        refused = {bad.line for bad in orphaned}
        rows = tuple(row for row, line in zip(self.links.rows, self.links.lines, strict=True) if line not in refused)
        lines = tuple(line for line in self.links.lines if line not in refused)
        return replace(self, links=replace(self.links, rows=rows, lines=lines))


@dataclass(frozen=True, slots=True)
class Dataset(CatalogueFiles):
    """The four files of a folder."""

    customers: TableFile

    @property
    def files(self) -> tuple[TableFile, TableFile, TableFile, TableFile]:
        """In the order of loading: what is referred to comes first."""
        return self.products, self.coupons, self.links, self.customers

    @property
    def bad_rows(self) -> tuple[BadRow, ...]:
        """Of all files."""
        return tuple(bad_row for file in self.files for bad_row in file.bad_rows)


def read_folder(folder: Path) -> Dataset:
    """Read all four files. Raises DatasetRefused, naming every file and column that is missing."""
    return Dataset(*_read_files(folder, TABLES))


def read_catalogue_files(folder: Path) -> CatalogueFiles:
    """Read the three of them that make a catalogue. Raises DatasetRefused, naming what is missing."""
    return CatalogueFiles(*_read_files(folder, CATALOGUE_TABLES))


def _read_files(folder: Path, tables: Sequence[Table]) -> list[TableFile]:
    problems: list[str] = []
    files: list[TableFile] = []
    for table in tables:
        try:
            files.append(read_file(path_of(folder, table), table))
        except DatasetRefused as error:
            problems.append(str(error))
    if problems:
        raise DatasetRefused("\n".join(problems))
    return files


def write_table(folder: Path, table: Table, rows: Iterable[Row]) -> None:
    """Write the table's CSV file. Raises OSError."""
    with (folder / table.file_names[0]).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows([row[name] for name in table.column_names] for row in rows)


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """A folder to write files to: when all is written they replace those of `folder`, else nothing has changed.

    Makes the folder. Raises OSError.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(prefix=".part-", dir=folder) as part:
            yield Path(part)
            for path in sorted(Path(part).iterdir()):
                path.replace(folder / path.name)
    finally:
        if is_new:
            with suppress(OSError):  # of a folder that something was written to
                folder.rmdir()


def orphans(
    dataset: CatalogueFiles, coupon_ids: Collection[object] = (), product_ids: Collection[object] = ()
) -> tuple[BadRow, ...]:
    """The links to a coupon or a product that is neither in the files nor among the ids, which a database may know."""
    known = {
        "coupon_id": _ids(dataset.coupons).union(coupon_ids),
        "product_id": _ids(dataset.products).union(product_ids),
    }
    found: list[BadRow] = []
    for row, line in zip(dataset.links.rows, dataset.links.lines, strict=True):
        missing = [name for name, ids in known.items() if row[name] not in ids]
        if missing:
            rule = "must name a row that is in the other files or in the database"
            found.append(BadRow(dataset.links.file, line, missing[0], str(row[missing[0]]), rule))
    return tuple(found)


def with_shifted_dates(dataset: Dataset, today: date) -> tuple[Dataset, int]:
    """The dataset with coupons re-dated, if all have expired before `today`, and by how many years they moved."""
    shifted = shift_dates(dataset.coupons.rows, today)
    return replace(dataset, coupons=replace(dataset.coupons, rows=tuple(shifted.rows))), shifted.years


def catalogue_coupons(dataset: CatalogueFiles, departments: DepartmentNames) -> list[Coupon]:
    """The coupons with their products, both in the order of their ids; orphans are left out."""
    products = {row["product_id"]: product_from_row(row) for row in dataset.products.rows}
    products_of: dict[object, list[Product]] = {coupon_id: [] for coupon_id in _ids(dataset.coupons)}
    for row in _sorted(dataset.links.rows, "product_id"):
        if row["coupon_id"] in products_of and row["product_id"] in products:
            products_of[row["coupon_id"]].append(products[row["product_id"]])
    return [
        coupon_from_row(row, tuple(products_of[row["coupon_id"]]), departments)
        for row in _sorted(dataset.coupons.rows, "coupon_id")
    ]


def customer_contexts(dataset: Dataset, defaults: CustomerContext) -> dict[str, CustomerContext]:
    """The customers by id; an empty field takes the value of `defaults`."""
    return {str(row["customer_id"]): context_from_row(row, defaults) for row in dataset.customers.rows}


def has_file(folder: Path, table: Table) -> bool:
    """Whether the folder holds the table at all."""
    return any((folder / name).is_file() for name in table.file_names)


def path_of(folder: Path, table: Table) -> Path:
    """The one file of the folder that holds the table. Raises DatasetRefused where there is none, or several."""
    paths = [path for name in table.file_names if (path := folder / name).is_file()]
    if len(paths) == 1:
        return paths[0]
    names = " or ".join(table.file_names)
    raise DatasetRefused(f"{folder} must have one file {names}{', not both' if paths else ''}")


def _ids(file: TableFile) -> set[object]:
    return {row[file.table.key[0]] for row in file.rows}


def _sorted(rows: Sequence[Row], column: str) -> list[Row]:
    return sorted(rows, key=lambda row: int(str(row[column])))
