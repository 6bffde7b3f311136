"""Tries a model in a process of its own, with little memory and time: a hostile file ends that process alone.

`python -m app.adapters.model_check FOLDER` is that process. It has nothing of the service's environment.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

import app
from app.adapters.scorer_sklearn import build_scorer, read_files, reference
from app.domain.eligibility import Screening
from app.domain.features import Floats
from app.domain.probe import largest_gap, probe
from app.errors import ModelRefused
from app.model_bundle import by_name
from app.ports import ModelCheck, ModelFiles

MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 60
OPEN_FILES = 64
SECONDS = 90.0
CANDIDATES = 190
REFUSED = 3
SAID_FILE, SAID_BYTES = "said", 2000  # the answer or the reason; a longer one is cut
# Not the service's: that names the database, and holds keys.
ENVIRONMENT: Mapping[str, str] = {
    "PYTHONPATH": str(Path(app.__file__).parents[1]),
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class ChildChecker:
    """ModelChecker that starts a process for each model, one at a time; it runs `module`."""

    seconds: float = SECONDS
    module: str = __name__
    _turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    async def check(self, files: ModelFiles) -> ModelCheck:
        """See ModelChecker."""
        async with self._turn:
            try:
                with TemporaryDirectory(prefix="model-") as name:
                    folder = Path(name)
                    await asyncio.to_thread(_write, folder, files)
                    code = await self._run(folder)
                    return _shown(code, (folder / SAID_FILE).read_bytes())
            except OSError as error:
                raise ModelRefused(f"the model could not be tried here: {error.strerror}") from error

    async def _run(self, folder: Path) -> int:
        """The exit code of the process; below 0, the signal that has ended it."""
        command, null = (sys.executable, "-s", "-m", self.module, str(folder)), asyncio.subprocess.DEVNULL
        with (folder / SAID_FILE).open("wb") as said:
            child = await asyncio.create_subprocess_exec(
                *command, cwd=folder, env=ENVIRONMENT, stdin=null, stdout=said, stderr=null
            )
        try:
            async with asyncio.timeout(self.seconds):
                return await child.wait()
        except TimeoutError:
            raise ModelRefused(f"the model could not be tried within {self.seconds:g} seconds") from None
        finally:
            with suppress(ProcessLookupError):
                child.kill()
            await child.wait()


def _write(folder: Path, files: ModelFiles) -> None:
    for name, content in by_name(files).items():
        (folder / name).write_bytes(content)


def _shown(code: int, said: bytes) -> ModelCheck:
    if code == 0:
        try:
            return ModelCheck(**json.loads(said))
        except (TypeError, ValueError) as error:
            raise ModelRefused("the process that the model was tried in said what makes no sense") from error
    if code == REFUSED:
        raise ModelRefused(said.decode(errors="replace"))
    how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
    raise ModelRefused(f"the model ended the process that it was tried in, {how}")


def main() -> int:
    """Try the model in the folder and print what it has shown; exit code 3 and the reason for one that is refused."""
    _limit()
    folder = Path(sys.argv[1])
    try:
        said, code = json.dumps(asdict(try_model(folder))), 0
    except ModelRefused as error:
        said, code = str(error).replace(f"{folder}{os.sep}", ""), REFUSED
    sys.stdout.write("".join(one if one.isprintable() else "?" for one in said[: SAID_BYTES // 4]))
    return code


def _limit() -> None:
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, SAID_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))


def try_model(folder: Path) -> ModelCheck:
    """Build the model in the folder and let it score, in this process. Raises ModelRefused."""
    files = read_files(folder)
    scorer = build_scorer(files, folder)
    customers, coupons = probe()
    screening = Screening((), coupons, ())
    many = Screening((), np.resize(coupons, (CANDIDATES, coupons.shape[1])), ())
    served = np.array([scorer.predict(customer, screening) for customer in customers])
    ask = reference(files, folder)
    itself = np.array([ask(customer, screening) for customer in customers])
    started = perf_counter()
    scorer.predict(customers[0], many)
    return ModelCheck(
        parity=largest_gap(served, itself),
        self_check=largest_gap(served, _on_card(scorer.card.self_check, served)),
        milliseconds=1000 * (perf_counter() - started),
    )


def _on_card(scores: Sequence[float], served: Floats) -> Floats:
    if len(scores) != served.size:
        raise ModelRefused(f"its card holds {len(scores)} scores to check the model by, not {served.size}")
    return np.array(scores).reshape(served.shape)


if __name__ == "__main__":
    sys.exit(main())
