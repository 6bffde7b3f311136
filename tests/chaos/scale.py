"""Fewer replicas than before, on purpose or not: no event may be left behind with the one that is gone."""

from time import monotonic

from tests.chaos.faults import STOP_SECONDS
from tests.chaos.run import Run
from tests.chaos.service import Service

REFUSED = 3


def drain(run: Run) -> None:
    """Drain all replicas but the first, then lose one, and adopt what the broker holds for it; and so on."""
    first, *others = run.world.services
    for _ in range(run.parameters.faults or 1):
        for service in reversed(others):
            run.pause(1, 2)
            _drain_one(run, service)
        lost = run.random.choice(others)
        _lose_and_adopt(run, first, lost)
        for service in others:
            service.start()
        run.await_recovery(monotonic())


def _drain_one(run: Run, service: Service) -> None:
    began = monotonic()
    code = service.command("drain", service.client_id)
    run.check(code == 0, f"`drain` of a running instance ended with code {code}")
    run.figures["longest drain"] = f"{monotonic() - began:.1f} s"
    run.check(service.get("/readyz")[0] == 503, "a drained instance still says that it is ready")
    run.check(service.get("/livez")[0] == 200, "a drained instance does not live on")
    ended, seconds = service.terminate(STOP_SECONDS)
    run.check(ended == 0, f"a drained instance, asked to stop, ended with code {ended} after {seconds:.1f} s")


def _lose_and_adopt(run: Run, first: Service, lost: Service) -> None:
    lost.start()
    run.await_recovery(lost.started_at)
    code = first.command("adopt", first.client_id)
    run.check(code == REFUSED, f"`adopt` of a running instance ended with code {code}")
    run.pause(1, 2)
    began = monotonic()
    lost.kill()
    run.struck("lost", began, monotonic())
    run.pause(1, 2)
    code = first.command("adopt", lost.client_id)
    run.check(code == 0, f"`adopt` of a lost instance ended with code {code}")
