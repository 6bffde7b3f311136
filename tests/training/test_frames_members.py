"""Each kind of model, and how an ensemble of them is put together."""

import numpy as np
import pytest

from app.domain.features import sigmoid
from app.training.ensemble import Fold, chosen, combined, fit_ensemble
from app.training.members import KINDS, LEAST_OTHERS, Features, Labels, Sample

QUICK = 0.05


@pytest.fixture(scope="module")
def rare() -> tuple[Features, Labels]:
    """More unredeemed rows than a sample takes, and one feature in five that says something."""
    rng = np.random.default_rng(4)
    features = rng.normal(size=(2 * LEAST_OTHERS, 5)).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    return features, rng.random(len(features)) < 0.005 * np.exp(np.nan_to_num(features[:, 0]).clip(-3, 2))


def test_a_sample_holds_all_redeemed_rows_and_knows_how_many_others_it_lacks(rare: tuple[Features, Labels]) -> None:
    _, is_redeemed = rare
    sample = Sample.of(is_redeemed, 1)
    redeemed = int(is_redeemed.sum())
    others = len(sample.rows) - redeemed
    assert is_redeemed[sample.rows].sum() == redeemed
    assert others < (~is_redeemed).sum()
    assert np.isclose(sample.excess, np.log((~is_redeemed).sum() / others))


@pytest.mark.parametrize("name", KINDS)
def test_probabilities_are_those_of_all_rows_and_each_row_s_own(name: str, rare: tuple[Features, Labels]) -> None:
    features, is_redeemed = rare
    member = KINDS[name](features, is_redeemed, 7, QUICK)
    odds = member.log_odds(features)
    order = np.random.default_rng(9).permutation(len(features))
    assert 0.8 < sigmoid(odds).mean() / is_redeemed.mean() < 1.25
    assert np.array_equal(member.log_odds(features[order]), odds[order])
    assert np.array_equal(KINDS[name](features, is_redeemed, 7, QUICK).log_odds(features), odds)


def test_the_mean_of_members_does_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(2)
    odds = {name: rng.normal(-4, 1, 999) for name in KINDS}
    order = rng.permutation(999)
    turned = combined({name: one[order] for name, one in odds.items()})
    assert np.array_equal(turned, combined(odds)[order])


def test_members_that_say_nothing_wrong_all_stay_and_one_that_is_surely_wrong_leaves() -> None:
    rng = np.random.default_rng(3)
    truth = rng.normal(-1, 1.5, 4000)
    labels = rng.random(4000) < sigmoid(truth)
    good = {name: truth + rng.normal(0, 0.3, 4000) for name in KINDS}
    assert chosen([good], [labels]) == list(KINDS)
    assert chosen([good | {"extra_trees": -truth}], [labels]) == ["logistic", "boosting"]


def test_without_any_fold_all_members_are_fitted() -> None:
    rng = np.random.default_rng(6)
    features = rng.random((60, 3)).astype(np.float32)
    is_redeemed = features[:, 0] > 0.5
    one_kind = Fold(np.flatnonzero(is_redeemed), np.flatnonzero(~is_redeemed))
    assert list(fit_ensemble(features, is_redeemed, [one_kind], 7, QUICK).members) == list(KINDS)
