"""What is ready and what is not, part by part; every change is logged once."""

from collections.abc import Callable, Mapping

import structlog

log = structlog.get_logger(__name__)


class Health:
    """The parts that the service needs, each with what is wrong with it (None: nothing).

    `crashed` names background work that has ended and should not have: only a restart helps.
    """

    def __init__(self, parts: Mapping[str, str | None]) -> None:
        self._problems = dict(parts)
        self.crashed: list[str] = []

    @property
    def problems(self) -> Mapping[str, str]:
        """The parts that are not ready, each with a sentence."""
        return {part: problem for part, problem in self._problems.items() if problem is not None}

    @property
    def parts(self) -> Mapping[str, str | None]:
        """All parts."""
        return dict(self._problems)

    @property
    def is_ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.problems

    def reporter(self, part: str) -> Callable[[str | None], None]:
        """A function that takes this part's state: None when it is ready, else what is wrong."""

        def report(problem: str | None) -> None:
            before, self._problems[part] = self._problems.get(part), problem
            if problem is None and before is not None:
                log.info("part is ready", part=part)
            elif problem is not None and before is None:
                log.warning("part is not ready", part=part, problem=problem)
            elif problem != before:
                log.debug("part is still not ready", part=part, problem=problem)

        return report
