"""What a model must show, and where a roll back leads."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.registry import Alias, AliasChange, Change, before, flaw, objections
from tests.builders import NOW
from tests.small_models import SmallModel

CHAMPION = Alias.CHAMPION


def history(*moves: str | None) -> list[AliasChange]:
    """Changes of the champion, a second apart; `<a` is a roll back to a."""
    found = []
    for index, move in enumerate(moves):
        version = (move or "").removeprefix("<") or None
        change = Change(CHAMPION, version, "ada", "", is_rollback=(move or "").startswith("<"))
        found.append(AliasChange(NOW + timedelta(seconds=index), change))
    return found


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        (["a"], None),
        (["a", "b"], "a"),
        (["a", "a"], None),
        (["a", "b", "c", "<b"], "a"),
        (["a", "b", "c", "<b", "<a"], None),
        (["a", "b", "<a", "c"], "a"),
        (["a", "b", "<a", "<a"], None),
        (["a", "b", "a"], "b"),
        (["a", None], "a"),
    ],
)
def test_each_roll_back_goes_one_further_back(moves: list[str | None], expected: str | None) -> None:
    assert before(history(*moves), CHAMPION) == expected


@pytest.mark.parametrize("moves", [[], ["a", "<"], [None]])
def test_where_an_alias_named_nothing_else_there_is_nothing_to_roll_back_to(moves: list[str | None]) -> None:
    with pytest.raises(LookupError):
        before(history(*moves), CHAMPION)


def test_another_alias_has_a_past_of_its_own() -> None:
    changes = [*history("a", "b"), AliasChange(NOW, Change(Alias.SHADOW, "c", "ada", ""))]

    assert before(changes, CHAMPION) == "a"
    assert before(changes, Alias.SHADOW) is None


def test_a_model_may_fall_behind_the_champion_as_far_as_chance_explains(
    small_model: SmallModel, other_model: SmallModel
) -> None:
    low, _ = small_model.card.intervals["roc_auc"]
    behind = replace(small_model.card, metrics={**small_model.card.metrics, "roc_auc": low})

    assert objections(behind, small_model.card) == []
    assert objections(small_model.card, None) == []


@pytest.mark.parametrize(
    ("worse", "words"),
    [
        ({"roc_auc": 0.51}, "ROC-AUC is 0.5100, below the 0.6000 to 0.7000 of the champion"),
        ({"pr_auc_over_base_rate": 1.0}, "PR-AUC over the base rate is 1.0000, below the"),
        ({"log_loss_over_that_of_base_rate": 1.2}, "log-loss over that of the base rate is 1.2000, above the"),
    ],
)
def test_a_model_that_falls_behind_is_told_by_figures(
    small_model: SmallModel, worse: Mapping[str, float], words: str
) -> None:
    card = small_model.card
    champion = replace(card, intervals={**card.intervals, "roc_auc": (0.6, 0.7)})

    (found,) = objections(replace(card, metrics={**card.metrics, "roc_auc": 0.65, **worse}), champion)

    assert found.startswith(words)


def test_figures_that_are_missing_are_no_good_ones(small_model: SmallModel) -> None:
    card = small_model.card

    assert objections(replace(card, metrics={}), card)[0] == "ROC-AUC is not on its card"
    assert objections(card, replace(card, intervals={}))[0] == "ROC-AUC is not on the card of the champion"


def test_a_card_that_training_wrote_has_no_flaw(small_model: SmallModel) -> None:
    assert flaw(small_model.card) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../../etc"},
        {"name": "a\x1b[2J"},
        {"name": ""},
        {"name": "x" * 65},
        {"version": "logistic-2"},
        {"version": "/etc/passwd"},
        {"model_sha256": "0"},
        {"self_check": ()},
        {"intended_use": "\x1b]0;title\x07"},
        {"limits": ("a\nb",)},
        {"libraries": {"numpy\x00": "2"}},
        {"metrics": {"roc\u202eauc": 0.5}},
    ],
)
def test_a_card_that_would_mislead_whoever_reads_it_is_refused(
    small_model: SmallModel, changes: dict[str, Any]
) -> None:
    assert flaw(replace(small_model.card, **changes)) is not None
