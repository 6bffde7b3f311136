"""Faults of the central and of the outside scorer: every event is answered, and says on what it rests."""

from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic, time

from tests.chaos.remote import Mode, RemoteServer
from tests.chaos.run import MIB, Run, rss_of
from tests.chaos.service import holds_in_time
from tests.chaos.shop import CENTRAL_PREFIX

SETTLED_SECONDS = 1.6  # calls that were under way when the fault began may still end well, as may those at its end
HEALED_SECONDS = 20.0
MOST_GROWTH = 64 * MIB
DEADLINE_SECONDS = 1.0
CENTRAL_MODES: tuple[Mode, ...] = ("500", "hang", "garbage", "huge", "down")
SCORER_MODES: tuple[Mode, ...] = ("500", "hang", "garbage", "huge", "wrong ids", "out of range", "down")


def central(run: Run) -> None:
    """No decision may claim to rest on the central while it is ill; entry events must not pile up in memory."""

    def sources(start: float, end: float) -> Sequence[str]:
        customers = f"{CENTRAL_PREFIX}{run.load.shop.run}"
        return _decided(run, "context_source", start, end, f"customer_id LIKE '{customers}%'")

    _ail(run, run.world.central, CENTRAL_MODES, sources, {"cache", "stale", "defaults"}, "central")
    _check_memory(run)


def scorer(run: Run) -> None:
    """The model in the process must speak while the outside scorer is ill, and every answer keep the deadline."""

    def scorers(start: float, end: float) -> Sequence[str]:
        return _decided(run, "scorer", start, end, "department <> 'Garden'")

    _ail(run, run.world.scorer, SCORER_MODES, scorers, {"fallback"}, "remote")
    _check_memory(run)
    slowest = run.load.ask(lambda ledger: max(one.answered_at - one.sent_at for one in ledger.entries.values()))
    run.figures["slowest answer"] = f"{slowest:.2f} s"
    run.check_time(slowest < DEADLINE_SECONDS, f"the slowest answer took {slowest:.2f} s")


def _check_memory(run: Run) -> None:
    rss = rss_of(run.watch.looks)
    run.check(max(rss) - rss[0] < MOST_GROWTH, f"memory grew from {rss[0] / MIB:.0f} to {max(rss) / MIB:.0f} MiB")


def _ail(
    run: Run,
    server: RemoteServer,
    modes: Sequence[Mode],
    seen: Callable[[float, float], Sequence[str]],
    allowed: set[str],
    healthy: str,
) -> None:
    healing = []
    for mode in modes:
        began, start = monotonic(), time() + SETTLED_SECONDS
        server.turn(mode)
        seconds = SETTLED_SECONDS + run.parameters.seconds + DEADLINE_SECONDS
        run.pause(seconds, seconds)
        end = time()
        server.turn("ok")
        run.struck(mode, began, monotonic())
        healed = holds_in_time(partial(_is_seen, seen, healthy, end), HEALED_SECONDS)
        healing.append(time() - end)
        run.check(healed, f"{HEALED_SECONDS:.0f} s after `{mode}` it was still not asked again")
        said = set(seen(start, end - DEADLINE_SECONDS))
        run.check(bool(said) and said <= allowed, f"during `{mode}` the decisions say {sorted(said)}")
        run.figures[f"during {mode}"] = ", ".join(sorted(said))
    run.figures["asked again after"] = f"{max(healing):.1f} s"


def _is_seen(seen: Callable[[float, float], Sequence[str]], wanted: str, since: float) -> bool:
    return wanted in seen(since, time())


def _decided(run: Run, column: str, start: float, end: float, condition: str) -> Sequence[str]:
    """What the decisions of that time have in this column, each once. All arguments are the harness's own."""
    span = f"decided_at BETWEEN to_timestamp({start}) AND to_timestamp({end})"
    return run.world.query(f"SELECT DISTINCT {column} FROM decision WHERE {span} AND {condition}")
