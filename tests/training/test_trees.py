"""Boosted trees are splits and leaves in a file beside the card."""

from dataclasses import fields, replace
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from app.domain.features import COUPON_COLUMNS, CUSTOMER_COLUMNS, FEATURE_NAMES, HAS_BOUGHT, Floats, encode
from app.domain.trees import MAX_LEAVES, TreeModel, TreesForm, trees_from_bytes, trees_to_bytes
from app.training.trees import trees_form

RNG = np.random.default_rng(5)
CUSTOMERS: Floats = RNG.normal(0.3, 2, (30, len(CUSTOMER_COLUMNS))).round(1)
CUSTOMERS[::2, HAS_BOUGHT] = 0
CUSTOMERS[::3, 0] = 0
COUPONS: Floats = RNG.normal(0.3, 2, (40, len(COUPON_COLUMNS))).round(1)
COUPONS[:, 1] = 1.5
FEATURES: Floats = np.concatenate([encode(customer[np.newaxis], COUPONS) for customer in CUSTOMERS])
LABELS = FEATURES @ RNG.normal(0, 1, len(FEATURE_NAMES)) + RNG.normal(0, 5, len(FEATURES)) > 0.8


def fitted(leaves: int = 31, trees: int = 20) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=leaves, min_samples_leaf=2, early_stopping=False
    ).fit(FEATURES, LABELS)


def calibrated() -> CalibratedClassifierCV:
    return CalibratedClassifierCV(FrozenEstimator(fitted()), method="sigmoid").fit(FEATURES, LABELS)


def form_of(model: ClassifierMixin) -> TreesForm:
    form = trees_form(model)
    assert form is not None
    return form


@pytest.fixture(scope="module")
def form() -> TreesForm:
    return form_of(fitted())


@pytest.mark.parametrize(
    "model",
    [fitted(), fitted(leaves=2), fitted(leaves=MAX_LEAVES), fitted(trees=1), calibrated()],
    ids=["usual", "stumps", "most leaves", "one tree", "calibrated"],
)
def test_the_trees_give_what_the_model_gives(model: ClassifierMixin) -> None:
    trees = TreeModel(trees_from_bytes(trees_to_bytes(form_of(model))))

    coupons = trees.prepare(COUPONS)
    for customer in CUSTOMERS:
        expected = model.predict_proba(encode(customer[np.newaxis], COUPONS))[:, 1]
        assert np.abs(trees.probabilities(customer, coupons) - expected).max() < 1e-12


def test_a_value_on_the_threshold_goes_left_as_in_scikit_learn(form: TreesForm) -> None:
    model, first = fitted(), len(CUSTOMER_COLUMNS)
    trees = TreeModel(form)
    asked = set(form.feature.tolist()) & set(range(first, first + len(COUPON_COLUMNS)))
    for feature in asked:
        coupons = np.tile(COUPONS[0], (int((form.feature == feature).sum()), 1))
        coupons[:, feature - first] = form.threshold[form.feature == feature]

        expected = model.predict_proba(encode(CUSTOMERS[:1], coupons))[:, 1]
        assert np.abs(trees.probabilities(CUSTOMERS[0], trees.prepare(coupons)) - expected).max() < 1e-12
    assert asked


@pytest.mark.parametrize("count", [0, 1])
def test_few_coupons_are_coupons_too(form: TreesForm, count: int) -> None:
    trees = TreeModel(form)

    assert trees.probabilities(CUSTOMERS[0], trees.prepare(COUPONS[:count])).shape == (count,)


def test_a_model_that_never_splits_gives_the_base_rate() -> None:
    model = HistGradientBoostingClassifier(max_iter=3, early_stopping=False).fit(np.zeros_like(FEATURES), LABELS)

    trees = TreeModel(trees_from_bytes(trees_to_bytes(form_of(model))))

    found = trees.probabilities(CUSTOMERS[0], trees.prepare(COUPONS))
    assert found == pytest.approx(np.full(len(COUPONS), LABELS.mean()))


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingClassifier(n_estimators=2),
        LogisticRegression(max_iter=5000),
        HistGradientBoostingClassifier(max_iter=2, categorical_features=[0, 1]),
        HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=MAX_LEAVES + 9, min_samples_leaf=1),
        CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=2), method="sigmoid", cv=2),
    ],
    ids=["older boosting", "linear", "categories", "too many leaves", "calibrated by folds"],
)
def test_of_any_other_model_there_are_no_trees(model: ClassifierMixin) -> None:
    features = np.abs(FEATURES.round())
    assert trees_form(model.fit(features, LABELS)) is None


def test_the_same_trees_are_written_as_the_same_bytes(form: TreesForm) -> None:
    assert trees_to_bytes(form) == trees_to_bytes(form_of(fitted()))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("feature", len(FEATURE_NAMES), "feature that does not exist"),
        ("feature", -1, "feature that does not exist"),
        ("tree", 20, "belongs to no tree"),
        ("threshold", np.nan, "is no number"),
        ("leaves", np.inf, "is no number"),
        ("intercept", np.nan, "is no number"),
        ("leaf_count", 32, "more leaves than there are"),
        ("leaf_count", 0, "more leaves than there are"),
        ("reachable", 0, "no leaf to a row"),
    ],
)
def test_trees_that_cannot_be_scored_with_are_refused(form: TreesForm, name: str, value: float, why: str) -> None:
    changed = np.array(getattr(form, name))
    changed.flat[-1] = value

    with pytest.raises(ValueError, match=why):
        trees_from_bytes(trees_to_bytes(replace(form, **{name: changed})))


@pytest.mark.parametrize(
    ("name", "array", "why"),
    [
        ("feature", np.zeros(3, np.int64), "not all there"),
        ("threshold", np.zeros((2, 2)), "not all there"),
        ("tree", np.zeros(3), "type float64"),
        ("leaves", np.zeros(3), "no table"),
        ("intercept", np.zeros(3), "no number"),
        ("leaf_count", np.ones(3, np.int64), "1 to 64 leaves"),
        ("leaves", np.zeros((20, MAX_LEAVES + 1)), "1 to 64 leaves"),
        ("leaves", np.zeros((0, 0)), "1 to 64 leaves"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(form: TreesForm, name: str, array: np.ndarray, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        trees_from_bytes(trees_to_bytes(replace(form, **{name: array})))


def test_more_splits_than_memory_can_hold_are_refused(form: TreesForm) -> None:
    trees = 20_000
    many = TreesForm(
        intercept=form.intercept,
        feature=np.zeros(trees, np.int64),
        threshold=np.zeros(trees),
        tree=np.arange(trees),
        reachable=np.ones(trees, np.uint64),
        leaves=np.zeros((trees, 1)),
        leaf_count=np.ones(trees, np.int64),
    )

    with pytest.raises(ValueError, match="20,000 splits in 20,000 trees are too many"):
        trees_from_bytes(trees_to_bytes(many))


def test_a_file_that_would_unfold_is_refused(form: TreesForm) -> None:
    packed = BytesIO()
    with ZipFile(BytesIO(trees_to_bytes(form))) as file, ZipFile(packed, "w", 8) as smaller:
        for field in fields(TreesForm):
            smaller.writestr(f"{field.name}.npy", file.read(f"{field.name}.npy"))

    with pytest.raises(ValueError, match="larger than the whole file"):
        trees_from_bytes(packed.getvalue())


def test_objects_are_not_read(form: TreesForm) -> None:
    packed = BytesIO()
    with ZipFile(packed, "w") as file:
        part = BytesIO()
        np.lib.format.write_array(part, np.array([{}], dtype=object), allow_pickle=True)
        file.writestr("intercept.npy", part.getvalue())

    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        trees_from_bytes(packed.getvalue())
