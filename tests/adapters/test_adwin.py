"""ADWIN on the rate of redemptions: planted changes, and none."""

import sys
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pytest

from app.adapters.adwin import adwin
from app.domain.redemption import RateChange, RedemptionWatch, changes
from app.errors import DatasetRefused

FIRST = date(2025, 1, 1)
A_DAY = 40


def outcomes(seed: int, *parts: tuple[int, float]) -> Iterator[tuple[date, bool]]:
    """For each part so many days of 40 coupons, redeemed by chance at this rate."""
    rng, day = np.random.default_rng(seed), FIRST
    for days, rate in parts:
        for _ in range(days):
            yield from ((day, bool(lot < rate)) for lot in rng.random(A_DAY))
            day += timedelta(days=1)


def found(seed: int, *parts: tuple[int, float]) -> list[RateChange]:
    return list(changes(RedemptionWatch(adwin()), outcomes(seed, *parts)))


@pytest.mark.parametrize("seed", range(5))
def test_a_rate_that_stays_has_not_changed(seed: int) -> None:
    assert found(seed, (400, 0.15)) == []


@pytest.mark.parametrize(("before", "after"), [(0.15, 0.08), (0.05, 0.12)])
def test_a_planted_change_is_found_near_its_day(before: float, after: float) -> None:
    (change,) = found(1, (200, before), (150, after))

    assert abs(change.day - (FIRST + timedelta(days=200))) < timedelta(days=15)
    assert change.day <= change.noticed_on
    assert change.before == pytest.approx(before, abs=0.01)
    assert change.after == pytest.approx(after, abs=0.03)


def test_one_change_after_the_other_is_found() -> None:
    first, second = found(1, (200, 0.15), (100, 0.05), (100, 0.15))

    assert first.before > first.after
    assert second.before < second.after
    assert abs(second.day - (FIRST + timedelta(days=300))) < timedelta(days=15)


def test_without_river_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river.drift", None)

    with pytest.raises(DatasetRefused, match="pip install river"):
        adwin()
