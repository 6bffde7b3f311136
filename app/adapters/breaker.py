"""A circuit breaker: a system that fails again and again is left alone for a while."""

from collections.abc import Callable
from time import monotonic


class Breaker:
    """Opens after `failures` in a row; `rest_seconds` later one call may try again, and its success closes it.

    After Nygard, Release It! (2007), chapter 5.
    """

    def __init__(self, failures: int = 5, rest_seconds: float = 5.0, clock: Callable[[], float] = monotonic) -> None:
        self._limit = failures
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._failures = 0
        self._closed_from = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are to be left out."""
        return self._failures >= self._limit

    def allows(self) -> bool:
        """Whether to call now; while it is open, one call in each rest period is allowed."""
        if not self.is_open:
            return True
        if self._clock() < self._closed_from:
            return False
        self._closed_from = self._clock() + self._rest_seconds
        return True

    def succeeded(self) -> None:
        """The call went well."""
        self._failures = 0

    def failed(self) -> None:
        """The call failed."""
        self._failures += 1
        self._closed_from = self._clock() + self._rest_seconds
