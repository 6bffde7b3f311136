"""An evaluation: figures with intervals, slices, baselines and curves; written as JSON, SVG and one page of HTML."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.domain.features import Floats
from app.errors import DatasetRefused
from app.training import curves
from app.training.curves import Points
from app.training.metrics import Figures, Interval, Judged, intervals, measure

EVALUATION_FILE, PREDICTIONS_FILE, REPORT_FILE = "evaluation.json", "predictions.npz", "report.html"
LEAST_ROWS_OF_A_SLICE = 50

Slices = Mapping[str, Mapping[str, NDArray[np.bool_]]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found. `slices` maps what the rows were parted by to the figures of each part.

    `importance` is the loss of ROC-AUC when a feature is shuffled; empty where nobody asked.
    """

    model: str
    data: str
    rows: int
    redeemed: int
    figures: Figures
    intervals: Mapping[str, Interval]
    baselines: Mapping[str, Figures]
    slices: Mapping[str, Mapping[str, Figures]]
    curves: Mapping[str, Points]
    importance: Mapping[str, float]
    cost_over_value: float


def evaluate(
    judged: Judged,
    *,
    model: str,
    data: str,
    slices: Slices,
    baselines: Mapping[str, Floats],
    importance: Mapping[str, float],
    cost_over_value: float,
) -> Evaluation:
    """Measure everything; `baselines` are predictions of the same rows.

    Raises DatasetRefused unless some rows were redeemed and some were not.
    """
    redeemed = int(judged.is_redeemed.sum())
    if not 0 < redeemed < len(judged):
        raise DatasetRefused(f"of {len(judged):,} coupons {redeemed:,} were redeemed: figures need both kinds")
    return Evaluation(
        model=model,
        data=data,
        rows=len(judged),
        redeemed=redeemed,
        figures=measure(judged),
        intervals=intervals(judged),
        baselines={name: measure(_with(judged, predicted)) for name, predicted in baselines.items()},
        slices={by: _sliced(judged, parts) for by, parts in slices.items()},
        curves={
            "roc": curves.roc(judged),
            "precision_recall": curves.precision_recall(judged),
            "calibration": curves.calibration(judged),
            "gains": curves.gains(judged),
            "histogram": curves.histogram(judged),
            "expected_value": curves.expected_value(judged, cost_over_value),
        },
        importance=importance,
        cost_over_value=cost_over_value,
    )


def _with(judged: Judged, predicted: Floats) -> Judged:
    return Judged(judged.is_redeemed, predicted, judged.decision, judged.seed)


def _sliced(judged: Judged, parts: Mapping[str, NDArray[np.bool_]]) -> Mapping[str, Figures]:
    """Of each part that is large enough and has both kinds of rows."""
    found: dict[str, Figures] = {}
    for name, chosen in parts.items():
        part = judged.only(chosen)
        if len(part) >= LEAST_ROWS_OF_A_SLICE and 0 < part.is_redeemed.sum() < len(part):
            found[name] = {"rows": float(len(part)), **measure(part)}
    return found


def write_evaluation(evaluation: Evaluation, judged: Judged, folder: Path) -> None:
    """The figures, the predictions they are of, each plot with its points, and the report. Raises OSError.

    Raises DatasetRefused where what draws is not installed.
    """
    try:
        from app.training.plots import PLOTS, draw, draw_importance
        from app.training.report import report_page
    except ImportError as error:
        raise DatasetRefused(f"to draw plots: pip install -r requirements-training.txt ({error.name})") from error
    folder.mkdir(parents=True, exist_ok=True)
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    drawn = {name: draw(title, plot, evaluation.curves[name]) for name, (title, plot) in PLOTS.items()}
    points = dict(evaluation.curves)
    if evaluation.importance:
        drawn["importance"] = draw_importance(evaluation.importance)
        points["importance"] = {name: [loss] for name, loss in evaluation.importance.items()}
    for name, svg in drawn.items():
        (plots / f"{name}.svg").write_text(svg, encoding="utf-8")
        (plots / f"{name}.json").write_text(_json(points[name]), encoding="utf-8")
    (folder / EVALUATION_FILE).write_text(_json(asdict(evaluation)), encoding="utf-8")
    (folder / REPORT_FILE).write_text(report_page(evaluation, drawn), encoding="utf-8")
    np.savez_compressed(
        folder / PREDICTIONS_FILE,
        is_redeemed=judged.is_redeemed,
        probability=judged.probability,
        decision=judged.decision,
        seed=judged.seed,
    )


def read_predictions(folder: Path) -> Judged:
    """The predictions of an evaluation. Raises DatasetRefused where there are none that can be read."""
    path = folder / PREDICTIONS_FILE
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            judged = Judged(arrays["is_redeemed"], arrays["probability"], arrays["decision"], int(arrays["seed"]))
    except FileNotFoundError as error:
        raise DatasetRefused(f"{path} is not there: `python -m app evaluate {folder.parent}` writes it") from error
    except (BadZipFile, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, zlib.error) as error:
        raise DatasetRefused(f"{path} cannot be read: {error}") from error
    kinds = [(judged.is_redeemed, "b"), (judged.probability, "f"), (judged.decision, "i")]
    if any(array.shape != (len(judged.decision),) or array.dtype.kind != kind for array, kind in kinds):
        raise DatasetRefused(f"{path} holds other things than the predictions of an evaluation")
    known = judged.seed >= 0 and np.isfinite(judged.probability).all()
    if not known or not 0 < judged.is_redeemed.sum() < len(judged):
        raise DatasetRefused(f"{path} holds no predictions of both redeemed and other coupons")
    return judged


def _json(value: object) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


def summary(evaluation: Evaluation, names: Sequence[str]) -> list[str]:
    """Some figures with their intervals, and beside them those of the baselines: one line each."""
    lines = [f"{'':28}{'model':>10}{'95 % interval':>20}" + "".join(f"{name:>14}" for name in evaluation.baselines)]
    for name in names:
        low, high = evaluation.intervals[name]
        rivals = "".join(f"{figures[name]:>14.4f}" for figures in evaluation.baselines.values())
        interval = f"{low:.4f} to {high:.4f}"
        lines.append(f"{name:28}{evaluation.figures[name]:>10.4f}{interval:>20}{rivals}")
    return lines
