"""What is measured. Each case makes its own stack, and answers with figures."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import Figure
from benchmarks.load import Run, Target, find, run, send_entries, settle
from benchmarks.stack import open_stack, until, wait_until
from benchmarks.usage import Usage
from tests.e2e.stack import ENTRY

P99_MS = 50.0
ENTRIES = "recommendation_entries_total"
MOST_BEHIND_SECONDS = 1.0
BIG = 600
MEMORY_RATE = 4000.0


@dataclass(frozen=True)
class Effort:
    """How long to look: seconds for each rate, how often echo and service take turns; and how much there is to be.

    `events` are those after which memory is looked at.
    """

    seconds: float
    turns: int
    customers: int
    decisions: int
    coupons: int
    events: int


FULL = Effort(seconds=30, turns=3, customers=1_000_000, decisions=10_000_000, coupons=50_000, events=1_000_000)
QUICK = Effort(seconds=5, turns=1, customers=20_000, decisions=20_000, coupons=5_000, events=30_000)

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
    ]


def entry_rate(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """The highest rate of entry events, each of a customer whom the central must be asked about."""
    numbers = itertools.count()
    with open_stack() as stack:

        def holds(rate: float) -> bool:
            names = [b"guest-%d" % next(numbers) for _ in range(int(rate * effort.seconds))]
            before, usage = stack.counted(ENTRIES), Usage(stack.service.pid)
            usage.start()
            send_entries(stack.broker_port, ENTRY, names, rate)
            behind = until(lambda: stack.counted(ENTRIES) - before >= len(names), MOST_BEHIND_SECONDS)
            usage.stop()
            cpu = 1000 * usage.cpu_seconds / len(names)
            tell(f"entries: {rate:,.0f}/s, behind by {behind:.2f} s at the end, CPU {cpu:.3f} ms each")
            if behind == float("inf"):
                until(lambda: stack.counted(ENTRIES) - before >= len(names), 10 * effort.seconds)
            return behind < MOST_BEHIND_SECONDS

        low, high = 200.0, 6400.0
        while high / low > 1.1:
            middle = (low * high) ** 0.5
            low, high = (middle, high) if holds(middle) else (low, middle)
    return [Figure("entry events, highest rate", low, "/s", 1000, 2000, True)]


def products(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """What results with 600 products (170 kB) cost the service, beside those with 5."""
    costs = {}
    with open_stack() as stack:
        stack.link_products(BIG)
        for shown in (5, 0):
            stack.service.stop()
            stack.start_service(MAX_PRODUCTS_IN_MESSAGE=str(shown))
            settle(stack.service_target)
            costs[shown] = _told(
                run(stack.service_target, 200, effort.seconds), f"products shown: {shown or BIG}", tell
            )
    return [
        Figure("CPU with 5 products, 200/s", costs[5].own_cpu_ms, "ms per event"),
        Figure("CPU with 600 products, 200/s", costs[0].own_cpu_ms, "ms per event"),
        Figure("p99 with 600 products, 200/s", costs[0].p99_ms, "ms"),
    ]


def start(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """From the start of the process to ready, and its memory then; with 1,000 coupons and with 100,000."""
    figures = []
    with open_stack() as stack:
        for coupons, reach in ((1_000, 2.0), (100_000, 5.0)):
            if coupons > 1_000:
                stack.multiply_coupons(coupons)
            times = []
            for _ in range(3):
                stack.service.stop()
                times.append(stack.start_service())
            usage = Usage(stack.service.pid)
            usage.stop()
            tell(f"{coupons:,} coupons: ready after {', '.join(f'{one:.2f}' for one in times)} s")
            figures.append(Figure(f"ready, {coupons:,} coupons", median(times), "s", reach))
            bounds = (150.0, 110.0) if coupons == 1_000 else (None, None)
            figures.append(Figure(f"memory, {coupons:,} coupons", usage.memory_mb, "MB", *bounds))
    return figures


def trees(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """The highest rate with 200 boosted trees for a model."""
    with open_stack() as stack:
        folder = stack.folder / "trees"
        stack.command("train", "--model", "hist_gradient_boosting", "--out", str(folder))
        stack.service.stop()
        stack.start_service(MODEL_DIR=str(folder))
        settle(stack.service_target)
        best = _highest(stack.service_target, effort, "trees", tell)
    return [
        Figure("200 trees, highest rate", best.rate, "/s", 500, 1500, True),
        Figure("200 trees, CPU at the highest rate", best.own_cpu_ms, "ms per event"),
    ]


def memory(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """What the service holds after many events."""
    with open_stack() as stack:
        after = _told(run(stack.service_target, MEMORY_RATE, effort.events / MEMORY_RATE), "memory", tell)
    return [Figure(f"memory after {effort.events:,} events", after.memory_mb, "MB", 170, 110)]


def growth(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """The p99 at 500/s as coupons, customers and decisions become many, beside what it was with few."""
    figures, base = [], 0.0
    with open_stack() as stack:
        steps: Mapping[str, Callable[[], object]] = {
            "the demo's data": lambda: None,
            f"{effort.customers:,} customers": lambda: stack.add_customers(effort.customers),
            f"{effort.decisions:,} decisions today": lambda: stack.add_decisions(effort.decisions),
            f"{effort.coupons:,} coupons": lambda: stack.multiply_coupons(effort.coupons),
        }
        for what, grow in steps.items():
            grow()
            wait_until(stack.is_ready, f"the service is ready with {what}")
            settle(stack.service_target)
            p99 = median(
                _told(run(stack.service_target, 500, effort.seconds), what, tell).p99_ms for _ in range(effort.turns)
            )
            base = base or p99
            figures.append(Figure(f"p99 at 500/s with {what}", p99, "ms"))
            figures.append(Figure(f"... times that with {next(iter(steps))}", p99 / base, "", 2.0))
    return figures


def replicas(effort: Effort, tell: Tell) -> Sequence[Figure]:
    """The highest rate of two instances that share the events, beside that of one."""
    with open_stack({"MQTT_SHARED_GROUP": "bench", "STATUS_TOPIC_NAME": "status/{client_id}"}) as stack:
        alone = _highest(stack.service_target, effort, "one instance", tell)
        with stack.another_service():
            both = _highest(stack.service_target, effort, "two instances", tell)
    return [
        Figure("one instance, highest rate", alone.rate, "/s"),
        Figure("two instances, highest rate", both.rate, "/s", None, None, True),
        Figure("two instances, of one's rate", both.rate / alone.rate, "", None, None, True),
    ]


def _highest(target: Target, effort: Effort, what: str, tell: Tell) -> Run:
    best = find(target, 500, 16_000, effort.seconds, P99_MS, lambda one: _told(one, what, tell))
    if best is None:
        raise RuntimeError(f"{what}: 500/s did not hold")
    return best


def _told(outcome: Run, what: str, tell: Tell) -> Run:
    tell(
        f"{what}: {outcome.rate:,.0f}/s, p50 {outcome.p50_ms:.2f} ms, p99 {outcome.p99_ms:.2f} ms,"
        f" lost {outcome.lost}, extra {outcome.extra}, generator late {outcome.generator_lag_p99_ms:.2f} ms;"
        f" CPU ms/event: {', '.join(f'{name} {used:.3f}' for name, used in outcome.cpu_ms.items())}"
    )
    return outcome


def _rates(echoes: Sequence[Run], services: Sequence[Run]) -> str:
    return ", ".join(f"{mine.rate:,.0f} of {bare.rate:,.0f}" for mine, bare in zip(services, echoes, strict=True))


CASES: Mapping[str, Case] = {
    "focus": focus_rate,
    "entry": entry_rate,
    "products": products,
    "start": start,
    "trees": trees,
    "memory": memory,
    "growth": growth,
    "replicas": replicas,
}
