"""Which candidate is picked."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.policy import Pick, best_above

probabilities = st.floats(0, 1)
scores_of_some = st.lists(probabilities | st.just(math.nan), max_size=12)


def test_picks_the_best_score() -> None:
    assert best_above(0.2, np.array([0.3, 0.9, 0.5])) == Pick(1, 1.0)


def test_picks_the_first_of_equals() -> None:
    assert best_above(0.2, np.array([0.1, 0.7, 0.7])) == Pick(1, 1.0)


def test_picks_nothing_at_the_threshold() -> None:
    assert best_above(0.7, np.array([0.7, 0.2])) is None


def test_picks_what_is_just_above_the_threshold() -> None:
    assert best_above(0.7, np.array([math.nextafter(0.7, 1)])) == Pick(0, 1.0)


@pytest.mark.parametrize("scores", [[], [math.nan], [math.nan, math.nan]])
def test_picks_nothing_where_nothing_has_a_score(scores: list[float]) -> None:
    assert best_above(0.0, np.array(scores)) is None


def test_picks_none_without_a_score() -> None:
    assert best_above(0.2, np.array([math.nan, 0.3, math.nan])) == Pick(1, 1.0)


@given(probabilities, scores_of_some)
def test_picks_the_first_of_the_best_above_the_threshold(threshold: float, scores: list[float]) -> None:
    above = [score for score in scores if score > threshold]
    expected = Pick(scores.index(max(above)), 1.0) if above else None

    assert best_above(threshold, np.array(scores, dtype=float)) == expected
