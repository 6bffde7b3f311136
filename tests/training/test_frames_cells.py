"""What cells of data frames may hold."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from app.errors import DatasetRefused
from app.training.cells import NO_DAY, codes_of, days, numbers, texts
from app.training.frame_columns import described, number_in


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([7, 8, 7]),
        pd.Series([7.0, 8.0, 7.0]),
        pd.Series(["7", " 8", "7"]),
        pd.Series([7, "8", 7.0], dtype=object),
        pd.Series(["7", "8", "7"], dtype="category"),
        pd.Series([7, 8, 7], dtype="Int64"),
    ],
)
def test_an_id_is_the_same_as_text_and_as_a_number(ids: pd.Series) -> None:
    codes, names = codes_of(ids)
    assert (codes.tolist(), list(names)) == ([0, 1, 0], ["7", "8"])


def test_an_id_that_is_not_there_has_no_code() -> None:
    codes, names = codes_of(pd.Series([None, "7", np.nan], dtype=object))
    assert (codes.tolist(), list(names)) == ([-1, 0, -1], ["7"])


def test_a_whole_number_too_large_for_a_float_is_no_number() -> None:
    found = numbers(pd.Series([10**400, 3, "4.5", "much", None], dtype=object))
    assert np.array_equal(found, [np.nan, 3.0, 4.5, np.nan, np.nan], equal_nan=True)


def test_cells_that_hold_lists_are_refused_with_the_column_and_the_type() -> None:
    with pytest.raises(DatasetRefused, match="the column tags holds cells of the type list"):
        codes_of(pd.Series([["a"], ["b"]], name="tags"))


@pytest.mark.parametrize(
    "dates",
    [
        pd.Series([datetime(2026, 1, 2, 23, 59), None]),
        pd.Series([datetime(2026, 1, 2, 23, 59, tzinfo=UTC), None]),
        pd.Series(["2026-01-02", "soon"]),
        pd.Series(["2026-01-02 23:59:00", None]),
        pd.Series([20260102, np.nan]),
        pd.Series([20455, np.nan]),
    ],
)
def test_a_date_is_the_same_day_however_it_is_written(dates: pd.Series) -> None:
    assert days(dates).tolist() == [20455, NO_DAY]


def test_dates_of_two_formats_in_one_column_are_both_read() -> None:
    assert days(pd.Series(["2026-01-02", "2026-01-03 10:00:00"])).tolist() == [20455, 20456]


def test_what_is_no_number_or_no_true_one_is_not_known() -> None:
    found = numbers(pd.Series([1, "2", "three", np.inf, 1e300, None, True], dtype=object))
    assert np.array_equal(found, [1, 2, np.nan, np.nan, np.nan, np.nan, 1], equal_nan=True)


def test_text_of_nothing_is_empty() -> None:
    assert texts(pd.Series(["a", None, 1.0], dtype=object)).tolist() == ["a", "", "1"]


@pytest.mark.parametrize(
    ("text", "number"),
    [("25-34", 29.5), ("65+", 65.5), ("below21", 20.5), ("$12500 - $24,999", 18749.5), ("gt8", 8.5), ("<2", 1.5)],
)
def test_a_text_that_names_a_number_is_about_that(text: str, number: float) -> None:
    assert number_in(text) == number


def test_columns_of_one_value_and_columns_of_ids_are_no_features() -> None:
    table = pd.DataFrame({"same": 1, "nothing": np.nan, "id": range(60), "name": [f"n{i}" for i in range(60)]})
    assert list(described(table, "")) == []


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1, "a", None, 2.5] * 15, dtype=object),
        pd.Series([True, False, None, True] * 15, dtype=object),
        pd.Series([True, False, False, True] * 15),
        pd.Series(["a", "b", None, "b"] * 15, dtype="category"),
        pd.Series([1, 2, None, 2] * 15, dtype="Int64"),
        pd.to_datetime(pd.Series(["2026-01-02", "2026-02-03", None, "2026-01-02"] * 15)),
        pd.Series(pd.to_timedelta([1, 2, None, 2] * 15, "D")),
        pd.Series([1 + 2j, 2, 3, 2] * 15),
        pd.Series([np.inf, 1.0, -np.inf, 1e300] * 15),
    ],
)
def test_a_column_of_any_kind_becomes_numbers_and_is_unknown_where_it_is_missing(values: pd.Series) -> None:
    table = pd.DataFrame({"x": values})
    (column,) = described(table, "")
    found = dict(column.features(table))
    missing = dict(column.features(pd.DataFrame(index=table.index)))
    assert found.keys() == missing.keys()
    assert all(column.dtype.kind in "fb" and not np.isinf(column).any() for column in found.values())
    assert all(np.isnan(column).all() for column in missing.values())
