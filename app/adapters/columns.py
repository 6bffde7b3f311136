"""What a column of a table may hold: parsing a field of a file, and the rules for a value from wherever."""

import math
import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import assert_never

Value = int | float | str | None

REAL_MAX = 3.4028234663852886e38
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,40}")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Kind(StrEnum):
    """What a column holds; a date is kept as ISO text."""

    INTEGER = "a whole number"
    REAL = "a number"
    TEXT = "text"
    DATE = "a date like 2010-12-31"


@dataclass(frozen=True, slots=True)
class Column:
    """A column and its rules.

    A number has bounds, both included; a text has a length, and must be one of `choices` unless there are none. A file
    may lack the column altogether where it `may_be_absent`.
    """

    name: str
    kind: Kind
    is_required: bool = False
    minimum: float = -REAL_MAX
    maximum: float = REAL_MAX
    max_length: int = 0
    choices: tuple[str, ...] = ()
    may_be_absent: bool = False


def parsed(column: Column, field: str) -> Value:
    """What a field of a file stands for; an empty one is None. Raises ValueError with the rule it breaks."""
    if column.kind is Kind.TEXT:
        return field or None
    text = field.strip()
    if not text:
        return None
    match column.kind:
        case Kind.DATE:
            return text
        case Kind.INTEGER if WHOLE_NUMBER.fullmatch(text):
            return int(text)
        case Kind.REAL if NUMBER.fullmatch(text):
            return float(text)
        case _:
            raise ValueError(f"must be {column.kind}")


def broken_rule(column: Column, value: object) -> str | None:
    """The rule of the column that the value breaks, as a sentence about it."""
    if value is None or (column.is_required and isinstance(value, str) and not value.strip()):
        return "must not be empty" if column.is_required else None
    match column.kind:
        case Kind.TEXT:
            return _broken_by_text(column, value)
        case Kind.INTEGER | Kind.REAL:
            return _broken_by_number(column, value)
        case Kind.DATE:
            return None if is_iso_date(value) else f"must be {column.kind}"
        case _:
            assert_never(column.kind)


def is_iso_date(value: object) -> bool:
    """Whether the value is a day of the calendar, written YYYY-MM-DD."""
    if not isinstance(value, str) or not ISO_DATE.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _broken_by_number(column: Column, value: object) -> str | None:
    types = (int, float) if column.kind is Kind.REAL else (int,)
    if not isinstance(value, int | float) or not isinstance(value, types) or not math.isfinite(value):
        return f"must be {column.kind}"
    if not column.minimum <= value <= column.maximum:
        return f"must be from {column.minimum:.10g} to {column.maximum:.10g}"
    return None


def _broken_by_text(column: Column, value: object) -> str | None:
    if not isinstance(value, str):
        return f"must be {column.kind}"
    if not value.isprintable():
        categories = {unicodedata.category(character) for character in value}
        if "Cs" in categories:
            return "must be valid UTF-8"
        if "Cc" in categories:
            return "must not hold control characters"
    if column.choices and value not in ("", *column.choices):
        return f"must be one of {', '.join(column.choices)}"
    return f"must have at most {column.max_length} characters" if len(value) > column.max_length else None
