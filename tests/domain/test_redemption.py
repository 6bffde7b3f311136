"""The rate of redemptions: on which day it changed, with a detector that the test tells when to speak."""

from collections.abc import Callable, Iterator
from datetime import date, timedelta

from app.domain.redemption import MOST_DAYS, RateChange, RedemptionWatch, changes

FIRST = date(2026, 1, 1)


class SpeaksAt:
    """ChangeDetector that sees a change in the outcome of this number, counted anew by each detector."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seen = 0

    def has_changed(self, outcome: float) -> bool:
        self._seen += 1
        return self._seen == self._number


def detectors(*numbers: int) -> Callable[[], SpeaksAt]:
    """The first speaks at the first number, and so on; the rest never."""
    left = list(numbers)
    return lambda: SpeaksAt(left.pop(0) if left else 0)


def outcomes(*rates: float, first: date = FIRST, a_day: int = 10) -> Iterator[tuple[date, bool]]:
    """Ten coupons a day, of which the first are redeemed."""
    for ahead, rate in enumerate(rates):
        for number in range(a_day):
            yield first + timedelta(days=ahead), number < rate * a_day


def test_a_change_is_put_on_the_day_from_which_on_the_outcomes_differ() -> None:
    watch = RedemptionWatch(detectors(60))

    found = list(changes(watch, outcomes(0.2, 0.2, 0.2, 0.5, 0.5, 0.5)))

    assert found == [RateChange(FIRST + timedelta(days=3), 0.2, 0.5, noticed_on=FIRST + timedelta(days=5))]


def test_a_second_change_is_looked_for_after_the_first() -> None:
    watch = RedemptionWatch(detectors(50, 40))

    found = list(changes(watch, outcomes(0.2, 0.2, 0.2, 0.6, 0.6, 0.6, 0.6, 0.1, 0.1)))

    assert found == [
        RateChange(FIRST + timedelta(days=3), 0.2, 0.6, noticed_on=FIRST + timedelta(days=4)),
        RateChange(FIRST + timedelta(days=7), 0.6, 0.1, noticed_on=FIRST + timedelta(days=8)),
    ]


def test_nothing_changes_within_a_day() -> None:
    assert list(changes(RedemptionWatch(detectors(5)), outcomes(0.5))) == []


def test_a_rate_of_nothing_or_everything_can_change_too() -> None:
    (found,) = changes(RedemptionWatch(detectors(40)), outcomes(0.0, 0.0, 1.0, 1.0))

    assert (found.day, found.before, found.after) == (FIRST + timedelta(days=2), 0.0, 1.0)


def test_as_much_is_kept_as_ten_years() -> None:
    watch = RedemptionWatch(detectors(MOST_DAYS + 7))

    (found,) = changes(watch, outcomes(*[0.0] * 6, 1.0, *[0.0] * MOST_DAYS, a_day=1))

    assert found.before == 0.0  # the one that was redeemed is forgotten
