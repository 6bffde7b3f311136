"""`python -m app train`, `package`, `evaluate` and `compare`, as people type them."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner, Result

from app.adapters.history_store import HISTORY_FILE, save_history
from app.adapters.model_check import try_model
from app.adapters.scorer_sklearn import load_model
from app.cli import cli
from app.datagen.generate import generate
from app.domain.features import FEATURE_NAMES
from app.domain.history import History
from app.domain.model_card import CARD_FILE, MODEL_FILE, card_from_json
from app.errors import ServiceError
from app.training.evaluation import EVALUATION_FILE, PREDICTIONS_FILE, REPORT_FILE
from tests.small_models import rows as random_rows
from tests.training.histories import never_issued, nothing_bought, redeemed_always, redeemed_never, some_issues

PROJECT = Path(__file__).parents[1]
PATIENCE_SECONDS = 120
LAST_DAYS = "2025-08-01"
PLOTS = ("roc", "precision_recall", "calibration", "gains", "histogram", "expected_value", "importance")


@dataclass(frozen=True)
class Runs:
    """Two models of one history, each evaluated."""

    data: Path
    logistic: Path
    trees: Path
    said: str


def invoke(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def done(*arguments: str | Path) -> str:
    result = invoke(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(*arguments: str | Path) -> str:
    """The sentence that it ends with."""
    result = invoke(*arguments)
    assert isinstance(result.exception, ServiceError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def history() -> History:
    return generate(7, customers=150, products=60, coupons=60).history


@pytest.fixture(scope="module")
def runs(history: History, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("training")
    data, logistic, trees = folder / "data", folder / "logistic", folder / "trees"
    data.mkdir()
    save_history(history, data / HISTORY_FILE)
    said = done("train", "--data", data, "--out", logistic, "--seed", "3", "--licence", "ours", "--offer-cost", "0.08")
    done("train", "--data", data, "--out", trees, "--model", "hist_gradient_boosting", "--seed", "3")
    for run in (logistic, trees):
        done("evaluate", run, "--data", data)
    return Runs(data, logistic, trees, said)


class Page(HTMLParser):
    """What a page asks for from elsewhere, and the text of its headings and cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = [value or "" for name, value in attrs if name in ("src", "href")]
        self.asked += [address for address in found if not address.startswith("#")]


def test_training_tells_how_the_model_does_beside_its_baselines_and_what_to_do_next(runs: Runs) -> None:
    assert all(f"\n{name}: ROC-AUC" in runs.said for name in ("popularity", "logistic"))
    assert f"`python -m app model register {runs.logistic}`" in runs.said


def test_the_order_stands_on_the_card(runs: Runs) -> None:
    card = card_from_json((runs.logistic / CARD_FILE).read_text())

    assert (card.seed, card.data_licence, card.threshold) == (3, "ours", 0.08)
    assert "0.08" in card.threshold_reason or "8.0%" in card.threshold_reason
    assert set(card.baselines) == {"popularity", "logistic"}
    assert card.intervals["roc_auc"][0] <= card.metrics["roc_auc"] <= card.intervals["roc_auc"][1]


@pytest.mark.parametrize("name", ["logistic", "trees"])
def test_an_evaluation_is_one_page_with_every_plot_and_its_points(runs: Runs, name: str) -> None:
    folder = getattr(runs, name) / "evaluation"
    page = Page((folder / REPORT_FILE).read_text())
    drawn = {path.stem for path in (folder / "plots").glob("*.svg")}

    assert all(address.startswith("data:image/svg+xml;base64,") for address in page.asked)
    assert (len(page.asked), "table" in page.tags) == (len(PLOTS), True)
    assert not page.tags & {"script", "iframe", "link"}
    assert drawn == set(PLOTS)
    for plot in drawn:
        assert ElementTree.parse(folder / "plots" / f"{plot}.svg").getroot().tag.endswith("svg")
        assert json.loads((folder / "plots" / f"{plot}.json").read_text())


def test_an_evaluation_has_figures_by_department_gender_and_age_with_intervals_of_the_whole(runs: Runs) -> None:
    found = json.loads((runs.logistic / "evaluation" / EVALUATION_FILE).read_text())

    assert set(found["slices"]) == {"department", "gender", "age"}
    assert {"F", "M"} <= set(found["slices"]["gender"])
    assert sum(one["rows"] for one in found["slices"]["department"].values()) == found["rows"]
    for name, (low, high) in found["intervals"].items():
        assert low <= high, name
    assert set(found["baselines"]) == {"popularity", "logistic"}


def test_the_same_run_gives_the_same_bytes_again(runs: Runs, tmp_path: Path) -> None:
    again = tmp_path / "again"
    done("train", "--data", runs.data, "--out", again, "--seed", "3", "--licence", "ours", "--offer-cost", "0.08")
    done("evaluate", again, "--data", runs.data)

    first, second = (card_from_json((run / CARD_FILE).read_text()) for run in (runs.logistic, again))
    assert (first.version, first.metrics, first.intervals) == (second.version, second.metrics, second.intervals)
    for file in (EVALUATION_FILE, PREDICTIONS_FILE, REPORT_FILE, *(f"plots/{name}.svg" for name in PLOTS)):
        assert (again / "evaluation" / file).read_bytes() == (runs.logistic / "evaluation" / file).read_bytes(), file


def test_two_runs_are_compared_figure_by_figure_on_the_same_coupons(runs: Runs) -> None:
    lines = done("compare", runs.logistic, runs.trees).splitlines()

    (roc,) = [line for line in lines if line.startswith("roc_auc")]
    assert "is better" in roc or "chance explains it" in roc
    (itself,) = [line for line in done("compare", runs.trees, runs.trees).splitlines() if line.startswith("roc_auc")]
    assert "0.0000 to 0.0000" in itself
    assert "chance explains it" in itself


def test_runs_of_different_coupons_are_not_compared(runs: Runs, history: History, tmp_path: Path) -> None:
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    save_history(some_issues(history, np.arange(len(history.issues.day)) % 5 > 0), fewer / HISTORY_FILE)
    done("train", "--data", fewer, "--out", tmp_path / "other")
    done("evaluate", tmp_path / "other", "--data", fewer)

    assert "evaluated on different coupons" in refused("compare", runs.logistic, tmp_path / "other")


def test_what_was_not_evaluated_is_not_compared(runs: Runs, tmp_path: Path) -> None:
    assert f"`python -m app evaluate {tmp_path}` writes it" in refused("compare", runs.logistic, tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole, path: path.write_bytes(path.read_bytes()[:-100]),
        lambda whole, path: np.savez(path, **{**whole, "seed": np.array([1, 2])}),
        lambda whole, path: np.savez(path, **{**whole, "seed": -1}),
        lambda whole, path: np.savez(path, **{**whole, "decision": np.array([{}])}),
        lambda whole, path: np.savez(path, **{**whole, "decision": whole["decision"][1:]}),
        lambda whole, path: np.savez(path, **{**whole, "probability": whole["probability"] * np.nan}),
        lambda whole, path: np.savez(path, **{**whole, "is_redeemed": whole["is_redeemed"] & False}),
    ],
)
def test_predictions_that_are_damaged_are_not_compared(
    runs: Runs, tmp_path: Path, spoil: Callable[[dict[str, np.ndarray], Path], object]
) -> None:
    path = tmp_path / "evaluation" / PREDICTIONS_FILE
    path.parent.mkdir()
    path.write_bytes((runs.logistic / "evaluation" / PREDICTIONS_FILE).read_bytes())
    with np.load(path) as arrays:
        whole = dict(arrays)
    spoil(whole, path)

    assert str(path) in refused("compare", runs.logistic, tmp_path)


def test_a_run_with_a_card_that_is_none_or_a_model_that_is_none_is_not_evaluated(runs: Runs, tmp_path: Path) -> None:
    card, model = (runs.logistic / CARD_FILE).read_text(), b"no model"
    (tmp_path / CARD_FILE).write_text("[" * 200_000)
    (tmp_path / MODEL_FILE).write_bytes(model)
    assert "is no model card" in refused("evaluate", tmp_path, "--data", runs.data)

    digest = card_from_json(card).model_sha256
    (tmp_path / CARD_FILE).write_text(card.replace(digest, sha256(model).hexdigest()))
    assert refused("evaluate", tmp_path, "--data", runs.data)


@pytest.mark.parametrize("seed", ["-1", str(2**32)])
def test_a_seed_that_nothing_can_be_drawn_with_is_a_wrong_option(runs: Runs, tmp_path: Path, seed: str) -> None:
    assert invoke("train", "--data", runs.data, "--out", tmp_path, "--seed", seed).exit_code == 2


def test_a_card_is_shown_in_plain_lines(runs: Runs) -> None:
    shown = done("model", "card", runs.logistic)

    card = card_from_json((runs.logistic / CARD_FILE).read_text())
    for fact in (card.version, card.model_sha256, card.data_sha256, card.intended_use, "ours", "95 % interval", "ndcg"):
        assert fact in shown, fact


def test_a_classifier_of_ones_own_is_measured_on_what_came_after_and_can_be_served(runs: Runs, tmp_path: Path) -> None:
    table, file, run = tmp_path / "rows.csv", tmp_path / "forest.skops", tmp_path / "forest"
    done("history", "rows", runs.data, table, "--as-of", LAST_DAYS)
    with table.open(newline="") as opened:
        known = list(csv.DictReader(opened))
    features = np.array([[float(row[name]) for name in FEATURE_NAMES] for row in known])
    labels = np.array([int(row["is_redeemed"]) for row in known])
    skops.io.dump(RandomForestClassifier(10, min_samples_leaf=20, random_state=1).fit(features, labels), file)
    said = done("package", file, "--learnt-until", LAST_DAYS, "--data", runs.data, "--name", "forest", "--out", run)

    card = load_model(run).card
    assert card.version.startswith("forest-")
    assert card.version in said
    assert (card.linear, card.trees_sha256, card.calibration) == (None, None, None)
    assert str(card.validation.first_day) >= LAST_DAYS
    assert card.metrics["roc_auc"] > 0.6
    shown = try_model(run)
    assert (shown.parity, shown.self_check) == (0, 0)
    assert "made elsewhere" in done("model", "card", run)


@pytest.mark.parametrize("name", ["", "my model", "-forest", "a" * 65])
def test_a_name_that_the_registry_would_refuse_is_refused_before_anything_is_measured(
    runs: Runs, tmp_path: Path, name: str
) -> None:
    rest = ("--learnt-until", LAST_DAYS, "--data", runs.data, f"--name={name}")
    result = invoke("package", tmp_path / "forest.skops", *rest)

    assert result.exit_code == 2
    assert "1 to 64 letters" in result.output


def test_what_came_later_without_a_redemption_cannot_be_measured(runs: Runs, history: History, tmp_path: Path) -> None:
    first_day = np.datetime64(card_from_json((runs.logistic / CARD_FILE).read_text()).validation.first_day)
    days = (history.issues.day - first_day).astype(np.int64)
    kept = (days < 0) | ((days < 25) & ~history.issues.is_redeemed)
    save_history(some_issues(history, kept), tmp_path / HISTORY_FILE)

    assert "0 were redeemed: figures need both kinds" in refused("evaluate", runs.logistic, "--data", tmp_path)


def test_what_is_no_classifier_of_these_features_is_not_packaged(runs: Runs, tmp_path: Path) -> None:
    file = tmp_path / "other.skops"
    skops.io.dump(RandomForestClassifier(1).fit([[0.0], [1.0]], [0, 1]), file)
    rest = ("--learnt-until", LAST_DAYS, "--data", runs.data)

    assert "fitted on 1 features" in refused("package", file, *rest)
    broken = LogisticRegression().fit(*random_rows())
    broken.coef_ = np.full_like(broken.coef_, np.nan)
    skops.io.dump(broken, file)
    assert "gives no probability" in refused("package", file, *rest)
    broken.coef_ = broken.coef_[:, :5]
    skops.io.dump(broken, file)
    assert "cannot score" in refused("package", file, *rest)
    file.write_bytes(b"no model")
    assert "damaged or no model" in refused("package", file, *rest)
    assert "cannot read" in refused("package", tmp_path / "missing", *rest)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (redeemed_never, "0 of them redeemed: it needs both kinds"),
        (redeemed_always, "of them redeemed: it needs both kinds"),
        (never_issued, "no coupon that was handed out"),
    ],
)
def test_a_history_with_nothing_to_learn_from_is_refused_and_nothing_is_written(
    history: History, tmp_path: Path, spoil: Callable[[History], History], sentence: str
) -> None:
    save_history(spoil(history), tmp_path / HISTORY_FILE)

    assert sentence in refused("train", "--data", tmp_path, "--out", tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_customers_without_a_history_and_coupons_without_products_are_learnt_from(
    history: History, tmp_path: Path
) -> None:
    save_history(nothing_bought(history), tmp_path / HISTORY_FILE)

    done("train", "--data", tmp_path, "--out", tmp_path / "model")
    assert load_model(tmp_path / "model").card.metrics["roc_auc"] > 0.55


def test_an_evaluation_needs_coupons_that_the_model_has_not_learnt_from(
    runs: Runs, history: History, tmp_path: Path
) -> None:
    early = some_issues(history, history.issues.day < np.datetime64("2025-01-01"))
    save_history(early, tmp_path / HISTORY_FILE)

    assert "has learnt from all of it" in refused("evaluate", runs.logistic, "--data", tmp_path)


@pytest.mark.parametrize("command", ["train", "evaluate", "package"])
def test_a_folder_without_a_history_ends_with_a_sentence_and_code_3(runs: Runs, tmp_path: Path, command: str) -> None:
    arguments = {
        "train": ("--out", tmp_path / "model"),
        "evaluate": (runs.logistic,),
        "package": (runs.logistic / "model.skops", "--learnt-until", LAST_DAYS),
    }[command]
    ended = subprocess.run(
        [sys.executable, "-m", "app", command, *map(str, arguments), "--data", str(tmp_path / "nowhere")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert ended.returncode == 3
    assert "`python -m app history import" in ended.stderr
    assert "Traceback" not in ended.stderr
