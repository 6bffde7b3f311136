"""The scenarios: what is done, and what must be true afterwards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from tests.chaos import faults, heavy, outside, scale, swap
from tests.chaos.judge import Extras
from tests.chaos.run import Parameters, Run
from tests.chaos.world import WorldPlan


@dataclass(frozen=True)
class Scenario:
    """A play with its parameters. `full` may hold several; `entry_share`: entry events for each focus event."""

    name: str
    summary: str
    work: Callable[[Run], None]
    short: Parameters
    full: tuple[Parameters, ...]
    extras: Extras
    plan: WorldPlan = field(default_factory=WorldPlan)
    entry_share: float = 0.05
    central_share: float = 0.06

    def plan_for(self, parameters: Parameters) -> WorldPlan:
        """The world for these parameters."""
        return replace(self.plan, replicas=parameters.replicas)


ALL = (
    Scenario(
        "kill",
        "service killed (SIGKILL) and started again",
        faults.kill,
        Parameters(faults=5),
        (Parameters(faults=20),),
        Extras.IN_FLIGHT,
    ),
    Scenario(
        "term",
        "service stopped (SIGTERM) and started again",
        faults.term,
        Parameters(faults=4),
        (Parameters(faults=10),),
        Extras.NONE,
    ),
    Scenario(
        "broker",
        "broker stopped (SIGTERM) and started again, with persistence",
        faults.broker,
        Parameters(faults=5),
        (Parameters(faults=20),),
        Extras.ONE_PER_FAULT,
    ),
    Scenario(
        "broker-kill",
        "broker killed (SIGKILL) and started again",
        faults.broker_kill,
        Parameters(faults=2),
        (Parameters(faults=10),),
        Extras.ANY,
    ),
    Scenario(
        "postgres",
        "PostgreSQL shut down at once (immediate) and started again",
        faults.postgres,
        Parameters(faults=5),
        (Parameters(faults=20),),
        Extras.IN_FLIGHT,
    ),
    Scenario(
        "postgres-away",
        "PostgreSQL away for a while",
        faults.postgres_away,
        Parameters(faults=1, seconds=8),
        (Parameters(faults=1, seconds=30),),
        Extras.IN_FLIGHT,
    ),
    Scenario(
        "network",
        "connections to broker and database reset",
        faults.network,
        Parameters(faults=6),
        (Parameters(faults=20),),
        Extras.ONE_PER_FAULT,
    ),
    Scenario(
        "blackhole",
        "nothing passes to the broker, or to the database, for a while",
        faults.blackhole,
        Parameters(faults=2, seconds=8),
        (Parameters(faults=4, seconds=8),),
        Extras.ONE_PER_FAULT,
    ),
    Scenario(
        "frozen",
        "service frozen (SIGSTOP) for a while",
        faults.frozen,
        Parameters(faults=1, seconds=8),
        (Parameters(faults=2, seconds=20), Parameters(faults=1, seconds=40)),
        Extras.ONE_PER_FAULT,
    ),
    Scenario(
        "scorer",
        "outside scorer: 500, hang, garbage, 10 MB, wrong ids, out of range, down",
        outside.scorer,
        Parameters(seconds=1),
        (Parameters(seconds=10),),
        Extras.NONE,
        WorldPlan(has_scorer=True),
    ),
    Scenario(
        "mix",
        "all of these, drawn at random",
        faults.mix,
        Parameters(faults=8),
        tuple(Parameters(faults=30, seed=seed) for seed in (1, 2, 3)),
        Extras.ANY,
        WorldPlan(has_scorer=True),
    ),
    Scenario(
        "central",
        "central: 500, hang, garbage, 10 MB, down",
        outside.central,
        Parameters(seconds=1.5),
        (Parameters(seconds=10),),
        Extras.NONE,
        WorldPlan(variables={"CLIENT_CONTEXT_TTL_SECONDS": "2"}),
        entry_share=0.5,
        central_share=0.3,
    ),
    Scenario(
        "replicas",
        "replicas that share the events, killed in turn",
        faults.kill,
        Parameters(faults=4, replicas=2),
        (Parameters(faults=20, replicas=2), Parameters(faults=20, replicas=3)),
        Extras.IN_FLIGHT,
    ),
    Scenario(
        "drain",
        "two of three replicas drained; another lost, and adopted",
        scale.drain,
        Parameters(replicas=3),
        (Parameters(replicas=3, faults=3),),
        Extras.IN_FLIGHT,
    ),
    Scenario(
        "model-swap",
        "another model promoted, rolled back, and promoted again",
        swap.model_swap,
        Parameters(faults=3, replicas=2),
        (Parameters(faults=9, replicas=3, rate=300),),
        Extras.NONE,
    ),
    Scenario(
        "disk-full",
        "no byte free on the database's disk for a while",
        heavy.disk_full,
        Parameters(faults=1, seconds=5),
        (Parameters(faults=2, seconds=20),),
        Extras.ANY,
        WorldPlan(disk_mib=400),
    ),
    Scenario(
        "overload",
        "five times the sustainable rate for a while",
        heavy.overload,
        Parameters(rate=150, seconds=8),
        (Parameters(rate=300, seconds=30),),
        Extras.NONE,
        WorldPlan(has_lines=False),
    ),
    Scenario(
        "soak",
        "many events without any fault",
        heavy.soak,
        Parameters(rate=700, events=20_000),
        (Parameters(rate=1500, events=1_000_000),),
        Extras.NONE,
        WorldPlan(has_lines=False),
    ),
)
BY_NAME: Mapping[str, Scenario] = {scenario.name: scenario for scenario in ALL}
