"""What the cells of a data frame may hold, and what is made of it: ids, texts, amounts, days.

An id is the same whether one table has it as text and another as a number.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from app.domain.features import Floats
from app.domain.history import Ints
from app.errors import DatasetRefused

NO_DAY = int(np.iinfo(np.int64).min // 2)  # so that some days may be added to it
LARGEST = 1e30  # of a number; beyond it is no amount of anything
FIRST_DATE, LAST_DATE = 1900_01_01, 2100_12_31  # whole numbers between are dates, others count days


def codes_of(values: pd.Series) -> tuple[Ints, Sequence[str]]:
    """Of each cell the code, -1 where it is empty; and the text of each code. Raises DatasetRefused."""
    try:
        codes, found = pd.factorize(values)
    except TypeError as error:
        raise _unhashable(values) from error
    names: list[str] = []
    places = np.empty(len(found) + 1, dtype=np.int64)
    seen: dict[str, int] = {}
    for position, one in enumerate(found):
        text = _text(one)
        if text not in seen:
            seen[text] = len(names)
            names.append(text)
        places[position] = seen[text]
    places[-1] = -1
    return places[codes], names


def texts(values: pd.Series) -> np.ndarray:
    """The text of each cell, empty where there is nothing. Raises DatasetRefused."""
    codes, names = codes_of(values)
    return np.array([*names, ""], dtype=object)[codes]


def amounts(values: pd.Series) -> Floats:
    """Numbers, 0 where there is none."""
    return np.nan_to_num(numbers(values))


def numbers(values: pd.Series) -> Floats:
    """Numbers, NaN where there is none, or one too large to be true."""
    try:
        found = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    except OverflowError:  # of a whole number with more than 308 digits
        found = np.array([_float(one) for one in values])
    return np.where(np.abs(found) < LARGEST, found, np.nan)


def days(values: pd.Series) -> Ints:
    """Days since 1970, NO_DAY where there is no date. Whole numbers are dates (20260131) or count days."""
    if pd.api.types.is_numeric_dtype(values):
        found = numbers(values)
        dates = found[np.isfinite(found)]
        if not len(dates) or dates.min() < FIRST_DATE or dates.max() > LAST_DATE:
            return np.where(np.isfinite(found), np.nan_to_num(found), NO_DAY).astype(np.int64)
        values = pd.Series([f"{one:.0f}" if one == one else None for one in found], dtype=object)
    if not pd.api.types.is_datetime64_any_dtype(values):
        codes, names = codes_of(values)
        parsed = pd.to_datetime(pd.Series([*names, None], dtype=object), errors="coerce", format="mixed", utc=True)
        return _days(parsed)[codes]
    return _days(pd.to_datetime(values, utc=True) if getattr(values.dt, "tz", None) else values)


def _days(dates: pd.Series) -> Ints:
    when = dates.dt.tz_localize(None).to_numpy().astype("datetime64[D]")
    return np.where(np.isnat(when), NO_DAY, when.astype(np.int64))


def _float(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return float("nan")


def _text(value: object) -> str:
    """1, 1.0 and "1" are the same."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _unhashable(values: pd.Series) -> DatasetRefused:
    kind = next((type(one).__name__ for one in values if isinstance(one, list | dict | set | np.ndarray)), "objects")
    return DatasetRefused(f"the column {values.name} holds cells of the type {kind}: text, numbers or dates are wanted")
