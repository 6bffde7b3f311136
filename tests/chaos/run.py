"""One run of a scenario: load, faults, settling, judging."""

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from uuid import UUID

from tests.chaos.judge import Extras, Fault, Report, count, failures, is_forgotten
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.service import Service, ServiceKind, holds_in_time
from tests.chaos.shop import CENTRAL_PREFIX, UNKNOWN_PREFIX, Shop
from tests.chaos.watch import Look, Watch
from tests.chaos.world import World

SETTLE_SECONDS: Mapping[ServiceKind, float] = {"product": 120.0, "broken": 5.0}  # the sweeper needs 75
QUIET_SECONDS = 1.5
RECOVERY_SECONDS = 60.0
MIB = 1 << 20
NUMERIC_IDS = re.compile(r'"(customer_)?id"\s*:\s*"?\d|customer_id=\S|/get_context/')


@dataclass(frozen=True)
class Parameters:
    """How long and how hard. `is_timed`: recovery times are judged, not only told."""

    faults: int = 0
    rate: float = 100
    seconds: float = 0
    seed: int = 1
    replicas: int = 1
    events: int = 0
    is_timed: bool = False


class Run:
    """What a scenario works with, and what it finds."""

    def __init__(self, world: World, load: Load, watch: Watch, parameters: Parameters) -> None:
        self.world = world
        self.load = load
        self.watch = watch
        self.parameters = parameters
        self.random = random.Random(parameters.seed)
        self.faults: list[Fault] = []
        self.forgotten: list[tuple[float, float]] = []
        self.figures: dict[str, str] = {}
        self.failures: list[str] = []
        self.recoveries: list[float] = []
        self.readies: list[float] = []

    @property
    def service(self) -> Service:
        """The only service, or the first of them."""
        return self.world.services[0]

    def pause(self, least: float, most: float) -> None:
        """Let the events go on for a time drawn between these."""
        threading.Event().wait(self.random.uniform(least, most))

    def check(self, is_right: bool, problem: str) -> None:
        """Note the problem, if it is one."""
        if not is_right:
            self.failures.append(problem)

    def check_time(self, is_right: bool, problem: str) -> None:
        """The same where times are judged."""
        self.check(is_right or not self.parameters.is_timed, problem)

    def struck(self, name: str, began: float, ended: float = 0.0) -> None:
        """A fault, done; one without an end was over at once."""
        self.faults.append(Fault(name, began, ended or began))

    def await_recovery(self, since: float) -> None:
        """Wait until all services are ready and an event sent since then has been answered; note both times."""
        is_ready = self.world.is_ready_in_time(RECOVERY_SECONDS)
        self.readies.append(monotonic() - since)

        def answered_at() -> float:
            return self.load.ask(lambda ledger: ledger.first_answer_after(since))

        has_recovered = holds_in_time(lambda: answered_at() > 0, RECOVERY_SECONDS)
        self.check(is_ready, f"not ready {RECOVERY_SECONDS:.0f} s after a fault: {self.world.problems()}")
        self.check(has_recovered, f"no event was answered within {RECOVERY_SECONDS:.0f} s after a fault")
        if has_recovered:
            self.recoveries.append(answered_at() - since)

    def looks(self, since: float) -> list[Look]:
        """What the watch has seen from then on."""
        return self.watch.since(since)


def perform(
    report: Report, work: Callable[[Run], None], extras: Extras, world: World, parameters: Parameters, shop: Shop
) -> None:
    """Play the scenario in this world, and judge."""
    if extras is Extras.ONE_PER_FAULT and not parameters.is_timed:
        extras = Extras.IN_FLIGHT  # how many events are in flight at a time is a matter of time too
    with _running(world, parameters, shop) as run:
        run.load.begin(parameters.rate)
        run.check(holds_in_time(lambda: run.load.ledger.last_heard_at > 0, 30), "no event was answered at first")
        work(run)
        run.load.end()
        world.heal()
        settled_in = _settle(run)
        counted = count(run.load.ledger, run.faults, run.forgotten)
        run.failures += failures(counted, extras, len(run.faults))
        if world.plan.service == "product":
            _check_decision_log(run)
            _check_logs(run)
        _tell_sizes(run)
        if run.load.ledger.strangers:
            run.figures["outcomes of other runs"] = str(run.load.ledger.strangers)
    report.counted, report.faults = counted, len(run.faults)
    report.recovery_seconds = max(run.recoveries, default=None)
    report.ready_seconds = max(run.readies, default=None)
    report.figures, report.failures = {**run.figures, "settled": f"{settled_in:.1f} s"}, run.failures


@contextmanager
def _running(world: World, parameters: Parameters, shop: Shop) -> Iterator[Run]:
    with ExitStack() as undo:
        load = Load(world.stack.broker_port, shop)
        undo.callback(load.close)
        watch = world.watch()
        undo.callback(watch.close)
        yield Run(world, load, watch, parameters)


def _settle(run: Run) -> float:
    """Wait until everything has an outcome and nothing more comes, or for long enough."""
    began, patience = monotonic(), SETTLE_SECONDS[run.world.plan.service]
    holds_in_time(lambda: run.load.ask(lambda ledger: _is_settled(run, ledger)), patience)
    seconds = monotonic() - began
    holds_in_time(lambda: monotonic() - run.load.ledger.last_heard_at > QUIET_SECONDS, patience)
    threading.Event().wait(QUIET_SECONDS)
    return seconds


def _is_settled(run: Run, ledger: Ledger) -> bool:
    """Whether the broker has everything, and everything that it has not forgotten has an outcome."""
    if run.load.sensors.unacknowledged:
        return False
    return all(is_forgotten(one, run.forgotten) for one in ledger.unanswered())


def _check_decision_log(run: Run) -> None:
    """Every event that is to be decided has one row; those that a killed broker forgot need none."""
    rows = Counter(UUID(str(one)).bytes for one in run.world.query("SELECT decision_id FROM decision"))
    names = run.load.ledger.names("result")
    twice = [name for name in names if rows[name] > 1]
    missing = [name for name, one in names.items() if one.outcomes and not rows[name]]
    run.check(not twice, f"{len(twice)} events have more than one row in the decision log")
    run.check(not missing, f"{len(missing)} outcomes were published that the decision log does not have")


def _check_logs(run: Run) -> None:
    found = Counter(ids_in_logs(run.world.logs, run.load.shop.run))
    for place, lines in found.items():
        run.failures.append(f"{lines} log lines hold customer ids: {place}")


def ids_in_logs(logs: Path, run: str) -> Iterator[str]:
    """The log file, with the beginning of the line, for each line that holds the id of a customer."""
    ids = re.compile(f"({re.escape(CENTRAL_PREFIX)}|{re.escape(UNKNOWN_PREFIX)}){run}")
    for path in sorted(logs.glob("*.log")):
        with path.open(errors="replace") as lines:
            for line in lines:
                if ids.search(line) or NUMERIC_IDS.search(line):
                    yield f"{path.name.partition('.')[0]}: {_shape(line)}"


def _shape(line: str) -> str:
    """The beginning of a line without what makes it particular."""
    return re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "N", line.strip())[:160]


def _tell_sizes(run: Run) -> None:
    sizes = [look.size for look in run.watch.looks if look.size]
    if sizes:
        run.figures["RSS"] = f"{sizes[0]['rss'] / MIB:.0f} to {max(one['rss'] for one in sizes) / MIB:.0f} MiB"


def rss_of(looks: Sequence[Look]) -> list[int]:
    """Resident bytes, in order."""
    return [look.size["rss"] for look in looks if look.size]
