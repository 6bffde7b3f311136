"""Tries a model in a process of its own, with little memory and time: a hostile file ends that process alone.

`python -m app.adapters.model_check FOLDER` is that process.
"""

import asyncio
import json
import resource
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from app.adapters.scorer_sklearn import build_scorer, read_files, reference
from app.domain.eligibility import Screening
from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE
from app.domain.probe import largest_gap, probe
from app.errors import ModelRefused
from app.ports import ModelCheck, ModelFiles

MEMORY_BYTES = 4 * 1024**3
CPU_SECONDS = 60
OPEN_FILES = 64
SECONDS = 90.0
CANDIDATES = 190
REFUSED = 3
SHOWN_BYTES = 500


class ChildChecker:
    """ModelChecker that starts a process for each model."""

    async def check(self, files: ModelFiles) -> ModelCheck:
        """See ModelChecker."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            contents = {CARD_FILE: files.card, MODEL_FILE: files.model, TREES_FILE: files.trees}
            for file, content in contents.items():
                if content is not None:
                    (folder / file).write_bytes(content)
            return await _checked(folder)


async def _checked(folder: Path) -> ModelCheck:
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, str(folder), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    try:
        async with asyncio.timeout(SECONDS):
            said, complaint = await child.communicate()
    except TimeoutError:
        raise ModelRefused(f"the model could not be tried within {SECONDS:g} seconds") from None
    finally:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
    if child.returncode == REFUSED:
        raise ModelRefused(said.decode(errors="replace"))
    if child.returncode:
        why = complaint[-SHOWN_BYTES:].decode(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise ModelRefused(f"the model ended the process it was tried in (exit code {child.returncode}): {why[0]}")
    return ModelCheck(**json.loads(said))


def main() -> int:
    """Try the model in the folder and print what it has shown; exit code 3 and the reason for one that is refused."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    folder = Path(sys.argv[1])
    try:
        shown = _try(folder)
    except ModelRefused as error:
        sys.stdout.write(str(error).replace(f"{folder}/", ""))
        return REFUSED
    sys.stdout.write(json.dumps(shown))
    return 0


def _try(folder: Path) -> dict[str, float]:
    files = read_files(folder)
    scorer = build_scorer(files, folder)
    customers, coupons = probe()
    screening = Screening((), coupons, ())
    served = np.array([scorer.predict(customer, screening) for customer in customers])
    itself = np.array([reference(files, folder)(customer, screening) for customer in customers])
    many = Screening((), np.resize(coupons, (CANDIDATES, coupons.shape[1])), ())
    scorer.predict(customers[0], many)
    started = perf_counter()
    scorer.predict(customers[0], many)
    milliseconds = 1000 * (perf_counter() - started)
    on_card = np.array(scorer.card.self_check).reshape(served.shape) if scorer.card.self_check else served
    return {
        "parity": largest_gap(served, itself),
        "self_check": largest_gap(served, on_card),
        "milliseconds": milliseconds,
    }


if __name__ == "__main__":
    sys.exit(main())
