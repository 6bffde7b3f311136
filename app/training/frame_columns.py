"""Columns that describe a row or a customer, whatever they are called: numbers as they are, texts by category."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.domain.features import Floats
from app.training.cells import NO_DAY, codes_of, days, numbers

MOST_CATEGORIES = 30  # of one column, the most frequent
LEAST_ROWS = 5  # of a category
MOST_COLUMNS = 100  # that are looked at, the first
LEAST_CELLS = 50  # from so many on, a column whose cells all differ is taken for an id
LESS, MORE = (
    re.compile(r"less|under|below|<", re.IGNORECASE),
    re.compile(r"more|over|above|plus|gt|>|\+", re.IGNORECASE),
)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Column:
    """How a column becomes features: `categories` are its frequent texts, None where it holds numbers or dates.

    `is_ordered`: most of its texts name a number ("25-34", "less than 5"), which is a feature, too.
    """

    name: str
    feature: str
    categories: tuple[str, ...] | None
    is_ordered: bool

    def features(self, table: pd.DataFrame) -> Iterator[tuple[str, Floats]]:
        """The number itself, or one column for each frequent category; NaN where there is no such column."""
        values = table.get(self.name)
        if self.categories is None:
            yield self.feature, np.full(len(table), np.nan) if values is None else _as_numbers(values)
            return
        codes, names = (np.full(len(table), -1), []) if values is None else codes_of(values)
        for category in self.categories:
            found = codes == names.index(category) if category in names else np.zeros(len(table))
            yield f"{self.feature}={category}", np.where(values is None, np.nan, found)
        if self.is_ordered:
            yield f"{self.feature} as a number", np.array([*map(number_in, names), np.nan])[codes]


def described(table: pd.DataFrame, prefix: str) -> Iterator[Column]:
    """The columns that say something: neither the same everywhere nor an id. Raises DatasetRefused."""
    for name in table.columns[:MOST_COLUMNS]:
        values = table[name]
        codes, names = codes_of(values)
        is_one = len(names) + bool((codes < 0).any()) < 2
        if is_one or (_is_whole(values) and len(names) == len(values) >= LEAST_CELLS):
            continue
        feature = f"{prefix}{name}"
        if _is_number(values) or pd.api.types.is_datetime64_any_dtype(values):
            yield Column(name, feature, None, is_ordered=False)
            continue
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        frequent = sorted((-count, text) for count, text in zip(counts, names, strict=True) if count >= LEAST_ROWS)
        categories = tuple(text for _, text in frequent[:MOST_CATEGORIES])
        numbered = sum(number_in(text) == number_in(text) for text in categories)
        yield Column(name, feature, categories, is_ordered=len(categories) > 2 and numbered > HALF * len(categories))


def number_in(text: str) -> float:
    """The number that a text is about, the middle of two; NaN for none.

    >>> number_in("25-34"), number_in("less than 5"), number_in("65+")
    (29.5, 4.5, 65.5)
    """
    found = [float(one) for one in NUMBER.findall(text.replace(",", ""))[:2]]
    if not found:
        return float("nan")
    return float(np.mean(found)) + HALF * (bool(MORE.search(text)) - bool(LESS.search(text)))


def _as_numbers(values: pd.Series) -> Floats:
    if pd.api.types.is_datetime64_any_dtype(values):
        found = days(values)
        return np.where(found == NO_DAY, np.nan, found)
    return numbers(values)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_complex_dtype(values)


def _is_whole(values: pd.Series) -> bool:
    """Whether the cells are whole numbers or texts, as ids are."""
    return not pd.api.types.is_float_dtype(values) and not pd.api.types.is_datetime64_any_dtype(values)
