"""`python -m benchmarks.quality`: how well coupons are ranked and how true probabilities are, beside simple rivals.

For each task a folder in docs/models: results.md, results.json, plots of the candidate, and report.html.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.errors import DatasetRefused
from app.training.evaluation import evaluate
from app.training.metrics import Figures, Interval, intervals, measure
from app.training.plots import PLOTS, draw
from app.training.report import report_page
from benchmarks.quality_rivals import CANDIDATE, CEILING, Contest, on_frames, on_generated
from benchmarks.quality_tasks import PUBLIC
from tests.machine import machine

OUT = Path(__file__).parents[1] / "docs" / "models"
GENERATED = "generated"
TASKS = (*PUBLIC, GENERATED)
LIBRARIES = ("numpy", "pandas", "scikit-learn", "imbalanced-learn")
REFUSED = 3
HEADINGS = {
    "ROC-AUC": ("roc_auc", 3),
    "PR-AUC": ("pr_auc", 4),
    "log-loss": ("log_loss", 4),
    "ECE": ("calibration_error", 4),
    "mean pred / base": ("mean_prediction_over_base", 2),
    "lift@10 %": ("lift_of_top_tenth", 2),
    "hit@1": ("hit_at_1", 3),
    "hit@3": ("hit_at_3", 2),
    "MRR": ("reciprocal_rank", 3),
    "NDCG": ("ndcg", 3),
}


def main() -> int:
    """Exit code 3 where the public data are not there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"instead of all of them: {', '.join(TASKS)}")
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="folder with the public data")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="instead of docs/models")
    given = parser.parse_args()
    if unknown := set(given.tasks) - set(TASKS):
        parser.error(f"no such task: {', '.join(sorted(unknown))}; there are {', '.join(TASKS)}")
    for task in given.tasks or TASKS:
        print(f"{task}:", flush=True)
        try:
            contest = on_generated(_say) if task == GENERATED else on_frames(task, given.data, _say)
        except DatasetRefused as error:
            print(error, file=sys.stderr)
            return REFUSED
        write(task, contest, given.out / task)
        print((given.out / task / "results.md").read_text(), flush=True)
    return 0


def _say(text: str) -> None:
    print(f"  {text}", flush=True)


def write(task: str, contest: Contest, folder: Path) -> None:
    """The table, all figures with their intervals, the plots with their points, and the report. Raises OSError."""
    figures = {name: measure(judged) for name, judged in contest.predictions.items()}
    bounds = {name: intervals(judged) for name, judged in contest.predictions.items()}
    evaluation = evaluate(
        contest.predictions[CANDIDATE],
        model=f"Candidate, {task}",
        data=contest.data,
        slices={},
        baselines={name: one.probability for name, one in contest.predictions.items() if name != CANDIDATE},
        importance={},
        cost_over_value=figures[CANDIDATE]["base_rate"],
    )
    drawn = {name: draw(f"{title}, {task}", plot, evaluation.curves[name]) for name, (title, plot) in PLOTS.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in drawn.items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / "report.html").write_text(report_page(evaluation, drawn), encoding="utf-8")
    results: dict[str, Any] = {
        "task": task,
        "machine": machine(LIBRARIES),
        "train_rows": contest.train_rows,
        "train_redeemed": contest.train_redeemed,
        "cpu_seconds": round(contest.cpu_seconds, 1),
        "figures": figures,
        "intervals": bounds,
        "points": evaluation.curves,
    }
    (folder / "results.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "results.md").write_text(table(task, contest, figures, bounds), encoding="utf-8")


def table(
    task: str, contest: Contest, figures: Mapping[str, Figures], bounds: Mapping[str, Mapping[str, Interval]]
) -> str:
    """For people, in Markdown."""
    lines = [
        f"# {task}",
        "",
        f"{contest.train_rows:,} rows to learn from, {contest.train_redeemed:,} redeemed; {contest.data}, in "
        f"{figures[CANDIDATE]['decisions']:,.0f} decisions with a choice. Log-loss of the base rate: "
        f"{figures[CANDIDATE]['log_loss_of_base_rate']:.4f}; hit@1 by chance: "
        f"{figures[CANDIDATE]['hit_at_1_by_chance']:.3f}. The candidate was fitted in {contest.cpu_seconds:.0f} s "
        f"of CPU time ({machine(LIBRARIES)}).",
        "",
        f"| scorer | {' | '.join(HEADINGS)} | hit@1, 95 % interval |",
        "|---" * (len(HEADINGS) + 2) + "|",
    ]
    for name, found in figures.items():
        low, high = bounds[name]["hit_at_1"]
        cells = [f"{found[figure]:.{digits}f}" for figure, digits in HEADINGS.values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {low:.3f} to {high:.3f} |")
    if CEILING in figures:
        lines += ["", beside_ceiling(figures[CANDIDATE], figures[CEILING])]
    return "\n".join(lines) + "\n"


def beside_ceiling(candidate: Figures, ceiling: Figures) -> str:
    """How much of what can be known the candidate knows, in a sentence."""
    shares = (
        f"{title} {candidate[name] / ceiling[name]:.1%}"
        for title, name in (("PR-AUC", "pr_auc"), ("ROC-AUC", "roc_auc"), ("hit@1", "hit_at_1"))
    )
    gap = candidate["log_loss"] - ceiling["log_loss"]
    return f"The candidate reaches of the generator's own true probabilities: {', '.join(shares)}; log-loss {gap:+.4f}."


if __name__ == "__main__":
    sys.exit(main())
