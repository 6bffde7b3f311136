"""Waiting while the started processes live and nobody asks to stop."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from app.embedded.process import ChildProcess

POLL_SECONDS = 0.02
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """Ctrl-C, or the signal of another process."""


class Watch:
    """Every wait of `run` goes through here.

    A signal only sets a flag, and the waits look at it: so stopping is never cut short by a second Ctrl-C.
    """

    def __init__(self) -> None:
        self._children: list[ChildProcess] = []
        self._is_stop_requested = False

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take the signals that ask to stop, for as long as the context is open."""
        before = [(number, signal.signal(number, self._request_stop)) for number in STOP_SIGNALS]
        try:
            yield
        finally:
            for number, handler in before:
                signal.signal(number, handler)

    def add(self, child: ChildProcess) -> None:
        """From now on the end of this process ends the waits."""
        self._children.append(child)

    def check(self) -> None:
        """Raises StopRequested, or EmbeddedFailed when a process has ended by itself."""
        if self._is_stop_requested:
            raise StopRequested
        for child in self._children:
            child.check()

    def wait_until(self, is_done: Callable[[], bool], seconds: float) -> bool:
        """Wait for at most so long; whether it was done in time. Raises like `check`."""
        deadline = time.monotonic() + seconds
        while not is_done():
            self.check()
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def stay(self) -> NoReturn:
        """Wait until asked to stop. Raises like `check`, always."""
        while True:
            self.check()
            time.sleep(POLL_SECONDS)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._is_stop_requested = True
