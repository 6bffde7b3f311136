"""What `python -m benchmarks.quality` writes, and what it says where the public data are not there."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.errors import DatasetRefused
from app.training.metrics import Judged
from app.training.plots import PLOTS
from benchmarks.quality import write
from benchmarks.quality_rivals import CANDIDATE, CEILING, Contest
from benchmarks.quality_tasks import PUBLIC


@pytest.mark.parametrize("task", PUBLIC)
def test_without_the_public_data_it_is_said_where_they_come_from(task: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused, match=r"is not there. .* docs/models.md says where they come from"):
        PUBLIC[task](tmp_path)


def test_figures_of_all_scorers_are_written_with_intervals_and_plots_of_the_candidate(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    probability, decision = rng.random(400), np.repeat(np.arange(40), 10)
    is_redeemed = rng.random(400) < probability
    predictions = {
        CANDIDATE: Judged(is_redeemed, np.clip(probability + rng.normal(0, 0.2, 400), 0, 1), decision, 7),
        CEILING: Judged(is_redeemed, probability, decision, 7),
    }
    write("small", Contest("400 test rows, some redeemed", 1000, 100, 1.0, predictions), tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    low, high = results["intervals"][CANDIDATE]["hit_at_1"]
    assert low <= results["figures"][CANDIDATE]["hit_at_1"] <= high
    assert results["points"].keys() == PLOTS.keys()
    assert all((tmp_path / f"{name}.svg").read_text().startswith("<?xml") for name in PLOTS)
    text = (tmp_path / "results.md").read_text()
    assert "| candidate |" in text
    assert "The candidate reaches of the generator's own true probabilities: PR-AUC" in text
