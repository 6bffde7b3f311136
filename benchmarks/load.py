"""Focus events at a fixed rate, and how long their results take.

Open loop: an event is sent when its time has come, however many are still unanswered, and its latency runs from that
time to the reading of its result. So a service that stalls is not spared the events that would have come meanwhile.
"""

import gc
import re
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import getpid
from select import select

from benchmarks.usage import Usage
from benchmarks.wire import Wire
from tests.chaos import wire

WARM_UP_SECONDS = 1.0
DRAIN_SECONDS = 5.0
GIVE_UP_SECONDS = 2.0
QUIET_SECONDS = 1.0
SETTLE_SECONDS = 180.0
PROBES_PER_SECOND = 20
HELD_SHARE = 0.97
CUSTOMER = re.compile(rb'"customer":\{"id":"(\d+)"')
DEPARTMENTS = ("Boys", "Girls", "Men", "Sport", "Women")


@dataclass(frozen=True)
class Target:
    """Who answers: the broker's port, the topics, how many customers there are, and the processes to watch, by name."""

    port: int
    processes: Mapping[str, int]
    customers: int = 997
    focus: str = "customer/focus"
    prediction: str = "customer/prediction"
    departments: Sequence[str] = DEPARTMENTS


@dataclass(frozen=True)
class Run:
    """What came of one rate: events per second, latencies in milliseconds, CPU in milliseconds per event, by process.

    `memory_mb` is of the process that answers, which is the first of them.
    """

    rate: float
    answered_rate: float
    lost: int
    extra: int
    p50_ms: float
    p99_ms: float
    generator_lag_p99_ms: float
    cpu_ms: Mapping[str, float]
    memory_mb: float

    @property
    def own_cpu_ms(self) -> float:
        """That of the process that answers."""
        return next(iter(self.cpu_ms.values()))

    def holds(self, p99_ms: float) -> bool:
        """Whether every event was answered once, and in time."""
        return (
            not self.lost and not self.extra and self.p99_ms < p99_ms and self.answered_rate >= HELD_SHARE * self.rate
        )


def run(target: Target, rate: float, seconds: float) -> Run:
    """Send for so long, after a second that does not count."""
    with Wire(target.port, f"load-{getpid()}") as sender, Wire(target.port, f"till-{getpid()}") as till:
        till.subscribe(target.prediction)
        load = _Load(target, rate, seconds, sender, till)
        gc.collect()
        gc.disable()
        try:
            return load.play()
        finally:
            gc.enable()


def send_entries(port: int, topic: str, names: Sequence[bytes], rate: float) -> None:
    """An entry event for each of these customers, at a fixed rate."""
    with Wire(port, f"entries-{getpid()}") as sender:
        start, sent = time.monotonic(), 0
        while sent < len(names):
            due = min(len(names), int((time.monotonic() - start) * rate) + 1)
            for name in names[sent:due]:
                payload = b'{"id":"%b","ts":%d}' % (name, int(time.time()))
                sender.out += wire.publish(topic, sender.packet_id(), wire.NOTHING, payload)
            sent = due
            sender.flush()
            if select([sender], [], [], max(0.0, start + sent / rate - time.monotonic()))[0]:
                deque(sender.read(), maxlen=0)
        while sender.out:
            sender.flush()


def settle(target: Target) -> None:
    """Wait until it answers each event once, and nothing else: what an overload has left is not to count afterwards.

    Raises TimeoutError.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    while (probe := run(target, PROBES_PER_SECOND, 1)).lost or probe.extra:
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"after {SETTLE_SECONDS:.0f} s, results on {target.prediction} are still not as they should be"
            )


class _Load:
    def __init__(self, target: Target, rate: float, seconds: float, sender: Wire, till: Wire) -> None:
        self._target = target
        self._rate = rate
        self._sender = sender
        self._till = till
        self._warm = int(rate * WARM_UP_SECONDS)
        self._total = self._warm + max(1, int(rate * seconds))
        self._sent = 0
        self._unanswered = 0
        self._waiting: dict[bytes, deque[tuple[float, bool]]] = {}
        self._latencies: list[float] = []
        self._lags: list[float] = []
        self._extra = 0
        self._first_answer = self._last_answer = 0.0
        processes = {**target.processes, "generator": getpid()}
        self._usages = {name: Usage(pid) for name, pid in processes.items()}

    def play(self) -> Run:
        self._start = time.monotonic() + 0.2
        is_counting = False
        most_unanswered = self._rate * GIVE_UP_SECONDS + PROBES_PER_SECOND
        while (
            self._sent < self._total and self._unanswered < most_unanswered
        ):  # more of them clog the broker for minutes
            now = time.monotonic()
            if not is_counting and now >= self._start + self._warm / self._rate:
                for usage in self._usages.values():
                    usage.start()
                is_counting = True
            self._send_due(now)
            self._listen(max(0.0, self._start + self._sent / self._rate - time.monotonic()))
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._unanswered and time.monotonic() < deadline:
            self._listen(0.05)
        for usage in self._usages.values():
            usage.stop()
        self._listen(QUIET_SECONDS / 5)  # copies would come now
        return self._report()

    def _send_due(self, now: float) -> None:
        due = min(self._total, int((now - self._start) * self._rate) + 1) if now >= self._start else 0
        if self._sent >= due:
            return
        ts, target = int(time.time()), self._target
        while self._sent < due:
            customer_id = b"%d" % (self._sent % target.customers + 1)
            department = target.departments[self._sent % len(target.departments)].encode()
            payload = b'{"id":"%b","ts":%d,"dep":"%b","x":%d,"y":34}' % (customer_id, ts, department, self._sent)
            self._sender.out += wire.publish(target.focus, self._sender.packet_id(), wire.NOTHING, payload)
            scheduled = self._start + self._sent / self._rate
            is_counted = self._sent >= self._warm
            self._waiting.setdefault(customer_id, deque()).append((scheduled, is_counted))
            if is_counted:
                self._lags.append(now - scheduled)
            self._sent += 1
            self._unanswered += 1
        self._sender.flush()

    def _listen(self, seconds: float) -> None:
        readable, _, _ = select([self._sender, self._till], [self._sender] if self._sender.out else [], [], seconds)
        self._sender.flush()
        if self._sender in readable:
            deque(self._sender.read(), maxlen=0)
        if self._till in readable:
            packets = list(self._till.read())
            now = time.monotonic()
            for kind, body in packets:
                if kind == wire.PUBLISH:
                    self._answered(body, now)

    def _answered(self, body: bytes, now: float) -> None:
        found = CUSTOMER.search(body)
        waiting = self._waiting.get(found[1]) if found else None
        if not waiting:
            self._extra += 1
            return
        scheduled, is_counted = waiting.popleft()
        self._unanswered -= 1
        if is_counted:
            self._latencies.append(now - scheduled)
            self._first_answer = self._first_answer or now
            self._last_answer = now

    def _report(self) -> Run:
        latencies, answers = sorted(self._latencies), len(self._latencies)
        span = self._last_answer - self._first_answer
        return Run(
            rate=self._rate,
            answered_rate=(answers - 1) / span if span else 0.0,
            lost=sum(is_counted for times in self._waiting.values() for _, is_counted in times),
            extra=self._extra,
            p50_ms=1000 * percentile(latencies, 0.5),
            p99_ms=1000 * percentile(latencies, 0.99),
            generator_lag_p99_ms=1000 * percentile(sorted(self._lags), 0.99),
            cpu_ms={name: 1000 * usage.cpu_seconds / max(1, answers) for name, usage in self._usages.items()},
            memory_mb=next(iter(self._usages.values())).memory_mb,
        )


def percentile(ordered: Sequence[float], share: float) -> float:
    """Of values in ascending order; infinite where there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("inf")


def find(
    target: Target, low: float, high: float, seconds: float, p99_ms: float, tell: Callable[[Run], object]
) -> Run | None:
    """The run with the highest rate that holds between `low` and `high`, to 5 %; None where not even `low` does.

    `tell` gets every run.
    """
    best: Run | None = None
    rate = low
    while best is None or high / low > 1.05:
        outcome = run(target, rate, seconds)
        tell(outcome)
        if outcome.holds(p99_ms):
            low, best = rate, outcome
        elif best is None:
            return None
        else:
            high = rate
            settle(target)
        rate = (low * high) ** 0.5
    return best
