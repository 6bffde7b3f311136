"""The table, on the screen and in docs/reliability.md."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from tests.chaos.judge import Report
from tests.chaos.scenarios import BY_NAME
from tests.machine import machine

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


def document(reports: Sequence[Report], before: str, *, is_full: bool) -> str:
    """docs/reliability.md: the preamble, the machine, the table, the commands.

    Scenarios that were not played now keep what the document said of them before, in the same form.
    """
    circumstances = _circumstances(is_full)
    played = {report.scenario for report in reports}
    lines = _measured(before) if circumstances.partition(",")[0] in before else []
    lines = [(row, command) for row, command in lines if _scenario_of(row) not in played]
    for report in reports:
        row = f"| {' | '.join(cell.replace('|', '/') for cell in _row(report))} |"
        lines.append((row, report.command))
    lines.sort(key=lambda line: list(BY_NAME).index(_scenario_of(line[0])))
    return "\n".join(
        [
            *(PREAMBLE.read_text().rstrip(), "", "## Measured", "", circumstances, ""),
            *(f"| {' | '.join(HEADINGS)} | further |", f"|{'---|' * (len(HEADINGS) + 1)}"),
            *(row for row, _ in lines),
            *("", "Each line again by itself:", "", "```bash", *(command for _, command in lines), "```", ""),
        ]
    )


def _measured(before: str) -> list[tuple[str, str]]:
    """The rows and commands of a document."""
    _, _, measured = before.partition("## Measured")
    rows = [line for line in measured.splitlines() if line.startswith("| ") and _scenario_of(line) in BY_NAME]
    commands = [line for line in measured.splitlines() if line.startswith("python -m tests.chaos")]
    return list(zip(rows, commands, strict=True))


def _scenario_of(row: str) -> str:
    return row.split("|")[1].strip()


def _circumstances(is_full: bool) -> str:
    form = "long" if is_full else "short"
    return (
        f"The {form} form, {datetime.now(UTC):%Y-%m-%d}, broker, database, service and load generator on one machine: "
        f"{machine(LIBRARIES)}. `sent` counts copies; times run from the moment an event is due to its "
        "first outcome at the till, outages included; recovery is the longest time from the end of a fault to the "
        "first answer to an event sent after it."
    )
