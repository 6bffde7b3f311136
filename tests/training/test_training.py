"""From a history to a model that deserves its card."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from app.adapters.scorer_sklearn import load_model
from app.datagen.generate import DEFAULT_SEED, Shop, generate
from app.domain.catalogue import Catalogue
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.features import ENCODING_VERSION, FEATURE_NAMES, Floats, coupon_matrix, customer_matrix, encode
from app.domain.history import NEVER, contexts_as_of
from app.domain.model_card import CARD_FILE, MODEL_FILE, TREES_FILE, ModelCard, card_from_json, card_to_json
from app.training.baselines import popularity
from app.training.metrics import measure
from app.training.names import ModelName
from app.training.progress import Silent
from app.training.rows import OUTCOME_DAYS, WARM_UP_DAYS, Rows, Split, digest, make_rows, split_in_time
from app.training.service_model import Order, fit, judge, predict, train

SHIPPED = Path(__file__).parents[2] / "app" / "models" / "default"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ORDER = Order(seed=DEFAULT_SEED)


class Listening(Silent):
    """Progress that keeps what is said."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def say(self, text: str) -> None:
        self._lines.append(text)


@dataclass(frozen=True)
class Trained:
    """One training on the default shop."""

    shop: Shop
    folder: Path
    card: ModelCard
    lines: list[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    shop, folder, lines = generate(), tmp_path_factory.mktemp("model"), list[str]()
    card = train(shop.history, ORDER, out=folder, created_at=NOON, progress=Listening(lines))
    return Trained(shop, folder, card, lines)


@pytest.fixture(scope="module")
def rows(trained: Trained) -> Rows:
    return make_rows(trained.shop.history)


@pytest.fixture(scope="module")
def split(rows: Rows) -> Split:
    return split_in_time(rows)


@pytest.fixture(scope="module")
def truth(trained: Trained, rows: Rows, split: Split) -> dict[str, float]:
    """What the generator's own probabilities reach on the validation period."""
    by_day = trained.shop.truth[np.argsort(trained.shop.history.issues.day, kind="stable")]
    window = split.validation.window
    asked = (rows.day >= np.datetime64(window.first_day)) & (rows.day <= np.datetime64(window.last_day))
    return dict(measure(judge(split.validation, by_day[asked], DEFAULT_SEED)))


def small_rows(decision: list[int], is_redeemed: list[int]) -> Rows:
    count = len(decision)
    return Rows(
        features=np.zeros((count, len(FEATURE_NAMES))),
        is_redeemed=np.array(is_redeemed, dtype=np.bool_),
        day=np.full(count, np.datetime64("2025-01-01")),
        customer=np.array(decision),
        coupon=np.arange(count),
        decision=np.array(decision),
    )


def test_the_model_beats_a_plain_logistic_one_on_every_figure(trained: Trained) -> None:
    ours, rival = trained.card.metrics, trained.card.baselines["logistic"]

    assert ours["roc_auc"] > rival["roc_auc"] + 0.005
    assert ours["pr_auc"] > 1.05 * rival["pr_auc"]
    assert ours["log_loss"] < rival["log_loss"]
    assert ours["hit_at_1"] > rival["hit_at_1"]


def test_the_model_beats_popularity_on_every_figure(trained: Trained) -> None:
    ours, rival = trained.card.metrics, trained.card.baselines["popularity"]

    assert ours["roc_auc"] > rival["roc_auc"] + 0.05
    assert ours["pr_auc"] > 1.2 * rival["pr_auc"]
    assert ours["log_loss"] < rival["log_loss"] < rival["log_loss_of_base_rate"]
    assert ours["hit_at_1"] > rival["hit_at_1"] + 0.04


def test_the_model_comes_within_reach_of_the_truth(trained: Trained, truth: dict[str, float]) -> None:
    ours = trained.card.metrics

    assert ours["roc_auc"] - 0.5 > 0.9 * (truth["roc_auc"] - 0.5)
    assert ours["pr_auc"] > 0.85 * truth["pr_auc"]
    assert ours["hit_at_1"] > 0.95 * truth["hit_at_1"]
    assert ours["log_loss"] < 1.05 * truth["log_loss"]


def test_the_model_is_calibrated(trained: Trained) -> None:
    assert 0.9 < trained.card.metrics["mean_prediction_over_base"] < 1.1
    assert trained.card.metrics["calibration_error"] < 0.015


def test_the_same_history_and_seed_give_the_same_files(trained: Trained, tmp_path: Path) -> None:
    train(trained.shop.history, ORDER, out=tmp_path, created_at=NOON)

    for name in (MODEL_FILE, CARD_FILE):
        assert (tmp_path / name).read_bytes() == (trained.folder / name).read_bytes(), name
    assert {path.name for path in tmp_path.iterdir()} == {MODEL_FILE, CARD_FILE}


def test_the_card_describes_the_model_beside_it(trained: Trained) -> None:
    card = card_from_json((trained.folder / CARD_FILE).read_text())

    assert card == trained.card
    assert card.model_sha256 == sha256((trained.folder / MODEL_FILE).read_bytes()).hexdigest()
    assert card.version == f"logistic-{card.model_sha256[:12]}"
    assert (card.features, card.encoding_version) == (FEATURE_NAMES, ENCODING_VERSION)
    assert (card.created_at, card.seed, card.data_sha256) == (NOON, DEFAULT_SEED, digest(trained.shop.history))
    assert set(card.libraries) == {"python", "numpy", "scikit-learn", "skops"}


def test_the_card_of_a_linear_model_holds_its_weights(trained: Trained) -> None:
    assert trained.card.linear is not None
    assert len(trained.card.linear.weights) == len(trained.card.features)


def test_trees_can_be_trained_too(trained: Trained, tmp_path: Path) -> None:
    name = ModelName.HIST_GRADIENT_BOOSTING
    card = train(trained.shop.history, replace(ORDER, name=name), out=tmp_path, created_at=NOON)

    assert card.version.startswith(f"{name}-")
    assert card.linear is None
    assert card.trees_sha256 == sha256((tmp_path / TREES_FILE).read_bytes()).hexdigest()
    assert card.metrics["roc_auc"] > card.baselines["popularity"]["roc_auc"] + 0.04
    assert load_model(tmp_path).card == card


def test_the_threshold_is_the_base_rate_and_the_card_says_why(trained: Trained) -> None:
    assert trained.card.threshold == pytest.approx(trained.card.fit.positives / trained.card.fit.rows, abs=5e-5)
    assert "redeemed" in trained.card.threshold_reason


def test_every_stage_is_reported(trained: Trained) -> None:
    words = [line.split(" ")[1] for line in trained.lines]
    assert words == ["coupons", "calibration", "ROC-AUC", "ROC-AUC", "ROC-AUC", str(trained.card.threshold) + ":"]


def test_the_shipped_model_is_what_training_makes_of_the_shipped_shop(trained: Trained) -> None:
    shipped = card_from_json((SHIPPED / CARD_FILE).read_text())

    assert shipped.data_sha256 == trained.card.data_sha256
    assert shipped.threshold == trained.card.threshold
    assert shipped.metrics == pytest.approx(trained.card.metrics, abs=1e-4)


def test_most_customers_get_an_offer_with_the_shipped_data_and_threshold(trained: Trained, split: Split) -> None:
    model = fit(split, ORDER, Silent()).model
    catalogue, customers = Catalogue(trained.shop.coupons), customer_matrix(trained.shop.contexts)
    best: list[float] = []
    for department in DOCUMENTED_DEPARTMENTS:
        coupons = catalogue.screening(department, date(2026, 11, 21)).features
        pairs = encode(customers.repeat(len(coupons), axis=0), np.tile(coupons, (len(customers), 1)))
        scores: Floats = model.predict_proba(pairs)[:, 1].reshape(len(customers), len(coupons))
        best.extend(scores.max(axis=1))

    assert np.mean(np.array(best) > trained.card.threshold) >= 0.9


def test_parts_follow_each_other_in_time_and_every_outcome_is_known_at_the_cut(rows: Rows, split: Split) -> None:
    windows = [part.window for part in (split.fit, split.calibration, split.validation)]

    for earlier, later in pairwise(windows):
        assert (later.first_day - earlier.last_day).days > OUTCOME_DAYS
    assert windows[0].first_day >= rows.window.first_day + timedelta(WARM_UP_DAYS)
    assert windows[-1].last_day == rows.window.last_day - timedelta(OUTCOME_DAYS)


def test_training_rows_see_nothing_of_the_future(trained: Trained, rows: Rows) -> None:
    history, cut = trained.shop.history, np.datetime64("2025-03-01")
    late_use = history.issues.redeemed_on >= cut
    late_purchase = history.purchases.day >= cut
    changed = replace(
        history,
        issues=replace(history.issues, redeemed_on=np.where(late_use, NEVER, history.issues.redeemed_on)),
        purchases=replace(
            history.purchases, price=np.where(late_purchase, history.purchases.price * 3, history.purchases.price)
        ),
    )

    early = rows.day <= cut
    assert (make_rows(changed).features[early] == rows.features[early]).all()


def test_training_encodes_as_serving_does(trained: Trained, rows: Rows) -> None:
    history = trained.shop.history
    for row in range(0, len(rows), len(rows) // 50):
        customer, day = rows.customer[row : row + 1], rows.day[row : row + 1]
        context = contexts_as_of(history, customer, day)
        served = encode(customer_matrix(context), coupon_matrix(history.coupons))[rows.coupon[row]]
        assert np.abs(served - rows.features[row]).max() == 0


def test_a_model_that_promises_too_much_is_calibrated_on_the_months_after(split: Split) -> None:
    kept = np.random.default_rng(1).random(len(split.calibration)) < 0.5
    fewer = replace(split.calibration, is_redeemed=split.calibration.is_redeemed & kept)

    plain, mended = fit(split, ORDER, Silent()), fit(replace(split, calibration=fewer), ORDER, Silent())

    assert (plain.is_calibrated, mended.is_calibrated) == (False, True)
    assert predict(plain.model, fewer).mean() / fewer.base_rate > 1.5
    assert predict(mended.model, fewer).mean() / fewer.base_rate == pytest.approx(1, abs=0.05)


def test_hit_at_one_counts_decisions_that_offered_a_choice() -> None:
    decided = small_rows(decision=[0, 0, 1, 1, 2, 2, 3, 3], is_redeemed=[1, 0, 0, 1, 1, 1, 0, 0])
    scores = np.array([0.9, 0.1, 0.8, 0.2, 0.5, 0.4, 0.5, 0.4])

    metrics = measure(judge(decided, scores, 0))

    assert (metrics["decisions"], metrics["hit_at_1"], metrics["hit_at_1_by_chance"]) == (2, 0.5, 0.5)


def test_hit_at_one_is_zero_where_no_decision_offered_a_choice() -> None:
    metrics = measure(judge(small_rows(decision=[0, 1], is_redeemed=[1, 0]), np.array([0.5, 0.5]), 0))

    assert (metrics["decisions"], metrics["hit_at_1"]) == (0, 0)


def test_calibration_error_is_the_mean_gap_between_promise_and_outcome() -> None:
    observed = small_rows(decision=[0] * 300, is_redeemed=[1, 0, 0] * 100)

    right, wrong = (measure(judge(observed, np.full(300, each), 0)) for each in (1 / 3, 0.9))

    assert right["calibration_error"] < wrong["calibration_error"] == pytest.approx(0.9 - 1 / 3)


def test_popularity_knows_better_and_worse_coupons_and_stays_near_the_base_rate_for_unknown_ones() -> None:
    known = replace(
        small_rows(decision=[0] * 200, is_redeemed=[1] * 40 + [0] * 160),
        coupon=np.repeat([0, 1], 100),
    )
    asked = replace(small_rows(decision=[5, 5, 5], is_redeemed=[0, 0, 0]), coupon=np.array([0, 1, 2]))

    loved, ignored, unknown = popularity(known, asked)

    assert loved > known.base_rate > ignored
    assert unknown == pytest.approx(known.base_rate)


def test_a_card_comes_back_from_json_as_it_was(trained: Trained) -> None:
    assert card_from_json(card_to_json(trained.card)) == trained.card


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("threshold", 1.5, "no probability"),
        ("threshold", "NaN", "no probability"),
        ("threshold", 10**400, "not made of plain fields"),
        ("features", None, "another kind"),
        ("fit", {"rows": "many", "positives": 1}, "another kind"),
        ("metrics", [], "another kind"),
        ("created_at", "yesterday", "isoformat"),
        ("linear", [1.0], "another kind"),
        ("linear", {"intercept": "one", "weights": []}, "another kind"),
        ("linear", {"intercept": 1.0, "weights": [1.0]}, "weights, all of them finite"),
        ("linear", {"intercept": 1.0}, "says nothing of 'weights'"),
    ],
)
def test_a_card_with_a_wrong_field_is_refused(trained: Trained, field: str, value: object, why: str) -> None:
    fields = json.loads(card_to_json(trained.card)) | {field: value}

    with pytest.raises(ValueError, match=why):
        card_from_json(json.dumps(fields))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "no JSON object"),
        ("{}", "says nothing of 'name'"),
        ("{", "line 1"),
        ("[" * 200_000, "not made of plain fields"),
    ],
)
def test_what_is_no_card_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        card_from_json(text)


def test_a_card_cannot_hold_what_json_has_no_form_for(trained: Trained) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        card_to_json(replace(trained.card, metrics={"roc_auc": float("nan")}))
