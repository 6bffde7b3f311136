"""What is measured. Each case makes its own stack, and answers with figures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure
from benchmarks.load import Run, Target, find, run
from benchmarks.stack import open_stack

P99_MS = 50.0


@dataclass(frozen=True)
class Effort:
    """How long to look: seconds for each rate, and how often echo and service take turns."""

    seconds: float
    turns: int
    soak_events: int


FULL = Effort(seconds=30, turns=3, soak_events=1_000_000)
QUICK = Effort(seconds=5, turns=1, soak_events=20_000)

Tell = Callable[[str], None]
Case = Callable[[Effort, Tell], Sequence[Figure]]


def focus_rate(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """The highest rate that holds, echo and service in turns; and the latencies at 1,000/s and of an idle service."""
    with open_stack() as stack:
        echoes, services, steady, idle = [], [], [], []
        for turn in range(effort.turns):
            echoes.append(_highest(stack.echo_target, effort, f"echo, turn {turn + 1}", tell))
            services.append(_highest(stack.service_target, effort, f"service, turn {turn + 1}", tell))
            steady.append(_told(run(stack.service_target, 1000, effort.seconds), "at 1,000/s", tell))
            idle.append(_told(run(stack.service_target, 10, effort.seconds), "idle", tell))
        memory = services[-1].memory_mb
    echo, service = median(one.rate for one in echoes), median(one.rate for one in services)
    ratio = median(mine.rate / bare.rate for mine, bare in zip(services, echoes, strict=True))
    return [
        Figure("focus events, of echo's rate", ratio, "", 0.6, 0.8, True, _rates(echoes, services)),
        Figure("focus events, highest rate", service, "/s", 3000, None, True),
        Figure("echo, highest rate", echo, "/s"),
        Figure("p50 at 1,000/s", median(one.p50_ms for one in steady), "ms", 2.5, 1.5),
        Figure("p99 at 1,000/s", median(one.p99_ms for one in steady), "ms", 10, 5),
        Figure("p50 idle", median(one.p50_ms for one in idle), "ms", 2, 1.2),
        Figure("p99 idle", median(one.p99_ms for one in idle), "ms", 4, 2),
        Figure("CPU at 1,000/s", median(one.own_cpu_ms for one in steady), "ms per event", 0.7, 0.5),
        Figure("CPU at the highest rate", median(one.own_cpu_ms for one in services), "ms per event", 0.3, 0.2),
        Figure("memory after that", memory, "MB"),
    ]


def _highest(target: Target, effort: Effort, what: str, tell: Tell) -> Run:
    best = find(target, 500, 16_000, effort.seconds, P99_MS)
    if best is None:
        raise RuntimeError(f"{what}: 500/s did not hold")
    return _told(best, what, tell)


def _told(outcome: Run, what: str, tell: Tell) -> Run:
    tell(
        f"{what}: {outcome.rate:,.0f}/s, p50 {outcome.p50_ms:.2f} ms, p99 {outcome.p99_ms:.2f} ms,"
        f" lost {outcome.lost}, generator late {outcome.generator_lag_p99_ms:.2f} ms;"
        f" CPU ms/event: {', '.join(f'{name} {used:.3f}' for name, used in outcome.cpu_ms.items())}"
    )
    return outcome


def _rates(echoes: Sequence[Run], services: Sequence[Run]) -> str:
    return ", ".join(f"{mine.rate:,.0f} of {bare.rate:,.0f}" for mine, bare in zip(services, echoes, strict=True))


CASES: Mapping[str, Case] = {
    "focus": focus_rate,
}
