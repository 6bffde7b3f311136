"""The champion changes while events flow: none is lost, and one of the two models decides each, as its row says."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic

from tests.chaos.run import Run
from tests.chaos.service import holds_in_time

TRAINING_SECONDS = 120.0
SWAP_SECONDS = 5.0
SEED = 7  # of the shop that the other model is trained on


def model_swap(run: Run) -> None:
    """Promote another model, roll back, promote it again, and so on."""
    with tempfile.TemporaryDirectory() as name:
        version = _trained(Path(name))
        code = run.service.command("model", "register", name)
        run.check(code == 0, f"`model register` ended with code {code}")
    began = run.world.query("SELECT extract(epoch FROM clock_timestamp())::float8")[0]
    before, after = run.world.query("SELECT model_version FROM decision ORDER BY decided_at DESC LIMIT 1")[0], version
    for number in range(run.parameters.faults):
        run.pause(0.5, 1.5)
        _swap(run, ("promote", after) if number % 2 == 0 else ("rollback",), (before, after)[number % 2 == 0])
    if run.parameters.faults % 2:
        run.service.command("model", "rollback")
    decided = f"SELECT DISTINCT model_version FROM decision WHERE decided_at > to_timestamp({began})"
    found = set(run.world.query(decided))
    run.check(found == {before, after}, f"decided by {', '.join(sorted(found))}")
    told = run.world.query("SELECT count(*) FROM decision WHERE deployment <> 'default@' || model_version")[0]
    run.check(told == 0, f"{told} decisions name another model in their deployment")


def _trained(folder: Path) -> str:
    """The version of a model in the folder, trained in a process of its own."""
    command = [sys.executable, "-m", "tests.small_models", str(folder), str(SEED)]
    subprocess.run(command, check=True, timeout=TRAINING_SECONDS, stdout=subprocess.DEVNULL)
    return str(json.loads((folder / "card.json").read_text())["version"])


def _swap(run: Run, command: tuple[str, ...], wanted: str) -> None:
    """One change of the champion. It is judged where all replicas have decided for a while after it."""
    began = monotonic()
    code = run.service.command("model", *command)
    run.check(code == 0, f"`model {command[0]}` ended with code {code}")
    run.struck(command[0], began, monotonic())
    _note(run, f"`{command[0]}` took", monotonic() - began)
    since = run.world.query("SELECT extract(epoch FROM max(since))::float8 FROM model_alias")[0]
    run.pause(SWAP_SECONDS + 1, SWAP_SECONDS + 2)
    is_seen = holds_in_time(lambda: _decided(run, wanted, since) > 0, SWAP_SECONDS)
    run.check(is_seen, f"no event was decided by {wanted} after it was to decide")
    lag = _lag(run, wanted, since)
    _note(run, "served by all after", lag)
    run.check(lag < SWAP_SECONDS, f"{lag:.1f} s after the change an event was decided by another model than {wanted}")


def _decided(run: Run, version: str, since: float) -> int:
    """How many events this version has decided since then. All arguments are the harness's own."""
    span = f"decided_at > to_timestamp({since})"
    return int(run.world.query(f"SELECT count(*) FROM decision WHERE {span} AND model_version = '{version}'")[0])


def _lag(run: Run, wanted: str, since: float) -> float:
    """How long after that time another version still decided."""
    last = f"max(extract(epoch FROM decided_at)) FILTER (WHERE model_version <> '{wanted}')"
    span = f"decided_at > to_timestamp({since})"
    return float(run.world.query(f"SELECT coalesce({last} - {since}, 0)::float8 FROM decision WHERE {span}")[0])


def _note(run: Run, name: str, seconds: float) -> None:
    """Keep the longest."""
    known = float(run.figures.get(name, "0").split()[0])
    run.figures[name] = f"{max(known, seconds):.1f} s"
