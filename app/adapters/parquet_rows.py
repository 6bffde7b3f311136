"""Parquet files as records of text, so that the rules of a table are those of its CSV files."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import DatasetRefused

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

SUFFIX = ".parquet"
ROWS_AT_ONCE = 65_536


@contextmanager
def parquet_records(path: Path) -> Iterator[Iterator[tuple[int, list[str] | str]]]:
    """The names of the columns as record 1, then each row with its number, counted from 2 as the lines of a CSV file.

    Raises DatasetRefused for a damaged file, and where pyarrow is not installed; OSError.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DatasetRefused(f"{path}: to read Parquet, pip install pyarrow") from error
    try:
        with ParquetFile(path) as file:
            yield _records(file)
    except ArrowException as error:
        raise DatasetRefused(f"{path} is no Parquet file that can be read: {error}") from error


def _records(file: "ParquetFile") -> Iterator[tuple[int, list[str] | str]]:
    yield 1, list(file.schema_arrow.names)
    number = 1
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
        columns = [[_text(value) for value in column.to_pylist()] for column in batch.columns]
        for fields in zip(*columns, strict=True):
            number += 1
            yield number, list(fields)


def _text(value: object) -> str:
    """As a CSV file would have it: nothing for null, the day alone of a time at midnight."""
    match value:
        case None:
            return ""
        case datetime():
            return value.date().isoformat() if value.time() == datetime.min.time() else value.isoformat()
        case date():
            return value.isoformat()
        case _:
            return str(value)
