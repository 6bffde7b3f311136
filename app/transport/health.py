"""What is ready and what is not, part by part; every change is logged once."""

from collections.abc import Callable, Collection, Mapping

import structlog

log = structlog.get_logger(__name__)


class Health:
    """The parts that the service works with, each with what is wrong with it (None: nothing).

    Without an `optional` part the service still answers every event, only less well. `crashed` names background work
    that has ended and should not have: only a restart helps.
    """

    def __init__(self, parts: Mapping[str, str | None], optional: Collection[str] = ()) -> None:
        self._problems = dict(parts)
        self._optional = frozenset(optional)
        self._expected: set[str] = set()
        self._watchers: list[Callable[[], None]] = []
        self.crashed: list[str] = []

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call it now, and after every change."""
        self._watchers.append(watcher)
        watcher()

    @property
    def problems(self) -> Mapping[str, str]:
        """What keeps the service from being ready: each part with a sentence."""
        return {part: problem for part, problem in self._found() if part not in self._optional}

    @property
    def degradations(self) -> Mapping[str, str]:
        """What the service does without: each part with a sentence."""
        return {part: problem for part, problem in self._found() if part in self._optional}

    @property
    def parts(self) -> Mapping[str, str | None]:
        """All parts."""
        return dict(self._problems)

    @property
    def is_ready(self) -> bool:
        """Whether nothing that is needed is missing."""
        return not self.problems

    def _found(self) -> list[tuple[str, str]]:
        return [(part, problem) for part, problem in self._problems.items() if problem is not None]

    def expect(self, part: str, problem: str) -> Callable[[str | None], None]:
        """A part that is not ready yet: its reporter. That it is not is told when it is known why."""
        self._problems[part] = problem
        self._expected.add(part)
        return self.reporter(part)

    def reporter(self, part: str) -> Callable[[str | None], None]:
        """A function that takes this part's state: None when it is ready, else what is wrong."""

        def report(problem: str | None) -> None:
            before, self._problems[part] = self._problems.get(part), problem
            is_news = before is None or part in self._expected
            self._expected.discard(part)
            if problem is None and before is not None:
                log.info("part is ready", part=part)
            elif problem is not None and is_news:
                log.warning("part is not ready", part=part, problem=problem)
            elif problem != before:
                log.debug("part is still not ready", part=part, problem=problem)
            if problem != before:
                for watcher in self._watchers:
                    watcher()

        return report
