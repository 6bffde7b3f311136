"""Looks at the services all the time: are they alive, are they ready, how big are they."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from tests.chaos.service import Service

EVERY_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one time. Status 0: no answer."""

    at: float
    client_id: str
    live: int
    ready: int
    problems: Mapping[str, str]
    size: Mapping[str, int]


class Watch:
    """A thread that looks, until it is closed."""

    def __init__(self, services: Sequence[Service]) -> None:
        self.looks: list[Look] = []
        self._services = services
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    def since(self, at: float) -> list[Look]:
        """What has been seen from then on."""
        return [look for look in tuple(self.looks) if look.at >= at]

    def close(self) -> None:
        """Look no more."""
        self._is_over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._is_over.wait(EVERY_SECONDS):
            for service in self._services:
                if service.pid and not service.is_frozen and service.kind == "product":
                    self.looks.append(_look(service))


def _look(service: Service) -> Look:
    at = monotonic()
    live, _ = service.get("/livez")
    ready, answer = service.get("/readyz")
    problems: Any = answer.get("problems", {})
    return Look(at, service.client_id, live, ready, problems, service.size())
