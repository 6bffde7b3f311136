"""Reads one CSV file of a documented table: by header, row by row, against the table's rules."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.adapters.columns import Value, parsed
from app.adapters.tables import Row, Table, first_problem
from app.errors import DatasetRefused

SHOWN_LENGTH = 60


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
class _Header:
    """How many fields a row has, and where the table's columns are."""

    width: int
    positions: tuple[int, ...]
    ignored_columns: tuple[str, ...]


def read_file(path: Path, table: Table) -> TableFile:
    """Read a file in UTF-8, with or without byte order mark; blank lines are none of its rows.

    Raises DatasetRefused when it cannot be read or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            return _read(path, table, _records(file))
    except OSError as error:
        raise DatasetRefused(f"{path} cannot be read: {error.strerror}") from error


def _read(path: Path, table: Table, records: Iterator[tuple[int, list[str] | str]]) -> TableFile:
    header = _header(path, table, next(records, (1, []))[1])
    rows: list[Row] = []
    bad_rows: list[BadRow] = []
    line_of: dict[tuple[object, ...], int] = {}
    for line, fields in records:
        row = _checked(path.name, line, table, header, fields)
        if isinstance(row, BadRow):
            bad_rows.append(row)
            continue
        key = tuple(row[name] for name in table.key)
        if key in line_of:
            rule = f"must be unique: line {line_of[key]} has it already"
            bad_rows.append(BadRow(path.name, line, ", ".join(table.key), ", ".join(map(str, key)), rule))
            continue
        line_of[key] = line
        rows.append(row)
    return TableFile(table, path.name, tuple(rows), tuple(line_of.values()), tuple(bad_rows), header.ignored_columns)


def _records(lines: Iterable[str]) -> Iterator[tuple[int, list[str] | str]]:
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
    wrong = [name for name in table.column_names if names.count(name) != 1]
    if wrong:
        raise DatasetRefused(
            f"{path} must have each of these columns once, separated by commas: {', '.join(wrong)};"
            f" its header is {_shown(','.join(fields))}"
        )
    ignored = tuple(_shown(field) for field, name in zip(fields, names, strict=True) if name not in table.column_names)
    return _Header(len(fields), tuple(names.index(name) for name in table.column_names), ignored)


def _checked(file: str, line: int, table: Table, header: _Header, fields: list[str] | str) -> Row | BadRow:
    if isinstance(fields, str):
        return BadRow(file, line, "", "", fields)
    if len(fields) != header.width:
        rule = f"must have {header.width} fields like the header, not {len(fields)}"
        return BadRow(file, line, "", _shown(",".join(fields)), rule)
    row: dict[str, Value] = {}
    for column, position in zip(table.columns, header.positions, strict=True):
        try:
            row[column.name] = parsed(column, fields[position])
        except ValueError as error:
            return BadRow(file, line, column.name, _shown(fields[position]), str(error))
    if (problem := first_problem(table, row)) is not None:
        value = row[problem.column]
        return BadRow(file, line, problem.column, "" if value is None else _shown(str(value)), problem.rule)
    return row


def _shown(text: str) -> str:
    visible = (character if character.isprintable() else repr(character)[1:-1] for character in text[:SHOWN_LENGTH])
    return "".join(visible) + ("…" if len(text) > SHOWN_LENGTH else "")
