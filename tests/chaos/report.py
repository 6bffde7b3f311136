"""The table, on the screen and in docs/reliability.md."""

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from app.embedded.broker import find_mosquitto
from tests.chaos.judge import Report

PROJECT = Path(__file__).parents[2]
DOCUMENT = PROJECT / "docs" / "reliability.md"
PREAMBLE = Path(__file__).with_name("preamble.md")
HEADINGS = (
    *("scenario", "faults", "sent", "lost", "conflicting", "extra copies", "p50 ms", "p99 ms"),
    *("recovery s", "verdict"),
)
LIBRARIES = ("paho-mqtt", "asyncpg", "httpx", "uvicorn", "fastapi")


def table(reports: Sequence[Report]) -> Table:
    """For the screen."""
    shown = Table(*HEADINGS)
    for report in reports:
        shown.add_row(*_row(report)[:-1], style={"good": "", "bad": "red", "not run": "yellow"}[report.verdict])
    return shown


def further(report: Report) -> str:
    """What else was found."""
    return _row(report)[-1]


def _row(report: Report) -> list[str]:
    counted = report.counted
    if counted is None:
        return [report.scenario, *[""] * 8, report.verdict, report.not_run]
    recovery = "" if report.recovery_seconds is None else f"{report.recovery_seconds:.2f}"
    figures = dict(report.figures)
    if report.ready_seconds is not None:
        figures["ready again after"] = f"{report.ready_seconds:.2f} s"
    if counted.excused:
        figures["forgotten by the killed broker"] = str(counted.excused)
    others = [*(f"{name}: {value}" for name, value in figures.items()), *report.failures]
    return [
        *(report.scenario, str(report.faults), f"{counted.copies:,}", str(counted.lost), str(counted.conflicting)),
        *(str(counted.extra), f"{counted.p50 * 1000:.1f}", f"{counted.p99 * 1000:.0f}"),
        *(recovery, report.verdict, "; ".join(others)),
    ]


def write_document(reports: Sequence[Report], *, is_full: bool) -> None:
    """Write docs/reliability.md: the preamble, the table, the commands, the machine."""
    lines = [PREAMBLE.read_text().rstrip(), "", "## Measured", "", _circumstances(is_full), ""]
    lines += [f"| {' | '.join(HEADINGS)} | further |", f"|{'---|' * (len(HEADINGS) + 1)}"]
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in _row(report))} |" for report in reports]
    lines += ["", "Each line again by itself:", "", "```bash", *(report.command for report in reports), "```", ""]
    DOCUMENT.write_text("\n".join(lines))


def _circumstances(is_full: bool) -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    form = "long" if is_full else "short"
    return (
        f"The {form} form, {datetime.now(UTC):%Y-%m-%d}, broker, database, service and load generator on one machine: "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}, "
        f"{_mosquitto_version()}, {libraries}. `sent` counts copies; times run from the moment an event is due to its "
        "first outcome at the till, outages included; recovery is the longest time from the end of a fault to the "
        "first answer to an event sent after it."
    )


def _mosquitto_version() -> str:
    program = find_mosquitto()
    if program is None:
        return "no mosquitto"
    shown = subprocess.run([program, "-h"], capture_output=True, timeout=10, check=False).stdout.decode()
    return shown.partition("\n")[0].strip()
