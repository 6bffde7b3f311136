"""The service's log while it is being attacked: every line is one JSON object, and says nothing from outside."""

import json
import re
from pathlib import Path

from tests.hostile.bodies import MARK

KEYS = {
    "event", "level", "logger", "timestamp", "kind", "reason", "problem", "part", "version", "routes", "client_id",
    "topic", "dropped", "broker", "results", "events", "years", "rows", "file", "products", "coupons",
    "catalogue", "refused", "customer", "outcomes", "partitions", "other_decisions", "named_events", "dead_letters",
    "coupon_bodies", "unpublished_decisions", "alias", "is_forced",
}  # fmt: skip
EXCERPT_BYTES = 600
BROKER_LOST = re.compile(rb'"part": "broker.*"part is not ready"')
ALARMS = ("event failed", "Traceback", "exception", "internal_error", "has crashed", "batch failed")


class LogWatch:
    """Reads what has been added to a log since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self.lines = 0
        self.lost_connections = 0

    def problems(self) -> list[str]:
        """What is wrong with the new lines."""
        with self._path.open("rb") as log:
            log.seek(self._position)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._position += len(whole) + len(newline)
        lines = whole.split(b"\n") if newline else []
        self.lines += len(lines)
        self.lost_connections += sum(BROKER_LOST.search(line) is not None for line in lines)
        return [f"log: {problem}: {_excerpt(line)!r}" for line in lines if (problem := _problem(line))]


def _problem(line: bytes) -> str | None:
    if MARK.encode() in line:
        return "text from outside"
    if any(alarm.encode() in line for alarm in ALARMS):
        return "a failure"
    try:
        document = json.loads(line)
    except ValueError:
        return "no JSON"
    if not isinstance(document, dict) or not document.keys() <= KEYS:
        return "unknown keys"
    return None


def _excerpt(line: bytes) -> bytes:
    return line if len(line) <= 2 * EXCERPT_BYTES else line[:EXCERPT_BYTES] + b" ... " + line[-EXCERPT_BYTES:]
