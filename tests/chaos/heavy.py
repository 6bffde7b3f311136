"""Too much, for too long, or without room to write."""

from collections.abc import Sequence
from statistics import median
from time import monotonic

from tests.chaos.disk import filled
from tests.chaos.ledger import Ledger
from tests.chaos.run import MIB, Run, rss_of
from tests.chaos.service import holds_in_time
from tests.chaos.watch import Look

TIMES = 5
PROBE_RATE = 20
ANSWER_SECONDS = 1.0
RECOVER_SECONDS = 30.0
MOST_WAIT_SECONDS = 300.0
MOST_GROWTH = 128 * MIB
SOAK_GROWTH = 0.05
WARM_EVENTS = 10_000
MOST_MORE = {"files": 64, "threads": 4}  # connections to the central are kept, 64 at most
MOST_MORE_CONNECTIONS = 8
OK = 200
NO_SPACE = "No space left on device"
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE client_port IS NOT NULL"


def disk_full(run: Run) -> None:
    """Fill the database's disk, and free it; a server that has given up is started again, as a supervisor would."""
    restarts = 0
    for _ in range(run.parameters.faults):
        run.pause(0.5, 1.5)
        began = monotonic()
        with filled(run.world.stack.folder / "postgres"):
            run.pause(run.parameters.seconds, run.parameters.seconds)
            looks = run.looks(began)
        named = [look.at - began for look in looks if "decision_log" in look.problems]
        run.check(bool(named), "/readyz did not name the decision log")
        run.figures["named by /readyz after"] = f"{min(named, default=0):.1f} s"
        if run.world.stack.postgres.pid is None:
            restarts += 1
            run.world.stop_postgres()
            run.world.start_postgres()
        run.struck("disk full", began, monotonic())
        run.await_recovery(monotonic())
        run.check(bool(looks) and all(look.live == OK for look in looks), "/livez did not always answer with 200")
    run.figures["PostgreSQL gave up"] = f"{restarts} times"
    missed = sum(path.read_text(errors="replace").count(NO_SPACE) for path in run.world.postgres_logs())
    run.figures["writes refused for want of room"] = str(missed)
    run.check(missed > 0, "PostgreSQL never missed the room")


def overload(run: Run) -> None:
    """Send five times what can be sustained, then little, and wait for answers in time."""
    rate, seconds = run.parameters.rate, run.parameters.seconds
    run.pause(3, 3)
    calm = rss_of(run.watch.looks)[-1]
    began = monotonic()
    run.load.begin(rate * TIMES)
    run.pause(seconds, seconds)
    backlog = run.load.ledger.open
    run.load.begin(PROBE_RATE)
    ended = monotonic()
    run.struck("overload", began, ended)
    has_recovered = holds_in_time(lambda: run.load.ask(_answers_in_time), MOST_WAIT_SECONDS)
    recovery = monotonic() - ended
    run.recoveries.append(recovery)
    most = max(rss_of(run.looks(began)))
    run.figures["sent at"] = f"{rate * TIMES:.0f}/s for {seconds:.0f} s"
    run.figures["backlog at the end"] = f"{backlog:,}"
    run.check(has_recovered, f"{MOST_WAIT_SECONDS:.0f} s after the overload events still waited")
    run.check_time(recovery < RECOVER_SECONDS, f"it took {recovery:.1f} s to catch up")
    run.check(most - calm < MOST_GROWTH, f"memory grew from {calm / MIB:.0f} to {most / MIB:.0f} MiB")


def _answers_in_time(ledger: Ledger) -> bool:
    """Whether the events of the second before the last were all answered within a second."""
    now, fresh = monotonic(), []
    for entry in reversed(ledger.entries.values()):
        if entry.sent_at < now - 2 * ANSWER_SECONDS:
            break
        if entry.sent_at < now - ANSWER_SECONDS:
            fresh.append(entry)
    return bool(fresh) and all(one.outcomes and one.answered_at - one.sent_at <= ANSWER_SECONDS for one in fresh)


def soak(run: Run) -> None:
    """Send them all, and see whether anything grows."""
    events = run.parameters.events
    run.load.begin(run.parameters.rate, events)
    limit = 3 * events / run.parameters.rate + MOST_WAIT_SECONDS
    holds_in_time(lambda: run.load.sent >= max(events / 10, min(events / 2, WARM_EVENTS)), limit)
    early, connections = monotonic(), run.world.query(CONNECTIONS)[0]
    run.check(holds_in_time(lambda: run.load.has_sent_all, limit), "the load generator could not keep up")
    run.check(holds_in_time(lambda: run.load.is_settled, limit), "the service could not keep up")
    late = monotonic()
    looks = [look for look in run.looks(early) if look.size]
    tenth = (late - early) / 9  # or a bit less, where the start was not yet warm
    first = [look for look in looks if look.at <= early + tenth] or looks[:1]
    last = [look for look in looks if look.at >= late - tenth] or looks[-1:]
    growth = _middle(last, "rss") / _middle(first, "rss") - 1
    more = run.world.query(CONNECTIONS)[0] - connections
    run.figures["RSS growth after the first tenth"] = f"{growth:+.1%}"
    run.figures["open files"] = f"{_middle(first, 'files'):.0f} to {_middle(last, 'files'):.0f}"
    run.figures["threads"] = f"{_middle(first, 'threads'):.0f} to {_middle(last, 'threads'):.0f}"
    run.figures["database connections"] = f"{connections} to {connections + more}"
    run.check(growth < SOAK_GROWTH, f"memory grew by {growth:.1%} after the first tenth")
    for what, most in MOST_MORE.items():
        grown = _middle(last, what) - _middle(first, what)
        run.check(grown <= most, f"{what} grew by {grown:.0f}")
    run.check(more <= MOST_MORE_CONNECTIONS, f"database connections grew by {more}")


def _middle(looks: Sequence[Look], what: str) -> float:
    return median(look.size[what] for look in looks)
