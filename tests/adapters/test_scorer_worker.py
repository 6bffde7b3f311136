"""Models that are asked in a process of their own."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier

from app.adapters.scorer_sklearn import SklearnScorer, probabilities_of
from app.adapters.scorer_worker import SCORER, WorkerModel, build_model
from app.domain.customer import CustomerContext
from app.domain.eligibility import Screening, screen
from app.domain.features import customer_matrix
from app.errors import ModelRefused, ScorerUnavailable
from app.ports import ModelFiles, Scores
from tests.builders import ANNA, COUPON, TODAY
from tests.small_models import SmallModel, files_with, rows
from tests.transport.eventually import eventually

COUPONS = [replace(COUPON, coupon_id=str(index), discount=5.0 + index) for index in range(30)]
BERT = replace(ANNA, customer_id="2", age=61, mean_buy_price=70.25)
WHERE = Path("model")


@pytest.fixture(scope="module")
def forest() -> ClassifierMixin:
    return RandomForestClassifier(5, max_depth=4, random_state=1).fit(*rows())


@pytest.fixture(scope="module")
def files(forest: ClassifierMixin, small_model: SmallModel) -> ModelFiles:
    return files_with(small_model.card, forest)


@pytest.fixture(scope="module")
def kept(files: ModelFiles) -> Iterator[WorkerModel]:
    """For tests that leave the process as they find it."""
    model = build_model(files, WHERE)
    assert isinstance(model, WorkerModel)
    yield model
    model.close()


@pytest.fixture
def model(files: ModelFiles, kept: WorkerModel) -> Iterator[WorkerModel]:
    """For tests that do it harm."""
    model = WorkerModel(kept.card, files)
    yield model
    model.close()


@pytest.fixture
def screenings() -> list[Screening]:
    return [screen(COUPONS[:20], TODAY), screen(COUPONS[20:], TODAY)]


def expected(forest: ClassifierMixin, customer: CustomerContext, screening: Screening) -> list[float]:
    (known,) = customer_matrix([customer])
    found: list[float] = probabilities_of(forest, known, screening.features).tolist()
    return found


def values(scores: Sequence[Scores]) -> list[list[float]]:
    return [one.values.tolist() for one in scores]


def process_id(model: WorkerModel) -> int:
    child = model._process._child
    assert child is not None
    return child.pid


async def test_it_says_what_the_model_itself_says(
    kept: WorkerModel, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    found = await kept.score([ANNA, BERT], screenings)

    pairs = zip((ANNA, BERT), screenings, strict=True)
    assert values(found) == [expected(forest, customer, screening) for customer, screening in pairs]
    assert {(one.scorer, one.model_version) for one in found} == {(SCORER, kept.card.version)}


async def test_what_a_model_prints_is_no_answer(small_model: SmallModel, screenings: list[Screening]) -> None:
    talkative = RandomForestClassifier(5, max_depth=4, random_state=1, verbose=5).fit(*rows())
    files = files_with(small_model.card, talkative)
    model = WorkerModel(small_model.card, files)
    (found,) = await model.score([ANNA], screenings[:1])
    model.close()

    assert found.values.tolist() == expected(talkative, ANNA, screenings[0])


async def test_where_there_is_no_candidate_there_is_nothing_to_ask(kept: WorkerModel) -> None:
    (found,) = await kept.score([ANNA], [screen([], TODAY)])

    assert found.values.shape == (0,)


async def test_many_rows_are_asked_for_in_parts(kept: WorkerModel, forest: ClassifierMixin) -> None:
    screening = screen([replace(COUPON, coupon_id=str(index), discount=index / 60) for index in range(5000)], TODAY)
    (found,) = await kept.score([ANNA], [screening])

    assert found.values.tolist() == expected(forest, ANNA, screening)


def test_a_model_that_the_service_can_score_by_its_form_needs_no_process(small_model: SmallModel) -> None:
    assert isinstance(build_model(small_model.files, WHERE), SklearnScorer)


async def test_what_a_customer_may_be_offered_is_scored_ahead(
    model: WorkerModel, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    model.expect([ANNA, BERT], screenings)
    await eventually(lambda: model._at_hand(BERT, screenings[1]) is not None)
    model.close()

    found = await model.score([ANNA, BERT], screenings)
    assert values(found) == [expected(forest, ANNA, screenings[0]), expected(forest, BERT, screenings[1])]


async def test_a_customer_of_whom_more_is_known_now_is_scored_anew(
    model: WorkerModel, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    model.expect([ANNA], screenings)
    await eventually(lambda: model._at_hand(ANNA, screenings[1]) is not None)
    older = replace(ANNA, age=70, mean_buy_price=3.0, total_items_bought=400)
    (found,) = await model.score([older], screenings[:1])

    assert found.values.tolist() == expected(forest, older, screenings[0])


async def test_a_process_that_has_ended_is_started_again(
    kept: WorkerModel, files: ModelFiles, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    model = WorkerModel(kept.card, files, ask_seconds=60.0)
    before = process_id(model)
    os.kill(before, signal.SIGKILL)
    with pytest.raises(ScorerUnavailable, match="has ended"):
        await model.score([ANNA], screenings[:1])
    (found,) = await model.score([ANNA], screenings[:1])

    assert found.values.tolist() == expected(forest, ANNA, screenings[0])
    assert process_id(model) != before
    model.close()


async def test_a_process_whose_folder_was_tidied_away_is_started_again(
    model: WorkerModel, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    shutil.rmtree(model._process._folder.name)
    os.kill(process_id(model), signal.SIGKILL)
    with pytest.raises(ScorerUnavailable, match="has ended"):
        await model.score([ANNA], screenings[:1])
    (found,) = await model.score([ANNA], screenings[:1])

    assert found.values.tolist() == expected(forest, ANNA, screenings[0])


async def test_a_process_that_cannot_be_started_is_no_fault_of_the_service(
    model: WorkerModel, screenings: list[Screening], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.kill(process_id(model), signal.SIGKILL)
    with pytest.raises(ScorerUnavailable, match="has ended"):
        await model.score([ANNA], screenings[:1])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ScorerUnavailable, match="cannot be started: No such file"):
        await model.score([ANNA], screenings[:1])


async def test_a_process_that_does_not_answer_is_ended(
    kept: WorkerModel, files: ModelFiles, screenings: list[Screening]
) -> None:
    model = WorkerModel(kept.card, files, ask_seconds=0.01)
    os.kill(process_id(model), signal.SIGSTOP)

    with pytest.raises(ScorerUnavailable):
        await model.score([ANNA], screenings[:1])
    await eventually(lambda: model._process._child is None)
    model.close()


async def test_who_asks_while_a_process_is_started_again_does_not_wait_for_it(
    kept: WorkerModel, files: ModelFiles, screenings: list[Screening]
) -> None:
    model = WorkerModel(kept.card, files, ask_seconds=0.01)
    os.kill(process_id(model), signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(ScorerUnavailable):
            await model.score([ANNA], screenings[:1])

    with pytest.raises(ScorerUnavailable, match="in time"):
        await model.score([BERT], screenings[:1])
    model.close()


async def test_after_closing_nothing_is_scored_and_no_process_left(
    model: WorkerModel, screenings: list[Screening]
) -> None:
    before, folder = process_id(model), Path(model._process._folder.name)
    model.close()

    with pytest.raises(ScorerUnavailable, match="no longer in service"):
        await model.score([ANNA], screenings[:1])
    await eventually(lambda: not folder.exists())
    with pytest.raises(ProcessLookupError):
        os.kill(before, 0)


async def test_who_waits_for_scores_gets_them_though_the_model_is_closed(
    model: WorkerModel, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    os.kill(process_id(model), signal.SIGSTOP)
    waiting = asyncio.ensure_future(model.score([ANNA], screenings[:1]))
    await eventually(lambda: bool(model._process._thread._threads))
    model.close()
    os.kill(process_id(model), signal.SIGCONT)
    (found,) = await waiting

    assert found.values.tolist() == expected(forest, ANNA, screenings[0])
    await eventually(lambda: model._process._child is None)


async def test_who_no_longer_waits_leaves_the_process_to_others(
    model: WorkerModel, forest: ClassifierMixin, screenings: list[Screening]
) -> None:
    before = process_id(model)
    os.kill(before, signal.SIGSTOP)
    gone = asyncio.ensure_future(model.score([ANNA], screenings[:1]))
    await eventually(lambda: bool(model._process._thread._threads))
    gone.cancel()
    waiting = asyncio.ensure_future(model.score([BERT], screenings[:1]))
    os.kill(before, signal.SIGCONT)
    (found,) = await waiting

    assert found.values.tolist() == expected(forest, BERT, screenings[0])
    assert process_id(model) == before


def test_a_file_that_is_no_model_is_refused_with_the_reason(kept: WorkerModel, files: ModelFiles) -> None:
    with pytest.raises(ModelRefused, match=r"model\.skops is not the file that its card describes"):
        WorkerModel(kept.card, replace(files, model=b"nothing"))


def test_the_process_has_nothing_of_the_services_environment(kept: WorkerModel) -> None:
    environment = Path(f"/proc/{process_id(kept)}/environ").read_bytes()
    names = {part.partition(b"=")[0] for part in environment.split(b"\0") if part}

    assert names == {
        b"PYTHONPATH",
        b"PYTHONSAFEPATH",
        b"PYTHONDONTWRITEBYTECODE",
        b"PYTHONUTF8",
        b"OMP_NUM_THREADS",
        b"OPENBLAS_NUM_THREADS",
    }
