"""The rate of redemptions as it goes on: on which day it changed, and from what to what.

Outcomes come one by one, in the order of the days on which the coupons were handed out, from a history or, one day,
from whatever tells the service of redemptions. A detector says that the rate has changed, and says so late: the day is
looked for among those since the last change, where the outcomes before and after it differ most surely.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Protocol

MOST_DAYS = 3_660  # that are kept since the last change


class ChangeDetector(Protocol):
    """Watches a mean; made anew after each change."""

    def has_changed(self, outcome: float) -> bool:
        """Take the next outcome, between 0 and 1; whether the mean has changed."""
        ...


@dataclass(frozen=True, slots=True)
class RateChange:
    """Coupons handed out from `day` on are redeemed at the rate `after`, those before at `before`.

    `noticed_on` is the day of the outcome that gave it away.
    """

    day: date
    before: float
    after: float
    noticed_on: date


class RedemptionWatch:
    """Takes outcomes as they come, and tells of changes."""

    def __init__(self, detector: Callable[[], ChangeDetector]) -> None:
        self._make = detector
        self._detector = detector()
        self._days: dict[date, tuple[int, int]] = {}  # handed out, and redeemed of those

    def add(self, day: date, *, is_redeemed: bool) -> RateChange | None:
        """Take the next outcome. Days must not go back."""
        count, redeemed = self._days.get(day, (0, 0))
        self._days[day] = count + 1, redeemed + is_redeemed
        if len(self._days) > MOST_DAYS:
            del self._days[next(iter(self._days))]
        if not self._detector.has_changed(float(is_redeemed)):
            return None
        self._detector = self._make()
        return self._located(day)

    def _located(self, noticed_on: date) -> RateChange | None:
        """The day with the surest difference; what was before it is forgotten. None where all came on one day."""
        days = list(self._days)
        if len(days) < 2:
            return None
        total, used = (sum(column) for column in zip(*self._days.values(), strict=True))
        best, change, seen, seen_used = -math.inf, None, 0, 0
        for day, following in pairwise(days):
            count, redeemed = self._days[day]
            seen, seen_used = seen + count, seen_used + redeemed
            rest, rest_used = total - seen, used - seen_used
            surely = _log_likelihood(seen_used, seen) + _log_likelihood(rest_used, rest)
            if surely > best:
                best, change = surely, RateChange(following, seen_used / seen, rest_used / rest, noticed_on)
        if change is not None:
            self._days = {day: counts for day, counts in self._days.items() if day >= change.day}
        return change


def changes(watch: RedemptionWatch, outcomes: Iterable[tuple[date, bool]]) -> Iterator[RateChange]:
    """Every change among outcomes in the order of their days."""
    for day, is_redeemed in outcomes:
        change = watch.add(day, is_redeemed=is_redeemed)
        if change is not None:
            yield change


def _log_likelihood(redeemed: int, count: int) -> float:
    """Of the outcomes, at their own rate."""
    terms = [(redeemed, redeemed / count), (count - redeemed, 1 - redeemed / count)]
    return sum(number * math.log(share) for number, share in terms if number)
