"""A model that is neither linear nor boosted trees: asked in a process of its own.

Such a model takes milliseconds where the others take microseconds, and it is scikit-learn's native code that runs: here
it neither stops the event loop nor ends the service. What a customer who has come in may be offered is scored ahead, so
that most focus events find their scores ready.

`python -m app.adapters.scorer_worker FOLDER` is that process: rows of features on its standard input, probabilities on
its standard output.
"""

import asyncio
import os
import resource
import struct
import subprocess
import sys
import threading
import warnings
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from weakref import WeakKeyDictionary

import numpy as np

from app.adapters.breaker import Breaker
from app.adapters.model_check import ENVIRONMENT
from app.adapters.scorer_sklearn import build_scorer, checked_card, read_classifier, read_files
from app.domain.customer import CustomerContext
from app.domain.eligibility import Screening
from app.domain.features import FEATURE_NAMES, Floats, customer_matrix, encode
from app.domain.model_card import CARD_FILE, ModelCard
from app.errors import ModelRefused, ScorerUnavailable
from app.model_bundle import by_name
from app.ports import Model, ModelFiles, Scores

SCORER = "worker"
MEMORY_BYTES = 2 * 1024**3
START_SECONDS, ASK_SECONDS = 30.0, 2.0
ROWS_AT_ONCE = 2000  # that are to be scored within ASK_SECONDS
CUSTOMERS_AHEAD = 1000  # that wait to be scored; of more, those who came in first are not
SCORES_KEPT = 2000  # of each department: customers whose scores are at hand
COUNT = struct.Struct("<q")
NUMBER = np.dtype("<f8")
REFUSED, REASON_FILE, REASON_BYTES = 3, "reason", 2000

Pair = tuple[CustomerContext, Screening]


def build_model(files: ModelFiles, where: Path) -> Model:
    """The model made of its files, of whatever kind; see `build_scorer`. It may take seconds: it is for a thread.

    Raises ModelRefused.
    """
    card = checked_card(files.card, where / CARD_FILE)
    if card.linear is not None or card.trees_sha256 is not None:
        return build_scorer(files, where)
    return WorkerModel(card, files)


class WorkerModel:
    """Model that asks a process; one that has ended is started again.

    Raises ModelRefused where the first start fails.
    """

    def __init__(self, card: ModelCard, files: ModelFiles, ask_seconds: float = ASK_SECONDS) -> None:
        self._card = card
        self._process = _Process(files, ask_seconds)
        self._kept: WeakKeyDictionary[Screening, OrderedDict[CustomerContext, Floats]] = WeakKeyDictionary()
        self._expected: deque[tuple[CustomerContext, Sequence[Screening]]] = deque(maxlen=CUSTOMERS_AHEAD)
        self._ahead: asyncio.Task[None] | None = None

    @property
    def card(self) -> ModelCard:
        """See Model."""
        return self._card

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        """See Scorer."""
        pairs = list(zip(customers, screenings, strict=True))
        found = [self._at_hand(*pair) for pair in pairs]
        missing = [pair for pair, scores in zip(pairs, found, strict=True) if scores is None]
        asked = iter(await self._ask(missing))
        values = [next(asked) if scores is None else scores for scores in found]
        return [Scores(one, SCORER, self._card.version, self._card.threshold) for one in values]

    def expect(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> None:
        """See Model."""
        self._expected.extend((customer, screenings) for customer in customers)
        if self._ahead is None or self._ahead.done():
            self._ahead = asyncio.get_running_loop().create_task(self._score_ahead())

    def close(self) -> None:
        """See Model."""
        self._expected.clear()
        self._process.close()

    async def _score_ahead(self) -> None:
        while self._expected:
            customer, screenings = self._expected.popleft()
            missing = [one for one in screenings if self._at_hand(customer, one) is None]
            try:
                scores = await self._ask([(customer, one) for one in missing])
            except ScorerUnavailable:
                continue  # it is asked again when the customer lingers
            for screening, values in zip(missing, scores, strict=True):
                kept = self._kept.setdefault(screening, OrderedDict())
                kept[customer] = values
                while len(kept) > SCORES_KEPT:
                    kept.popitem(last=False)

    async def _ask(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        return await self._process.ask(pairs) if pairs else ()

    def _at_hand(self, customer: CustomerContext, screening: Screening) -> Floats | None:
        if not screening.candidates:
            return np.empty(0)
        kept = self._kept.get(screening)
        return None if kept is None else kept.get(customer)


class _Process:
    """The process, its files, and the one thread that talks to it: first come, first served, and closed last of all."""

    def __init__(self, files: ModelFiles, ask_seconds: float) -> None:
        self._ask_seconds = ask_seconds
        self._files = files
        self._breaker = Breaker()
        self._child: subprocess.Popen[bytes] | None = None
        try:
            self._folder = TemporaryDirectory(prefix="model-")
        except OSError as error:
            raise ModelRefused(f"the model cannot be asked here: {error.strerror}") from error
        try:
            self._start()
        except ScorerUnavailable as error:
            self._stop()
            reason = self._reason()
            self._folder.cleanup()
            raise ModelRefused(reason or f"the model cannot be asked: {error}") from error
        self._thread = ThreadPoolExecutor(1, "model")

    async def ask(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        """The probabilities of the candidates of each pair; there is one pair at least.

        Nobody waits for long, neither for others nor for a process that is started again. Raises ScorerUnavailable.
        """
        rows = sum(len(screening.candidates) for _, screening in pairs)
        try:
            answer = self._thread.submit(self._of_pairs, pairs)
        except RuntimeError as error:
            raise ScorerUnavailable("the model is no longer in service") from error
        try:
            async with asyncio.timeout(self._ask_seconds * -(-rows // ROWS_AT_ONCE)):
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            raise ScorerUnavailable("the process of the model has not answered in time") from error

    def close(self) -> None:
        """End the process after all that was asked before; nothing can be asked any more."""
        with suppress(RuntimeError):  # it was closed before
            self._thread.submit(self._end)
        self._thread.shutdown(wait=False)

    def _of_pairs(self, pairs: Sequence[Pair]) -> Sequence[Floats]:
        known = customer_matrix([customer for customer, _ in pairs])
        rows = [encode(known[index : index + 1], screening.features) for index, (_, screening) in enumerate(pairs)]
        ends = np.cumsum([len(one) for one in rows])
        return np.split(self._of_rows(np.concatenate(rows)), ends[:-1])

    def _of_rows(self, rows: Floats) -> Floats:
        parts = range(0, len(rows), ROWS_AT_ONCE)
        return np.concatenate([self._asked(rows[start : start + ROWS_AT_ONCE]) for start in parts])

    def _asked(self, rows: Floats) -> Floats:
        if not self._breaker.allows():
            raise ScorerUnavailable("the process of the model is not there")
        try:
            if self._child is None:
                self._start()
            answer = self._exchange(rows, self._ask_seconds)
        except ScorerUnavailable:
            self._breaker.failed()
            self._stop()
            raise
        self._breaker.succeeded()
        return answer

    def _start(self) -> None:
        try:
            self._child = self._started()
        except OSError as error:
            raise ScorerUnavailable(f"the process of the model cannot be started: {error.strerror}") from error
        self._exchange(np.zeros((1, len(FEATURE_NAMES))), START_SECONDS)

    def _started(self) -> "subprocess.Popen[bytes]":
        """A new process in a new folder: what tidies up temporary files may have taken the old one. Raises OSError."""
        self._folder.cleanup()
        self._folder = TemporaryDirectory(prefix="model-")
        folder, pipe = Path(self._folder.name), subprocess.PIPE
        for name, content in by_name(self._files).items():
            (folder / name).write_bytes(content)
        with (folder / REASON_FILE).open("wb") as reason:
            return subprocess.Popen(  # noqa: S603 - by this interpreter, with a folder made here
                (sys.executable, "-s", "-m", __name__, str(folder)),
                cwd=folder,
                env=ENVIRONMENT,
                stdin=pipe,
                stdout=pipe,
                stderr=reason,
            )

    def _exchange(self, rows: Floats, seconds: float) -> Floats:
        """Raises ScorerUnavailable where the process is too slow, which ends it, or gives something else."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise ScorerUnavailable("the process of the model is not there")
        timer = threading.Timer(seconds, child.kill)
        timer.start()
        try:
            child.stdin.write(COUNT.pack(len(rows)) + np.ascontiguousarray(rows, dtype=NUMBER).tobytes())
            child.stdin.flush()
            said = child.stdout.read(len(rows) * NUMBER.itemsize)
        except OSError as error:
            raise ScorerUnavailable(f"the process of the model has ended: {error.strerror}") from error
        finally:
            timer.cancel()
        answer = np.frombuffer(said, dtype=NUMBER) if len(said) == len(rows) * NUMBER.itemsize else np.empty(0)
        if len(answer) != len(rows) or not ((answer >= 0) & (answer <= 1)).all():
            raise ScorerUnavailable("the process of the model has ended, or gave no probabilities")
        return answer.astype(np.float64)

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()

    def _reason(self) -> str:
        """What the process has said at its end, if anything."""
        try:
            return (Path(self._folder.name) / REASON_FILE).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _end(self) -> None:
        self._stop()
        self._folder.cleanup()


def main() -> int:
    """Answer until the other end closes; exit code 3 for a model that cannot be used."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (REASON_BYTES, REASON_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")  # nobody reads them, and one for each question would be many
    folder = Path(sys.argv[1])
    try:
        model = read_classifier(read_files(folder), folder)
    except ModelRefused as error:
        sys.stderr.write(str(error).replace(f"{folder}/", "")[: REASON_BYTES // 4])
        return REFUSED
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as answers:
        _silence()
        for rows in _questions(sys.stdin.buffer):
            answers.write(np.asarray(model.predict_proba(rows)[:, 1], dtype=NUMBER).tobytes())
            answers.flush()
    return 0


def _silence() -> None:
    """What a talkative model prints is no answer."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(null, stream.fileno())


def _questions(source: BinaryIO) -> Iterator[Floats]:
    while len(head := source.read(COUNT.size)) == COUNT.size:
        (count,) = COUNT.unpack(head)
        width = len(FEATURE_NAMES)
        yield np.frombuffer(source.read(count * width * NUMBER.itemsize), dtype=NUMBER).reshape(count, width)


if __name__ == "__main__":
    sys.exit(main())
