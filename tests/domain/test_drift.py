"""The index of drift, the bins it is reckoned in, and what chance explains of it."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.drift import (
    BINS,
    Degree,
    by_chance,
    degree,
    distribution,
    population_stability_index,
    shares,
    weighed,
)
from app.domain.drift_report import LEAST_DECISIONS, DriftReport, FeatureDrift

NUMBERS = st.floats(-1e6, 1e6)
COLUMNS = st.lists(NUMBERS, min_size=1, max_size=200).map(np.array)
SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=10)
DAY = date(2026, 6, 14)


@pytest.mark.parametrize(
    ("expected", "found", "index"),
    [
        ((0.5, 0.5), (0.5, 0.5), 0.0),
        ((0.5, 0.5), (0.6, 0.4), 0.1 * math.log(1.2) - 0.1 * math.log(0.8)),  # 0.0405
        ((0.25, 0.75), (0.75, 0.25), math.log(3)),  # 1.0986
        ((0.2, 0.3, 0.5), (0.5, 0.3, 0.2), 0.6 * math.log(2.5)),  # 0.5498
        ((1.0, 0.0), (0.0, 1.0), 2 * (1 - 1e-4) * math.log(1e4)),  # what is empty counts as 0.0001
    ],
)
def test_the_index_is_what_is_reckoned_by_hand(
    expected: tuple[float, ...], found: tuple[float, ...], index: float
) -> None:
    assert population_stability_index(expected, found) == pytest.approx(index)


@given(SHARES, st.data())
def test_the_index_is_never_negative_and_the_same_both_ways(expected: list[float], data: st.DataObject) -> None:
    found = data.draw(st.lists(st.floats(0, 1), min_size=len(expected), max_size=len(expected)))

    index = population_stability_index(expected, found)

    assert index >= 0
    assert index == pytest.approx(population_stability_index(found, expected))


@given(SHARES)
def test_nothing_has_drifted_from_itself(some: list[float]) -> None:
    assert population_stability_index(some, some) == 0


@given(COLUMNS)
def test_a_distribution_has_at_most_ten_bins_that_hold_everything(values: np.ndarray) -> None:
    found = distribution(values)

    assert len(found.shares) == len(found.edges) + 1 <= BINS
    assert list(found.edges) == sorted(set(found.edges))
    assert sum(found.shares) == pytest.approx(1)
    assert shares(values, found.edges) == found.shares


@given(COLUMNS)
def test_the_order_of_values_does_not_matter(values: np.ndarray) -> None:
    assert distribution(values[::-1]) == distribution(values)


def test_values_that_are_all_different_fill_bins_of_the_same_size() -> None:
    assert distribution(np.arange(1000.0)).shares == pytest.approx([0.1] * 10)


@pytest.mark.parametrize("other", [-1.0, 0.9999, 1.0001, 2.0, math.inf, -math.inf, math.nan])
def test_a_constant_feature_drifts_by_any_other_value(other: float) -> None:
    always = distribution(np.ones(500))

    assert population_stability_index(always.shares, shares(np.ones(3), always.edges)) == 0
    assert population_stability_index(always.shares, shares(np.full(3, other), always.edges)) > 9


def test_a_flag_that_nearly_all_carry_drifts_when_half_of_them_lose_it() -> None:
    usually = distribution(np.repeat([0.0, 1.0], [5, 95]))

    index = population_stability_index(usually.shares, shares(np.repeat([0.0, 1.0], [50, 50]), usually.edges))

    assert index == pytest.approx(0.45 * math.log(10) - 0.45 * math.log(50 / 95))


def test_the_last_digits_of_a_value_are_no_drift() -> None:
    prices = np.log1p(np.repeat([1.0, 2.0, 3.0], 100))
    known = distribution(prices)

    assert shares(np.nextafter(prices, 9), known.edges) == shares(np.nextafter(prices, -9), known.edges) == known.shares


def test_what_is_no_number_is_left_out_of_a_distribution_and_counts_as_large_on_a_day() -> None:
    odd = np.array([1.0, 2.0, 3.0, math.nan, math.inf, -math.inf])

    assert distribution(odd) == distribution(odd[:3])
    assert shares(np.array([math.nan, math.inf, 5.0, -math.inf]), (0.0,)) == (0.25, 0.75)


@pytest.mark.parametrize("values", [[], [math.nan, math.inf]])
def test_nothing_has_no_distribution(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        distribution(np.array(values))


def test_no_values_have_no_shares() -> None:
    assert shares(np.empty(0), (1.0, 2.0)) == (0.0, 0.0, 0.0)


def test_values_count_as_much_as_they_weigh() -> None:
    counts = weighed(np.array([0.0, 1.0, 2.0]), (0.5, 1.5), np.array([1.0, 0.25, 2.0]))

    assert counts.tolist() == [1.0, 0.25, 2.0]


def test_chance_explains_nearly_all_days_without_drift() -> None:
    rng, units, known = np.random.default_rng(1), 300, np.full(10, 0.1)
    samples = rng.multinomial(units, known, size=(2, 1000)) / units
    indices = [population_stability_index(one, other) for one, other in zip(*samples, strict=True)]

    assert max(indices) < by_chance(10, units)
    assert by_chance(10, units) < 2 * np.quantile(indices, 0.999)


def test_the_fewer_there_are_the_more_is_left_to_chance() -> None:
    allowances = [by_chance(10, units) for units in (0, 1, 10, 100, 1000)]

    assert allowances == sorted(allowances, reverse=True)
    assert by_chance(1, 100) == by_chance(2, 100) < by_chance(3, 100)


@pytest.mark.parametrize(
    ("index", "chance", "expected"),
    [
        (0.1, 0.0, Degree.STABLE),
        (0.11, 0.0, Degree.MODERATE),
        (0.25, 0.0, Degree.MODERATE),
        (0.26, 0.0, Degree.MAJOR),
        (0.2, 0.2, Degree.STABLE),
        (0.3, 0.29, Degree.MAJOR),
        (0.3, 0.3, Degree.STABLE),
    ],
)
def test_an_index_is_read_as_usual_where_chance_does_not_explain_it(
    index: float, chance: float, expected: Degree
) -> None:
    assert degree(index, chance) is expected


@pytest.mark.parametrize(
    ("since_start", "expected"), [(None, Degree.MAJOR), (0.9, Degree.MAJOR), (0.05, Degree.STABLE)]
)
def test_what_was_so_from_the_first_day_is_no_drift_later(since_start: float | None, expected: Degree) -> None:
    assert FeatureDrift("discount", 0.8, since_start, 0.1).degree is expected
    assert FeatureDrift("discount", 0.01, since_start, 0.1).degree is Degree.STABLE


def test_fewer_decisions_than_two_hundred_are_not_enough() -> None:
    reports = [DriftReport(DAY, "m-1", count, 1, 1, {}) for count in (0, LEAST_DECISIONS - 1, LEAST_DECISIONS)]

    assert [one.is_enough for one in reports] == [False, False, True]
