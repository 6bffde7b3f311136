"""The process that a model is tried in: what it sees, how it ends, and the models that it refuses."""

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from app.adapters.model_check import ChildChecker
from app.domain.model_card import ModelCard
from app.domain.trees import TreesForm, trees_to_bytes
from app.errors import ModelRefused
from app.ports import ModelFiles
from app.training.artefact import model_bytes
from app.training.trees import trees_form
from tests.small_models import DirectChecker, SmallModel, files_of, files_with, rows

FEATURES, LABELS = rows()
STRANGE = "tests.adapters.strange_check"


async def strangely(what: str, seconds: float = 60.0) -> str:
    """What becomes of a process that behaves so."""
    with pytest.raises(ModelRefused) as refusal:
        await ChildChecker(seconds, STRANGE).check(ModelFiles(what.encode(), b""))
    return str(refusal.value)


async def refusal_of(files: ModelFiles) -> str:
    """Why the process would refuse the model, asked without starting one."""
    with pytest.raises(ModelRefused) as refusal:
        await DirectChecker().check(files)
    return str(refusal.value)


def is_gone(folder: str) -> bool:
    return not Path(folder).exists()


def is_empty(folder: Path) -> bool:
    return not list(folder.iterdir())


async def test_a_trained_model_is_found_to_be_sound_in_a_process_of_its_own(small_model: SmallModel) -> None:
    shown = await ChildChecker().check(small_model.files)

    assert max(shown.parity, shown.self_check) < 1e-12
    assert shown.milliseconds > 0


async def test_a_reason_is_told_without_the_folder_that_the_process_had(small_model: SmallModel) -> None:
    with pytest.raises(ModelRefused, match=r"^model\.skops is not the file that its card describes"):
        await ChildChecker().check(replace(small_model.files, model=b"another"))


async def test_the_process_sees_nothing_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/shop")
    monkeypatch.setenv("ADMIN_API_KEY", "secret")
    with (tmp_path / "open").open("wb") as opened:
        os.set_inheritable(opened.fileno(), True)
        seen = json.loads(await strangely("nosy"))

    assert set(seen["environment"]) - {"LC_CTYPE"} == {
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONUTF8",
    }
    assert sorted(seen["files"]) == sorted([os.devnull, os.devnull, f"{seen['path']}/said"])
    assert seen["folder"] == seen["path"]
    assert is_gone(seen["path"])


async def test_a_process_that_does_not_end_is_ended() -> None:
    assert await strangely("never", 0.5) == "the model could not be tried within 0.5 seconds"


@pytest.mark.parametrize(
    ("what", "how"),
    [("kill", "by signal SIGKILL"), ("crash", "with exit code 17")],
)
async def test_a_process_that_dies_is_a_sentence(what: str, how: str) -> None:
    assert await strangely(what) == f"the model ended the process that it was tried in, {how}"


async def test_a_process_that_says_what_it_should_not_is_a_sentence() -> None:
    assert await strangely("babble") == "the process that the model was tried in said what makes no sense"


async def test_where_a_model_cannot_be_tried_that_is_said(
    small_model: SmallModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))

    with pytest.raises(ModelRefused, match="the model could not be tried here: No such file or directory"):
        await ChildChecker().check(small_model.files)


async def test_models_are_tried_one_at_a_time() -> None:
    checker = ChildChecker(0.5, STRANGE)
    files = ModelFiles(b"never", b"")
    began = [asyncio.ensure_future(checker.check(files)) for _ in range(2)]

    await asyncio.wait(began, return_when=asyncio.FIRST_COMPLETED)

    assert sorted(one.done() for one in began) == [False, True]
    await asyncio.gather(*began, return_exceptions=True)


CLASSIFIERS: list[Callable[[], object]] = [
    lambda: LogisticRegression(),
    lambda: GaussianNB(),
    lambda: make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=5)),
    lambda: DecisionTreeClassifier(max_depth=4),
    lambda: RandomForestClassifier(5, max_depth=4),
    lambda: BaggingClassifier(DecisionTreeClassifier(max_depth=3), 3, max_features=0.5),
    lambda: AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=3),
    lambda: HistGradientBoostingClassifier(max_iter=3),
    lambda: CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3), cv=2),
    lambda: VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    lambda: make_pipeline(PolynomialFeatures(2), RandomForestClassifier(3, max_depth=3)),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("make", CLASSIFIERS)
async def test_the_usual_classifiers_are_let_in(small_model: SmallModel, make: Callable[[], Pipeline]) -> None:
    shown = await DirectChecker().check(files_with(small_model.card, make().fit(FEATURES, LABELS)))

    assert (shown.parity, shown.self_check) == (0.0, 0.0)


@pytest.mark.parametrize(
    "model",
    [CalibratedClassifierCV(SVC(), cv=2), KNeighborsClassifier(), GradientBoostingClassifier(n_estimators=2)],
)
async def test_classifiers_whose_native_code_believes_their_file_are_refused(
    small_model: SmallModel, model: SVC
) -> None:
    files = files_with(small_model.card, model.fit(FEATURES, LABELS))

    assert "is not among what a model may be made of" in await refusal_of(files)


def spoilt(model: DecisionTreeClassifier, name: str, value: int) -> DecisionTreeClassifier:
    """The tree with a wrong number in its first node."""
    state = model.tree_.__getstate__()
    state["nodes"][name][0] = value
    model.tree_.__setstate__(state)
    return model


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("left_child", 0, "branches lead back"),
        ("right_child", 10**9, "branches lead back, or nowhere"),
        ("left_child", -2, "branches lead back, or nowhere"),
        ("feature", 10**6, "asks for a column that it does not get"),
        ("feature", -5, "asks for a column that it does not get"),
    ],
)
@pytest.mark.parametrize("within", ["alone", "forest", "calibrated"])
async def test_a_tree_that_would_be_walked_for_ever_or_out_of_its_bounds_is_refused(
    small_model: SmallModel, name: str, value: int, why: str, within: str
) -> None:
    tree = DecisionTreeClassifier(max_depth=3).fit(FEATURES, LABELS)
    model = {"alone": tree}.get(within)
    if within == "forest":
        model = RandomForestClassifier(2, max_depth=3).fit(FEATURES, LABELS)
        tree = model.estimators_[1]
    if within == "calibrated":
        model = CalibratedClassifierCV(tree, cv=2).fit(FEATURES, LABELS)
        tree = model.calibrated_classifiers_[0].estimator
    spoilt(tree, name, value)

    assert why in await refusal_of(files_of(replace(small_model.card, linear=None), model_bytes(model)))


async def test_a_tree_that_claims_more_columns_than_its_forest_gets_is_refused(small_model: SmallModel) -> None:
    wide = DecisionTreeClassifier(max_depth=2).fit(np.tile(FEATURES, 20), LABELS)
    spoilt(wide, "feature", FEATURES.shape[1] + 3)
    forest = RandomForestClassifier(2, max_depth=3).fit(FEATURES, LABELS)
    forest.estimators_[0] = wide

    assert "column that it does not get" in await refusal_of(
        files_of(replace(small_model.card, linear=None), model_bytes(forest))
    )


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("left", 0, "branches lead back"),
        ("right", 10**6, "branches lead back, or nowhere"),
        ("feature_idx", 10**6, "asks for a column that it does not get"),
        ("is_categorical", 1, "asks for categories"),
    ],
)
async def test_boosted_trees_are_looked_at_too(small_model: SmallModel, name: str, value: int, why: str) -> None:
    model = HistGradientBoostingClassifier(max_iter=2).fit(FEATURES, LABELS)
    model._predictors[1][0].nodes[name][0] = value

    assert why in await refusal_of(files_of(replace(small_model.card, linear=None), model_bytes(model)))


async def test_a_function_of_another_object_is_no_part_of_a_model(small_model: SmallModel) -> None:
    model = make_pipeline(FunctionTransformer(np.abs), LogisticRegression()).fit(FEATURES, LABELS)

    await DirectChecker().check(files_with(small_model.card, model))
    model.steps[0][1].func = StandardScaler().fit(FEATURES).transform
    why = await refusal_of(files_of(replace(small_model.card, linear=None), model_bytes(model)))
    assert "StandardScaler.transform" in why


@pytest.fixture(scope="module")
def boosted(small_model: SmallModel) -> tuple[ModelCard, bytes, TreesForm]:
    """The card, artefact and form of a model that is served by its trees."""
    model = HistGradientBoostingClassifier(max_iter=3).fit(FEATURES, LABELS)
    form = trees_form(model)
    assert form is not None
    files = files_with(small_model.card, model, trees_to_bytes(form))
    return replace(small_model.card, linear=None, self_check=self_check_of(files)), files.model, form


def self_check_of(files: ModelFiles) -> tuple[float, ...]:
    return tuple(json.loads(files.card)["self_check"])


async def test_trees_are_sound_where_they_say_what_the_model_says(boosted: tuple[ModelCard, bytes, TreesForm]) -> None:
    card, model, form = boosted
    shown = await DirectChecker().check(files_of(card, model, trees_to_bytes(form)))
    other = await DirectChecker().check(files_of(card, model, trees_to_bytes(replace(form, leaves=form.leaves * 2))))

    assert shown.parity < 1e-9
    assert other.parity > 1e-3


def npz(**parts: bytes) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def npy(array: np.ndarray, *, allow_pickle: bool = False) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def header_of(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


class Pickled:
    """Leaves a trace when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("it-was-unpickled",)


@pytest.mark.parametrize(
    "trees",
    [
        npz(intercept=npy(np.array([Pickled()], dtype=object), allow_pickle=True)),
        npz(intercept=header_of("(1000000000000,)")),
        npz(intercept=header_of("(99999999999, 99999999999)")),
        npz(intercept=npy(np.zeros(2_000_000))),
        npz(),
        b"PK\x05\x06",
        b"",
    ],
    ids=["pickled", "huge", "beyond numbers", "a bomb", "empty", "no end", "nothing"],
)
async def test_a_file_of_trees_that_is_none_is_refused(
    boosted: tuple[ModelCard, bytes, TreesForm], trees: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    card, model, _ = boosted

    assert "trees.npz is damaged or holds no trees" in await refusal_of(files_of(card, model, trees))
    assert is_empty(tmp_path)


def skops_with(**parts: bytes) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        for name, content in parts.items():
            file.writestr(name.replace("_json", ".json").replace("_npy", ".npy"), content)
    return buffer.getvalue()


def node(module: str, name: str, loader: str, **fields: object) -> bytes:
    return json.dumps(
        {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, "protocol": 2, **fields}
    ).encode()


@pytest.mark.parametrize(
    "model",
    [
        b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        skops_with(
            schema_json=node("posix", "system", "FunctionNode", content={"module_path": "posix", "function": "system"})
        ),
        skops_with(schema_json=node("os", "system", "TypeNode")),
        skops_with(schema_json=node("builtins", "dict", "PickleNode", content="gA==")),
        skops_with(
            schema_json=node("numpy", "ndarray", "NdArrayNode", type="numpy", file="a.npy"),
            a_npy=npy(np.array([Pickled()], dtype=object), allow_pickle=True),
        ),
        skops_with(schema_json=b"[" * 100_000),
        skops_with(schema_json=b"{}"),
        skops_with(),
    ],
    ids=["a pickle", "a function", "a type", "a loader", "a pickled array", "deep", "no node", "empty"],
)
async def test_what_is_no_model_of_skops_is_refused_before_anything_of_it_is_run(
    small_model: SmallModel, model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert (await refusal_of(files_of(small_model.card, model))).count("model.skops") == 1
    assert is_empty(tmp_path)


async def test_a_card_with_a_million_features_is_refused_in_a_few_words(small_model: SmallModel) -> None:
    fields = json.loads(small_model.files.card)
    fields["features"] = [f"f{number}" for number in range(50_000)]
    fields["linear"] = None
    why = await refusal_of(replace(small_model.files, card=json.dumps(fields).encode()))

    assert "was made for other features" in why
    assert len(why) < 1000


@pytest.mark.parametrize(
    "change",
    [
        {"self_check": []},
        {"self_check": [0.5]},
        {"self_check": "all well"},
        {"threshold": 1.5},
        {"threshold": None},
        {"features": None},
        {"linear": {"intercept": 0, "weights": []}},
        {"linear": 7},
        {"metrics": [1]},
        {"fit": {"rows": "many"}},
        {"created_at": "yesterday"},
        {"trees_sha256": "0" * 64},
        {"encoding_version": 10**6},
    ],
    ids=str,
)
async def test_a_card_that_is_none_is_refused(small_model: SmallModel, change: dict[str, object]) -> None:
    fields = {**json.loads(small_model.files.card), **change}

    assert await refusal_of(replace(small_model.files, card=json.dumps(fields).encode()))
