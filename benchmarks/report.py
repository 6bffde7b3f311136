"""`benchmarks/results.md` for people, `benchmarks/results.json` for the next comparison."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from benchmarks.figures import Figure
from tests.machine import machine

FOLDER = Path(__file__).parent
DOCUMENT, COMPARABLE = FOLDER / "results.md", FOLDER / "results.json"
HEADINGS = ("figure", "value", "reach", "stretch", "verdict", "note")
LIBRARIES = ("paho-mqtt", "asyncpg", "fastapi", "uvicorn", "uvloop", "numpy", "scikit-learn", "orjson")
TOLERATED = 0.8
COMPARED = "of echo's rate"


def table(figures: Sequence[Figure]) -> Table:
    """For the terminal."""
    made = Table(*HEADINGS)
    for one in figures:
        made.add_row(*_cells(one))
    return made


def write(results: Mapping[str, Sequence[Figure]]) -> None:
    """Replace the figures of these cases; those of others stay as they are."""
    kept = json.loads(COMPARABLE.read_text()) if COMPARABLE.exists() else {}
    for case, figures in results.items():
        kept[case] = {"measured": _circumstances(), "figures": [asdict(figure) for figure in figures]}
    COMPARABLE.write_text(json.dumps(kept, indent=1) + "\n")
    DOCUMENT.write_text("\n".join(_lines(kept)) + "\n")


def regressions(figures: Sequence[Figure]) -> list[str]:
    """What is more than 20 % worse than the committed ratio to the echo, in sentences.

    Raises ValueError where there is nothing to compare: other figures are those of the machine.
    """
    committed = {
        one["name"]: one["value"]
        for case in json.loads(COMPARABLE.read_text()).values()
        for one in case["figures"]
        if COMPARED in one["name"]
    }
    compared = [one for one in figures if one.name in committed]
    if not compared:
        raise ValueError(f"nothing to compare: no figure {COMPARED!r} here and in {COMPARABLE.name}")
    return [
        f"{one.name}: {one.value:.2f}, committed is {committed[one.name]:.2f}"
        for one in compared
        if one.value < TOLERATED * committed[one.name]
    ]


def _circumstances() -> str:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=FOLDER)
    return f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'unknown'}, {machine(LIBRARIES)}"


def _lines(kept: Mapping[str, Mapping[str, object]]) -> list[str]:
    lines = [
        "# Figures",
        "",
        "Written by `scripts/bench`. Generator, broker, PostgreSQL and service share the cores of one machine.",
    ]
    for case, found in kept.items():
        lines += ["", f"## {case}", "", str(found["measured"]), ""]
        lines += [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
        figures = found["figures"]
        assert isinstance(figures, list)
        lines += [f"| {' | '.join(_cells(Figure(**one)))} |" for one in figures]
    return lines


def _cells(one: Figure) -> tuple[str, ...]:
    bounds = _bound(one, one.reach), _bound(one, one.stretch)
    return one.name, f"{_number(one.value)} {one.unit}".strip(), *bounds, one.verdict, one.note


def _bound(one: Figure, bound: float | None) -> str:
    return "" if bound is None else f"{'>=' if one.is_more_better else '<='} {_number(bound)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
