"""Reads one file of a table, CSV or Parquet: by header, row by row, against the table's rules."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.adapters.columns import Value, parsed
from app.adapters.parquet_rows import SUFFIX as PARQUET
from app.adapters.parquet_rows import Records, parquet_records
from app.adapters.tables import Row, Table, first_problem
from app.errors import DatasetRefused

SHOWN_LENGTH = 60
SHOWN_BAD_ROWS = 20

OnBytes = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is refused: the line it starts on, the column and value that are wrong, and the rule they break.

    `column` is empty where it is the row as such that is wrong; `value` is cut to 60 characters.
    """

    file: str
    line: int
    column: str
    value: str
    rule: str


def refusal_lines(bad_rows: Sequence[BadRow], refused: int) -> Iterator[str]:
    """The first 20 bad rows in plain words, and how many more were refused."""
    for bad in bad_rows[:SHOWN_BAD_ROWS]:
        what = f'{bad.column} "{bad.value}" {bad.rule}' if bad.column else bad.rule
        yield f"refused: {bad.file}, line {bad.line}: {what}"
    if refused > SHOWN_BAD_ROWS:
        yield f"refused: {refused - SHOWN_BAD_ROWS:,} more rows"


def ignored_lines(file: str, table: str, columns: Sequence[str]) -> Iterator[str]:
    """What is to be said of columns that nobody asked for."""
    if columns:
        yield f"ignored: {file} has columns that {table} has not: {', '.join(columns)}"


@dataclass(frozen=True, slots=True)
class TableFile:
    """One file: its good rows with the lines they start on, the bad ones, and the columns that the table has not."""

    table: Table
    file: str
    rows: tuple[Row, ...]
    lines: tuple[int, ...]
    bad_rows: tuple[BadRow, ...]
    ignored_columns: tuple[str, ...]

    @property
    def rows_read(self) -> int:
        """Good and bad."""
        return len(self.rows) + len(self.bad_rows)


@dataclass(frozen=True, slots=True)
class OpenTable:
    """A file while it is read: each row, good or bad, with the line it starts on.

    `absent_columns` are those of the table that the file may lack, and does.
    """

    file: str
    rows: Iterator[tuple[int, Row | BadRow]]
    ignored_columns: tuple[str, ...]
    absent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Header:
    """How many fields a row has, and where the table's columns are; None for one that the file may lack."""

    width: int
    positions: tuple[int | None, ...]
    ignored_columns: tuple[str, ...]


def read_file(path: Path, table: Table) -> TableFile:
    """Read a whole file; a second row of the same key is a bad one.

    Raises DatasetRefused when it cannot be read or lacks a column.
    """
    good: list[Row] = []
    bad_rows: list[BadRow] = []
    line_of: dict[tuple[object, ...], int] = {}
    with open_table(path, table) as opened:
        for line, row in opened.rows:
            if isinstance(row, BadRow):
                bad_rows.append(row)
                continue
            key = tuple(row[name] for name in table.key)
            if key in line_of:
                rule = f"must be unique: line {line_of[key]} has it already"
                bad_rows.append(BadRow(path.name, line, ", ".join(table.key), ", ".join(map(str, key)), rule))
                continue
            line_of[key] = line
            good.append(row)
    return TableFile(table, path.name, tuple(good), tuple(line_of.values()), tuple(bad_rows), opened.ignored_columns)


@contextmanager
def open_table(path: Path, table: Table, on_bytes: OnBytes = lambda count: None) -> Iterator[OpenTable]:
    """Read a file row by row: Parquet by its suffix, else CSV in UTF-8, with or without byte order mark.

    Blank lines are none of its rows. `on_bytes` is told how much has been read, again and again. Raises DatasetRefused
    when the file cannot be read or lacks a column.
    """
    try:
        if path.suffix == PARQUET:
            with parquet_records(path, table.column_names, on_bytes) as records:
                yield _opened(path, table, records)
        else:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                yield _opened(path, table, _records(_counted(file, on_bytes)))
    except OSError as error:
        raise DatasetRefused(f"{path} cannot be read: {error.strerror or error}") from error


def _opened(path: Path, table: Table, records: Records) -> OpenTable:
    header = _header(path, table, next(records, (1, []))[1])
    file = path.name
    rows = ((line, _checked(file, line, table, header, fields)) for line, fields in records)
    absent = tuple(
        name for name, position in zip(table.column_names, header.positions, strict=True) if position is None
    )
    return OpenTable(file, rows, header.ignored_columns, absent)


def _counted(lines: Iterable[str], on_bytes: OnBytes) -> Iterator[str]:
    """Tell of about as many bytes as the lines have characters."""
    for line in lines:
        on_bytes(len(line))
        yield line


def _records(lines: Iterable[str]) -> Records:
    """The line each record starts on, and its fields; a rule where there is no telling its fields."""
    reader = csv.reader(lines, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"must be well-formed CSV, which ends at line {reader.line_num}: {error}"
            continue
        if fields:
            yield line, fields


def _header(path: Path, table: Table, fields: list[str] | str) -> _Header:
    if isinstance(fields, str) or not fields:
        raise DatasetRefused(f"{path} has no header")
    names = [name.strip().casefold() for name in fields]
    wrong = [
        column.name
        for column in table.columns
        if names.count(column.name) != 1 and not (column.may_be_absent and column.name not in names)
    ]
    if wrong:
        commas = "" if path.suffix == PARQUET else ", separated by commas"
        raise DatasetRefused(
            f"{path} must have each of these columns once{commas}: {', '.join(wrong)};"
            f" its header is {shown(','.join(fields))}"
        )
    ignored = tuple(shown(field) for field, name in zip(fields, names, strict=True) if name not in table.column_names)
    positions = tuple(names.index(name) if name in names else None for name in table.column_names)
    return _Header(len(fields), positions, ignored)


def _checked(file: str, line: int, table: Table, header: _Header, fields: list[str] | str) -> Row | BadRow:
    if isinstance(fields, str):
        return BadRow(file, line, "", "", fields)
    if len(fields) != header.width:
        rule = f"must have {header.width} fields like the header, not {len(fields)}"
        return BadRow(file, line, "", shown(",".join(fields)), rule)
    row: dict[str, Value] = {}
    for column, position in zip(table.columns, header.positions, strict=True):
        if position is None:
            row[column.name] = None
            continue
        try:
            row[column.name] = parsed(column, fields[position])
        except ValueError as error:
            return BadRow(file, line, column.name, shown(fields[position]), str(error))
    if (problem := first_problem(table, row)) is not None:
        value = row[problem.column]
        return BadRow(file, line, problem.column, "" if value is None else shown(str(value)), problem.rule)
    return row


def shown(text: str) -> str:
    """At most 60 characters of it, those that a terminal would obey written as escapes."""
    visible = (character if character.isprintable() else repr(character)[1:-1] for character in text[:SHOWN_LENGTH])
    return "".join(visible) + ("…" if len(text) > SHOWN_LENGTH else "")
