"""The model in the process, and the files that must not become one."""

import json
import subprocess
import sys
from dataclasses import replace
from datetime import date
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import ClassVar
from zipfile import ZIP_LZMA, ZipFile

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from app.adapters.scorer_sklearn import load_model, probabilities_of
from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.eligibility import Screening, screen
from app.domain.features import ENCODING_VERSION, FEATURE_NAMES, Floats, customer_matrix, encode
from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE, ModelCard, card_from_json, card_to_json
from app.domain.trees import trees_to_bytes
from app.errors import ModelRefused
from app.training.artefact import model_bytes, write_artefact
from app.training.trees import trees_form

SHIPPED = Path(__file__).parents[2] / "app" / "models" / "default"
MARK = "this must never be built"

ANNA = CustomerContext("1", Gender.FEMALE, 34, 28.0, 11, 22.5, 60, 9, 90)
BERT = CustomerContext("2", Gender.MALE, 61, 70.0, 0, 0.0, 12, 0, 15)
COUPONS = [
    Coupon(str(index), kind, department, discount, 2, date(2026, 1, 1), date(2026, 12, 31), 12.0 + 9 * index, 40)
    for index, (kind, department, discount) in enumerate(
        (kind, department, discount)
        for kind in CouponType
        for department in ("Men", "Women")
        for discount in (5.0, 20.0, 40.0)
    )
]
RNG = np.random.default_rng(5)
FEATURES: Floats = RNG.normal(0.3, 2, (400, len(FEATURE_NAMES)))
LABELS = FEATURES[:, 0] + RNG.normal(0, 1, 400) > 0.8


class Hostile:
    """Leaves a mark when somebody builds it."""

    built: ClassVar[list[str]] = []
    payload = ""

    def __setstate__(self, state: dict[str, object]) -> None:
        self.built.append(MARK)


@pytest.fixture(scope="module")
def shipped_card() -> ModelCard:
    return card_from_json((SHIPPED / CARD_FILE).read_text())


@pytest.fixture(scope="module")
def card(shipped_card: ModelCard) -> ModelCard:
    """That of a model which has to be built."""
    return replace(shipped_card, linear=None)


@pytest.fixture(scope="module")
def linear() -> Pipeline:
    return Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression())]).fit(FEATURES, LABELS)


@pytest.fixture(scope="module")
def calibrated(linear: Pipeline) -> CalibratedClassifierCV:
    return CalibratedClassifierCV(FrozenEstimator(linear), method="sigmoid").fit(FEATURES, LABELS)


def write(folder: Path, card: ModelCard, model: BaseEstimator) -> Path:
    data = model_bytes(model)
    write_artefact(folder, data, replace(card, model_sha256=sha256(data).hexdigest()))
    return folder


def write_bytes(folder: Path, card: ModelCard, data: bytes) -> Path:
    write_artefact(folder, data, replace(card, model_sha256=sha256(data).hexdigest()))
    return folder


def today() -> Screening:
    return screen(COUPONS, date(2026, 6, 1))


async def test_scores_are_the_probabilities_that_scikit_learn_gives() -> None:
    scorer, screening = load_model(SHIPPED), today()
    model = skops.io.load(SHIPPED / MODEL_FILE)

    scores = await scorer.score([ANNA, BERT], [screening, screening])

    for context, its in zip((ANNA, BERT), scores, strict=True):
        asked = model.predict_proba(encode(customer_matrix([context]), screening.features))[:, 1]
        assert np.abs(its.values - asked).max() < 1e-12


async def test_a_batch_scores_as_each_customer_alone() -> None:
    scorer, screening = load_model(SHIPPED), today()
    half = screen(COUPONS[::2], date(2026, 6, 1))

    together = await scorer.score([ANNA, BERT, ANNA], [screening, half, half])
    alone = [
        (await scorer.score([context], [its]))[0] for context, its in ((ANNA, screening), (BERT, half), (ANNA, half))
    ]

    assert [scores.values.tolist() for scores in together] == [scores.values.tolist() for scores in alone]


async def test_scores_name_the_scorer_and_the_model(shipped_card: ModelCard) -> None:
    scorer = load_model(SHIPPED)

    (scores,) = await scorer.score([ANNA], [today()])

    assert (scores.scorer, scores.model_version) == ("in_process", shipped_card.version)
    assert (scorer.card, scorer.version, scorer.threshold) == (
        shipped_card,
        shipped_card.version,
        shipped_card.threshold,
    )


async def test_no_candidates_have_no_scores() -> None:
    scorer, nobody = load_model(SHIPPED), screen((), date(2026, 6, 1))

    (scores,) = await scorer.score([ANNA], [nobody])

    assert scores.values.shape == (0,)
    assert await scorer.score([], []) == []


async def test_customers_are_ranked_differently() -> None:
    first, second = await load_model(SHIPPED).score([ANNA, BERT], [today(), today()])

    assert first.values.argmax() != second.values.argmax()


async def test_a_model_without_weights_in_its_card_is_asked_itself(card: ModelCard, tmp_path: Path) -> None:
    model = GaussianNB().fit(FEATURES, LABELS)

    (scores,) = await load_model(write(tmp_path, card, model)).score([ANNA], [today()])

    expected = model.predict_proba(encode(customer_matrix([ANNA]), today().features))[:, 1]
    assert scores.values.tolist() == expected.tolist()


def test_a_calibrated_model_can_be_loaded(calibrated: CalibratedClassifierCV, card: ModelCard, tmp_path: Path) -> None:
    scorer = load_model(write(tmp_path, card, calibrated))

    (anna,) = customer_matrix([ANNA])
    expected = probabilities_of(calibrated, anna, today().features)
    assert np.abs(scorer.predict(anna, today()) - expected).max() < 1e-12


def test_a_tampered_model_file_is_refused(card: ModelCard, tmp_path: Path) -> None:
    data = bytearray((SHIPPED / MODEL_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    write_artefact(tmp_path, bytes(data), card)

    with pytest.raises(ModelRefused, match="sha256 differs"):
        load_model(tmp_path)


@pytest.mark.parametrize("name", [MODEL_FILE, CARD_FILE])
def test_a_missing_file_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for other in {MODEL_FILE, CARD_FILE} - {name}:
        (tmp_path / other).write_bytes((SHIPPED / other).read_bytes())

    with pytest.raises(ModelRefused, match=f"{name}: No such file"):
        load_model(tmp_path)


def test_a_renamed_feature_is_refused_by_its_names(card: ModelCard, linear: Pipeline, tmp_path: Path) -> None:
    renamed = replace(card, features=("is_woman", *FEATURE_NAMES[1:]))

    with pytest.raises(ModelRefused, match="is_female, is_woman"):
        load_model(write(tmp_path, renamed, linear))


def test_features_in_another_order_are_refused(card: ModelCard, linear: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="their order"):
        load_model(write(tmp_path, replace(card, features=FEATURE_NAMES[::-1]), linear))


def test_another_encoding_version_is_refused(card: ModelCard, linear: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=f"encoding {ENCODING_VERSION + 1}"):
        load_model(write(tmp_path, replace(card, encoding_version=ENCODING_VERSION + 1), linear))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "\udcff", "[" * 100_000], ids=["none", "list", "object", "bytes", "deep"]
)
def test_what_is_no_card_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / CARD_FILE).write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / MODEL_FILE).write_bytes(b"")

    with pytest.raises(ModelRefused, match="no model card"):
        load_model(tmp_path)


def test_a_class_of_somebody_elses_is_refused_before_it_is_built(card: ModelCard, tmp_path: Path) -> None:
    hostile = Hostile()
    hostile.payload = MARK

    with pytest.raises(ModelRefused, match=r"holds types that a model needs not: .*Hostile"):
        load_model(write(tmp_path, card, hostile))
    assert Hostile.built == []


def test_a_function_of_the_system_is_refused(card: ModelCard, linear: Pipeline, tmp_path: Path) -> None:
    calling = Pipeline([("call", FunctionTransformer(subprocess.getoutput)), *linear.steps])

    with pytest.raises(ModelRefused, match=r"subprocess\.getoutput"):
        load_model(write(tmp_path, card, calling))


def test_a_neighbour_search_is_refused_for_its_unchecked_bounds(card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"sklearn\.neighbors"):
        load_model(write(tmp_path, card, KNeighborsClassifier().fit(FEATURES, LABELS)))


def damaged_lzma(name: str) -> bytes:
    """A zip file whose one part, compressed by LZMA, is damaged."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_LZMA) as archive:
        archive.writestr(name, b"0" * 2000)
    data = bytearray(buffer.getvalue())
    start = data.find(name.encode()) + len(name) + 9
    data[start : start + 8] = b"\xff" * 8
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04 no zip", b"cos\nsystem\n(S'true'\ntR.", damaged_lzma("schema.json")],
    ids=["empty", "zip", "pickle", "lzma"],
)
def test_a_damaged_file_is_refused(data: bytes, card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="damaged or no model"):
        load_model(write_bytes(tmp_path, card, data))


def test_no_damage_raises_anything_but_a_refusal(card: ModelCard, tmp_path: Path) -> None:
    whole = (SHIPPED / MODEL_FILE).read_bytes()
    rng = np.random.default_rng(3)
    refusals = 0
    for _ in range(100):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=8):
            damaged[position] = rng.integers(256)
        try:
            load_model(write_bytes(tmp_path, card, bytes(damaged)))
        except ModelRefused:
            refusals += 1
    assert refusals > 50


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_model_of_the_same_columns_in_another_order_is_refused(card: ModelCard, tmp_path: Path) -> None:
    frame = pd.DataFrame(FEATURES, columns=[*FEATURE_NAMES])
    load_model(write(tmp_path, card, GaussianNB().fit(frame, LABELS)))
    with pytest.raises(ModelRefused, match="in another order"):
        load_model(write(tmp_path, card, GaussianNB().fit(frame[[*FEATURE_NAMES[::-1]]], LABELS)))


def test_a_model_of_fewer_features_is_refused(card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="was fitted on 3 features"):
        load_model(write(tmp_path, card, GaussianNB().fit(FEATURES[:, :3], LABELS)))


@pytest.mark.parametrize(
    "model",
    [Ridge().fit(FEATURES, LABELS), GaussianNB().fit(FEATURES, LABELS.astype(np.int64) + 1), GaussianNB()],
    ids=["regression", "other classes", "not fitted"],
)
def test_what_is_no_classifier_of_redemption_is_refused(model: BaseEstimator, card: ModelCard, tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no classifier"):
        load_model(write(tmp_path, card, model))


def test_a_model_that_gives_no_probabilities_is_refused(card: ModelCard, tmp_path: Path) -> None:
    broken = Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression())]).fit(FEATURES, LABELS)
    broken[-1].coef_[0, 0] = np.nan

    with pytest.raises(ModelRefused, match="gives no probability"):
        load_model(write(tmp_path, card, broken))


def test_a_model_that_cannot_score_is_refused(card: ModelCard, tmp_path: Path) -> None:
    broken = GaussianNB().fit(FEATURES, LABELS)
    broken.theta_ = broken.theta_[:, :2]

    with pytest.raises(ModelRefused, match="cannot score"):
        load_model(write(tmp_path, card, broken))


@pytest.fixture(scope="module")
def boosted() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=5, early_stopping=False).fit(FEATURES, LABELS)


@pytest.fixture
def trees(boosted: HistGradientBoostingClassifier, card: ModelCard, tmp_path: Path) -> Path:
    """A folder with a model of trees."""
    form = trees_form(boosted)
    assert form is not None
    model, its_trees = model_bytes(boosted), trees_to_bytes(form)
    described = replace(card, model_sha256=sha256(model).hexdigest(), trees_sha256=sha256(its_trees).hexdigest())
    write_artefact(tmp_path, model, described, its_trees)
    return tmp_path


async def test_trees_score_as_scikit_learn_does_for_every_customer_and_day(
    boosted: HistGradientBoostingClassifier, trees: Path
) -> None:
    scorer, screenings = load_model(trees), [today(), screen(COUPONS[::2], date(2026, 6, 2)), today()]

    scores = await scorer.score([ANNA, BERT, BERT], screenings)

    for context, screening, its in zip((ANNA, BERT, BERT), screenings, scores, strict=True):
        (customer,) = customer_matrix([context])
        assert np.abs(its.values - probabilities_of(boosted, customer, screening.features)).max() < 1e-12


def test_trees_of_another_file_are_refused(trees: Path) -> None:
    data = bytearray((trees / TREES_FILE).read_bytes())
    data[-100] ^= 1
    (trees / TREES_FILE).write_bytes(data)

    with pytest.raises(ModelRefused, match=rf"{TREES_FILE} is not the file that its card describes"):
        load_model(trees)


def test_a_model_with_both_forms_is_the_weighted_mean_of_their_probabilities(
    trees: Path, shipped_card: ModelCard
) -> None:
    card = card_from_json((trees / CARD_FILE).read_text())
    screening, known = today(), customer_matrix([ANNA])[0]

    def predicted(weight: float) -> Floats:
        blended = replace(card, linear=shipped_card.linear, linear_weight=weight)
        (trees / CARD_FILE).write_text(card_to_json(blended))
        return load_model(trees).predict(known, screening)

    assert np.allclose(predicted(0.25), 0.25 * predicted(1.0) + 0.75 * predicted(0.0), rtol=0, atol=1e-12)


def test_a_weight_beyond_all_numbers_is_refused(tmp_path: Path, shipped_card: ModelCard) -> None:
    write_bytes(tmp_path, shipped_card, b"")
    fields = json.loads((tmp_path / CARD_FILE).read_text())
    fields["linear"]["intercept"] = 10**400
    (tmp_path / CARD_FILE).write_text(json.dumps(fields))

    with pytest.raises(ModelRefused, match="no model card"):
        load_model(tmp_path)


def test_missing_trees_are_refused_by_name(trees: Path) -> None:
    (trees / TREES_FILE).unlink()

    with pytest.raises(ModelRefused, match=f"{TREES_FILE} is missing"):
        load_model(trees)


def test_no_damage_to_trees_raises_anything_but_a_refusal(trees: Path) -> None:
    whole, card = (trees / TREES_FILE).read_bytes(), card_from_json((trees / CARD_FILE).read_text())
    model = (trees / MODEL_FILE).read_bytes()
    rng = np.random.default_rng(3)
    refusals = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for position in rng.integers(len(whole), size=8):
            damaged[position] = rng.integers(256)
        write_artefact(trees, model, replace(card, trees_sha256=sha256(damaged).hexdigest()), bytes(damaged))
        try:
            load_model(trees)
        except ModelRefused:
            refusals += 1
    assert refusals > 150


def test_linear_models_leave_no_trees_behind(trees: Path, card: ModelCard, linear: Pipeline) -> None:
    write(trees, card, linear)

    assert {path.name for path in trees.iterdir()} == {MODEL_FILE, CARD_FILE}


def test_a_model_of_trees_needs_no_scikit_learn(trees: Path) -> None:
    assert modules_after_loading(trees) == "set()"


def test_a_linear_model_needs_no_scikit_learn() -> None:
    assert modules_after_loading(SHIPPED) == "set()"


def modules_after_loading(folder: Path) -> str:
    program = (
        "import sys; from pathlib import Path; from app.adapters.scorer_sklearn import load_model;"
        "load_model(Path(sys.argv[1])); print({'sklearn', 'skops', 'scipy'} & set(sys.modules))"
    )

    answer = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def test_the_same_model_is_written_as_the_same_bytes(linear: Pipeline) -> None:
    again = Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression())]).fit(FEATURES, LABELS)

    assert model_bytes(again) == model_bytes(linear)
    assert (
        skops.io.loads(model_bytes(linear)).predict_proba(FEATURES).tolist() == linear.predict_proba(FEATURES).tolist()
    )
