"""`python -m tests.chaos`: play scenarios, print the table, write the document."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from tests.chaos.disk import NoSmallDisk
from tests.chaos.judge import Report
from tests.chaos.report import DOCUMENT, document, further, table
from tests.chaos.run import Parameters, perform
from tests.chaos.scenarios import ALL, BY_NAME, Scenario
from tests.chaos.shop import Shop
from tests.chaos.world import World, WorldPlan, open_world


class Worlds:
    """Keeps one world for as long as the next scenario can use it."""

    def __init__(self, keep_logs: Path | None = None) -> None:
        self._keep_logs = keep_logs
        self._open = ExitStack()
        self._world: World | None = None

    def of(self, plan: WorldPlan) -> World:
        """A world of this plan, ready. Raises NoSmallDisk."""
        if self._world is None or self._world.plan != plan or not self._world.is_whole():
            self.close()
            self._world = self._open.enter_context(open_world(plan, self._keep_logs))
        return self._world

    def close(self) -> None:
        """Stop the world that is left."""
        self._world = None
        self._open.close()


@contextmanager
def open_worlds(keep_logs: Path | None = None) -> Iterator[Worlds]:
    """Worlds that are stopped at the end."""
    worlds = Worlds(keep_logs)
    try:
        yield worlds
    finally:
        worlds.close()


def play(scenario: Scenario, parameters: Parameters, worlds: Worlds, plan: WorldPlan | None = None) -> Report:
    """Play one scenario."""
    report = Report(scenario.name, command(scenario, parameters))
    shop = Shop(parameters.seed, scenario.entry_share, scenario.central_share)
    try:
        world = worlds.of(plan or scenario.plan_for(parameters))
    except NoSmallDisk as reason:
        report.not_run = str(reason)
    else:
        perform(report, scenario.work, scenario.extras, world, parameters, shop)
    return report


def command(scenario: Scenario, parameters: Parameters) -> str:
    """The line that plays this again."""
    parts = [f"python -m tests.chaos --scenario {scenario.name}"]
    for name in ("faults", "rate", "seconds", "seed", "replicas", "events"):
        value = getattr(parameters, name)
        if (value and value != getattr(Parameters(), name)) or name == "seed":
            parts.append(f"--{name} {value:g}" if name != "events" else f"--events {value}")
    return " ".join(parts)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("names", nargs="*", help="scenarios to play, instead of all of them (with --suite)")
    parser.add_argument("--scenario", choices=sorted(BY_NAME), help="play this one")
    parser.add_argument(
        "--suite",
        action="store_true",
        help="play all, or the named ones, and write what came of them into docs/reliability.md",
    )
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("--list", action="store_true", help="say what there is")
    for name in ("faults", "seed", "replicas", "events"):
        parser.add_argument(f"--{name}", type=int)
    for name in ("rate", "seconds"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--keep-logs", type=Path, metavar="DIR", help="keep the logs of all processes here")
    parser.add_argument("--service", choices=("product", "broken"), default="product")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a verdict is bad."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is to be stopped
    given, console = _arguments(arguments), Console()
    if given.list or not (given.suite or given.scenario):
        for scenario in ALL:
            console.print(f"{scenario.name:14} {scenario.summary}", highlight=False)
        return 0
    if given.keep_logs is not None:
        given.keep_logs.mkdir(parents=True, exist_ok=True)
    reports = []
    with open_worlds(given.keep_logs) as worlds:
        for scenario, parameters in _chosen(given):
            console.print(f"{scenario.name}: {scenario.summary}", style="dim") if not given.json else None
            plan = replace(scenario.plan_for(parameters), service=given.service)
            report = play(scenario, parameters, worlds, plan)
            reports.append(report)
            if not given.json:
                console.print(f"  {report.verdict}: {further(report)}", markup=False, highlight=False)
    if given.json:
        sys.stdout.write(json.dumps([{**asdict(one), "verdict": one.verdict} for one in reports], indent=1) + "\n")
    else:
        console.print(table(reports))
    if given.suite:
        before = DOCUMENT.read_text() if DOCUMENT.exists() else ""
        DOCUMENT.write_text(document(reports, before, is_full=given.full))
    return int(any(report.verdict == "bad" for report in reports))


def _chosen(given: argparse.Namespace) -> Iterator[tuple[Scenario, Parameters]]:
    names = [given.scenario] if given.scenario else given.names or [scenario.name for scenario in ALL]
    overrides = ("faults", "rate", "seconds", "seed", "replicas", "events")
    changed = {name: getattr(given, name) for name in overrides if getattr(given, name) is not None}
    for name in names:
        scenario = BY_NAME[name]
        for parameters in scenario.full if given.full else (scenario.short,):
            yield scenario, replace(parameters, is_timed=given.full, **changed)


if __name__ == "__main__":
    sys.exit(main())
