"""Draws the points of an evaluation as SVG; the same points give the same bytes."""

from collections.abc import Callable, Mapping
from io import StringIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.training.curves import Points

SIZE = 5.2, 3.6  # inches
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "recommendation-service",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
}
BLUE, ORANGE, GREY = "#1f5fa8", "#d9772b", "#777777"
MOST_FEATURES = 20


def draw(title: str, plot: Callable[[Axes, Points], None], points: Points) -> str:
    """One plot as SVG text."""
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        plot(axes, points)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _roc(axes: Axes, points: Points) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="chance")
    axes.plot(points["unredeemed_share"], points["redeemed_share"], color=BLUE, label="model")
    axes.set(xlabel="share of unredeemed coupons", ylabel="share of redeemed coupons", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="lower right")


def _precision_recall(axes: Axes, points: Points) -> None:
    axes.axhline(points["precision"][-1], color=GREY, linestyle=":", label="base rate")
    axes.plot(points["recall"], points["precision"], color=BLUE, label="model")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1))
    axes.legend(loc="upper right")


def _calibration(axes: Axes, points: Points) -> None:
    most = max(*points["mean_prediction"], *points["observed_rate"])
    axes.plot([0, most], [0, most], color=GREY, linestyle=":", label="calibrated")
    axes.plot(points["mean_prediction"], points["observed_rate"], "o-", color=BLUE, markersize=4, label="model")
    axes.set(xlabel="mean prediction", ylabel="observed rate")
    axes.legend(loc="upper left")


def _gains(axes: Axes, points: Points) -> None:
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="captured by chance")
    axes.plot(points["share"], points["captured"], color=BLUE, label="captured")
    axes.set(xlabel="share of coupons, best first", ylabel="share of all redemptions", xlim=(0, 1), ylim=(0, 1.02))
    other = axes.twinx()
    other.plot(points["share"], points["lift"], color=ORANGE, label="lift")
    other.set_ylabel("rate over base rate")
    other.set_ylim(bottom=0)
    other.grid(visible=False)
    lines = [*axes.get_lines(), *other.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="lower right")


def _histogram(axes: Axes, points: Points) -> None:
    axes.stairs(points["unredeemed"], points["edges"], color=GREY, fill=True, alpha=0.5, label="not redeemed")
    axes.stairs(points["redeemed"], points["edges"], color=BLUE, fill=True, alpha=0.7, label="redeemed")
    axes.set(xlabel="prediction", ylabel="coupons", yscale="log")
    axes.legend(loc="upper right")


def _expected_value(axes: Axes, points: Points) -> None:
    axes.axhline(0, color=GREY, linestyle=":")
    axes.plot(points["threshold"], points["value"], color=BLUE)
    axes.set(xlabel="threshold", ylabel="value per decision, in redemptions")


PLOTS: Mapping[str, tuple[str, Callable[[Axes, Points], None]]] = {
    "roc": ("ROC curve", _roc),
    "precision_recall": ("Precision and recall", _precision_recall),
    "calibration": ("Calibration", _calibration),
    "gains": ("Gains and lift", _gains),
    "histogram": ("Predictions", _histogram),
    "expected_value": ("Expected value of a threshold", _expected_value),
}


def draw_importance(importance: Mapping[str, float]) -> str:
    """How much ROC-AUC is lost when a feature is shuffled: the features that matter most, as SVG text."""
    ranked = sorted(importance.items(), key=lambda item: -item[1])[:MOST_FEATURES][::-1]

    def bars(axes: Axes, points: Points) -> None:
        axes.barh([name for name, _ in ranked], points["loss"], color=BLUE)
        axes.set_xlabel("loss of ROC-AUC when shuffled")

    return draw("Features", bars, {"loss": [loss for _, loss in ranked]})
