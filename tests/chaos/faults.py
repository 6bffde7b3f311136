"""Faults of the service, the broker, the database and the lines between them."""

from collections.abc import Callable
from time import monotonic

from tests.chaos.run import Run

AUTOSAVE_SECONDS = 5.0  # autosave_interval of the shipped mosquitto.conf
FORGOTTEN_SECONDS = AUTOSAVE_SECONDS + 2.0  # it looks at the clock only now and then
STOP_SECONDS = 10.0
BACK_SECONDS = 3.0
NAMED_SECONDS = 5.0


def kill(run: Run) -> None:
    """Kill one service after the other. How soon it is back is judged where nobody else works in its place."""
    for number in range(run.parameters.faults):
        run.pause(0.3, 1.5)
        _kill_one(run, number)
    is_soon = max(run.readies) < BACK_SECONDS or len(run.world.services) > 1
    run.check_time(is_soon, f"it took {max(run.readies):.1f} s to be ready again")


def _kill_one(run: Run, number: int) -> None:
    service = run.world.services[number % len(run.world.services)]
    began = monotonic()
    service.kill()
    run.struck("kill", began, monotonic())
    service.start()
    run.await_recovery(service.started_at)


def term(run: Run) -> None:
    """Stop and start."""
    times = []
    for _ in range(run.parameters.faults):
        run.pause(0.3, 1.5)
        times.append(_stop_one(run))
    run.figures["longest stop"] = f"{max(times):.1f} s"


def _stop_one(run: Run) -> float:
    service = run.service
    run.struck("term", monotonic())
    code, seconds = service.terminate(STOP_SECONDS)
    run.check(code == 0, f"asked to stop, the service ended with code {code} after {seconds:.1f} s")
    service.start()
    run.await_recovery(service.started_at)
    return seconds


def broker(run: Run) -> None:
    """Stop and start the broker."""
    for _ in range(run.parameters.faults):
        run.pause(0.3, 1.5)
        _restart_broker(run)


def _restart_broker(run: Run) -> None:
    began = monotonic()
    run.world.restart_broker()
    run.struck("broker", began, monotonic())
    run.await_recovery(monotonic())


def broker_kill(run: Run) -> None:
    """Kill and start the broker: what came after its last save is forgotten."""
    for _ in range(run.parameters.faults):
        run.pause(AUTOSAVE_SECONDS + 1, AUTOSAVE_SECONDS + 4)
        began = monotonic()
        run.world.restart_broker(is_hard=True)
        run.struck("broker killed", began, monotonic())
        run.forgotten.append((began - FORGOTTEN_SECONDS, began + 0.5))
        run.await_recovery(monotonic())


def postgres(run: Run) -> None:
    """Shut the database down at once, and start it."""
    for _ in range(run.parameters.faults):
        run.pause(0.3, 1.5)
        _restart_postgres(run)


def _restart_postgres(run: Run) -> None:
    began = monotonic()
    run.world.stop_postgres()
    run.world.start_postgres()
    run.struck("postgres", began, monotonic())
    run.await_recovery(monotonic())


def postgres_away(run: Run) -> None:
    """The database is away: the service lives, is not ready, and says why."""
    for _ in range(run.parameters.faults):
        run.pause(0.5, 1.5)
        began = monotonic()
        run.world.stop_postgres()
        run.pause(run.parameters.seconds, run.parameters.seconds)
        looks = run.looks(began)
        run.world.start_postgres()
        run.struck("postgres away", began, monotonic())
        run.await_recovery(monotonic())
        named = [look.at - began for look in looks if look.ready == 503 and "database" in look.problems]
        run.check(bool(looks) and all(look.live == 200 for look in looks), "/livez did not always answer with 200")
        run.check(bool(named), "/readyz did not name the database")
        told = [text for at, text in tuple(run.load.till.statuses) if at >= began and "database" in text]
        run.check(bool(told), "the status topic did not tell of the database")
        if named:
            run.figures["named by /readyz after"] = f"{named[0]:.1f} s"
            run.check_time(named[0] < NAMED_SECONDS, f"/readyz named the database only after {named[0]:.1f} s")


def network(run: Run) -> None:
    """Reset the lines to broker and database in turn."""
    for number in range(run.parameters.faults):
        run.pause(0.3, 1.5)
        _reset_line(run, number)


def _reset_line(run: Run, number: int) -> None:
    line = (run.world.broker_line, run.world.database_line)[number % 2]
    began = monotonic()
    line.reset()
    run.struck("reset", began, monotonic())
    run.await_recovery(monotonic())


def blackhole(run: Run) -> None:
    """Swallow everything on one line; half of the time what was swallowed arrives after all."""
    for number in range(run.parameters.faults):
        run.pause(0.5, 1.5)
        _silence_line(run, number, run.parameters.seconds)


def _silence_line(run: Run, number: int, seconds: float) -> None:
    line = (run.world.broker_line, run.world.database_line)[number % 2]
    silence = (line.blackhole, line.hold)[number // 2 % 2]
    began = monotonic()
    silence(True)
    run.pause(seconds, seconds)
    silence(False)
    run.struck("blackhole", began, monotonic())
    run.await_recovery(monotonic())


def frozen(run: Run) -> None:
    """Stop the process in its tracks, and let it go on."""
    for _ in range(run.parameters.faults):
        run.pause(0.5, 1.5)
        _freeze(run, run.parameters.seconds)


def _freeze(run: Run, seconds: float) -> None:
    service, began = run.service, monotonic()
    service.freeze()
    run.pause(seconds, seconds)
    service.thaw()
    run.struck("frozen", began, monotonic())
    run.await_recovery(monotonic())


def _sicken_central(run: Run) -> None:
    began = monotonic()
    run.world.central.turn(run.random.choice(("500", "hang", "garbage", "huge", "down")))
    run.pause(1, 3)
    run.world.central.turn("ok")
    run.struck("central", began, monotonic())


def _sicken_scorer(run: Run) -> None:
    began = monotonic()
    run.world.scorer.turn(run.random.choice(("500", "hang", "garbage", "wrong ids", "out of range", "down")))
    run.pause(1, 3)
    run.world.scorer.turn("ok")
    run.struck("scorer", began, monotonic())


def _slow_lines(run: Run) -> None:
    began = monotonic()
    for line in run.world.lines:
        line.delay(run.random.uniform(0.01, 0.2))
    run.pause(1, 3)
    for line in run.world.lines:
        line.delay(0)
    run.struck("slow lines", began, monotonic())
    run.await_recovery(monotonic())


def mix(run: Run) -> None:
    """Whatever the seed says."""
    kinds: tuple[Callable[[], object], ...] = (
        lambda: _kill_one(run, run.random.randrange(len(run.world.services))),
        lambda: _stop_one(run),
        lambda: _restart_broker(run),
        lambda: _restart_postgres(run),
        lambda: _reset_line(run, run.random.randrange(2)),
        lambda: _silence_line(run, run.random.randrange(4), run.random.uniform(2, 4)),
        lambda: _freeze(run, run.random.uniform(2, 5)),
        lambda: _sicken_central(run),
        lambda: _sicken_scorer(run),
        lambda: _slow_lines(run),
    )
    left: list[Callable[[], object]] = []
    for _ in range(run.parameters.faults):
        left = left or run.random.sample(kinds, len(kinds))
        run.pause(0.2, 1)
        left.pop()()
