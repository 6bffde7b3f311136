"""Parquet files as records of text, so that the rules of a table are those of its CSV files."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import DatasetRefused

if TYPE_CHECKING:
    from pyarrow import Array
    from pyarrow.parquet import ParquetFile

SUFFIX = ".parquet"
ROWS_AT_ONCE = 65_536
SHOWN_TYPE = 60
MIDNIGHT = re.compile(r"(.{10}) 00:00:00(?:\.0+)?(?:Z|[+-][0-9]{4})?")

Records = Iterator[tuple[int, list[str] | str]]


@contextmanager
def parquet_records(
    path: Path, wanted: Collection[str], on_bytes: Callable[[int], None] = lambda count: None
) -> Iterator[Records]:
    """The names of the columns as record 1, then each row with its number, counted from 2 as the lines of a CSV file.

    Columns that are not wanted are not read: their fields are empty. `on_bytes` is told how much has been read, again
    and again. Raises DatasetRefused for a damaged file, for wanted columns that are no text, numbers or dates, and
    where pyarrow is not installed; OSError.
    """
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DatasetRefused(f"{path}: to read Parquet, pip install -r requirements-training.txt") from error
    try:
        with ParquetFile(path) as file:
            names = list(file.schema_arrow.names)
            chosen = [name for name in names if name.strip().casefold() in wanted]
            _refuse_nested(path, file, chosen)
            yield _records(file, names, chosen, path.stat().st_size, on_bytes)
    except (ArrowException, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetRefused(f"{path} is no Parquet file that can be read: {reason}") from error


def _refuse_nested(path: Path, file: "ParquetFile", chosen: Sequence[str]) -> None:
    from pyarrow.types import is_nested

    nested = [field for field in file.schema_arrow if field.name in chosen and is_nested(field.type)]
    if nested:
        columns = ", ".join(f"{field.name} holds {str(field.type)[:SHOWN_TYPE]}" for field in nested)
        raise DatasetRefused(f"{path} must hold text, numbers or dates: {columns}")


def _records(
    file: "ParquetFile", names: list[str], chosen: list[str], size: int, on_bytes: Callable[[int], None]
) -> Records:
    yield 1, names
    number = 1
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=chosen):
        left_out = [""] * batch.num_rows
        columns = [_texts(batch.column(name)) if name in chosen else left_out for name in names]
        for fields in zip(*columns, strict=True):
            number += 1
            yield number, list(fields)
        on_bytes(size * batch.num_rows // max(file.metadata.num_rows, 1))


def _texts(column: "Array") -> list[str]:
    """As a CSV file would have them: nothing for null, 2 for 2.0, the day alone of a time at midnight."""
    import pyarrow
    from pyarrow import types

    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if types.is_binary(column.type) or types.is_string(column.type) or types.is_large_string(column.type):
        found = column.cast(pyarrow.large_binary()).to_pylist()
        return ["" if text is None else text.decode("utf-8", "surrogateescape") for text in found]
    texts = column.cast(pyarrow.string()).to_pylist()
    if types.is_timestamp(column.type):
        return ["" if text is None else MIDNIGHT.sub(r"\1", text) for text in texts]
    return ["" if text is None else text for text in texts]
