"""Features of a row hold nothing of the day it was offered on, nor of later ones."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from app.training.cells import NO_DAY
from app.training.frame_features import MOST_DAYS, FrameFeatures, looked_up
from app.training.frame_trainer import MOST_FOLDS, folds_by_customer, folds_in_time
from app.training.frames import first_days, last_days
from tests.training.small_retailer import CAMPAIGNS, LONG, rows, tables

Tables = dict[str, pd.DataFrame]


def of_campaign(offers: pd.DataFrame, known: Tables, campaign: int) -> np.ndarray:
    return FrameFeatures(offers, known).design[(offers["campaign_id"] == campaign).to_numpy()]


def other_labels(offers: pd.DataFrame, known: Tables, day: pd.Timestamp) -> tuple[pd.DataFrame, Tables]:
    is_open = offers["end_date"] >= day
    return offers.assign(y=np.where(is_open, 1 - offers["y"], offers["y"])), known


def other_purchases(offers: pd.DataFrame, known: Tables, day: pd.Timestamp) -> tuple[pd.DataFrame, Tables]:
    table = known["transactions"].copy()
    later = table["transaction_timestamp"] >= day
    table.loc[later, "customer_id"] = 39 - table.loc[later, "customer_id"]
    table.loc[later, "sales_value"] = 1000.0
    return offers, {**known, "transactions": table}


def no_later_purchases(offers: pd.DataFrame, known: Tables, day: pd.Timestamp) -> tuple[pd.DataFrame, Tables]:
    table = known["transactions"]
    return offers, {**known, "transactions": table[table["transaction_timestamp"] < day]}


def no_later_redemptions(offers: pd.DataFrame, known: Tables, day: pd.Timestamp) -> tuple[pd.DataFrame, Tables]:
    table = known["redemptions"]
    return offers, {**known, "redemptions": table[table["redemption_date"] < day]}


@pytest.mark.parametrize("change", [other_labels, other_purchases, no_later_purchases, no_later_redemptions])
@pytest.mark.parametrize("campaign", [1, CAMPAIGNS - 2])
@pytest.mark.parametrize("is_without_redemptions", [False, True])
def test_what_happens_on_the_first_day_or_later_leaves_the_features_as_they_are(
    change: Callable[[pd.DataFrame, Tables, pd.Timestamp], tuple[pd.DataFrame, Tables]],
    campaign: int,
    is_without_redemptions: bool,
) -> None:
    offers, known = rows(), tables()
    if is_without_redemptions and change is not no_later_redemptions:
        del known["redemptions"]
    day = offers.loc[offers["campaign_id"] == campaign, "start_date"].iloc[0]
    changed = change(offers, known, day)
    assert np.allclose(
        of_campaign(offers, known, campaign), of_campaign(*changed, campaign), rtol=1e-6, atol=0, equal_nan=True
    )


def test_labels_of_campaigns_that_had_ended_do_change_the_features() -> None:
    offers, known = rows(), tables()
    changed = offers.assign(y=np.where(offers["campaign_id"] == 0, 0, offers["y"]))
    assert not np.allclose(of_campaign(offers, known, 3), of_campaign(changed, known, 3), equal_nan=True)


def test_labels_of_a_campaign_without_a_last_day_are_known_after_the_usual_days() -> None:
    one = pd.DataFrame({"start_date": pd.to_datetime(pd.Series(["2026-01-05", None]))})
    assert (last_days(one) - first_days(one)).tolist() == [30, 0]
    assert first_days(one)[1] == NO_DAY


def test_the_past_is_looked_up_on_few_days_and_never_on_a_later_one() -> None:
    day = np.append(np.arange(1000, 2000), NO_DAY)
    found = looked_up(day)
    assert len(np.unique(found)) <= MOST_DAYS + 1
    assert (found <= day).all()
    assert found[-1] == NO_DAY


def test_folds_look_at_offers_that_began_after_all_that_is_known_had_ended() -> None:
    offers = rows()
    start, end = first_days(offers), last_days(offers)
    folds = folds_in_time(start, end, offers["y"].to_numpy() > 0)
    assert 1 < len(folds) <= MOST_FOLDS
    assert all(end[fold.known].max() < start[fold.later].min() for fold in folds)
    assert start[folds[-1].later].max() == start.max()


def test_there_are_few_folds_of_many_days() -> None:
    start = np.repeat(np.arange(0, 50 * LONG, LONG), 20)
    folds = folds_in_time(start, start + 5, np.arange(len(start)) % 2 == 0)
    assert len(folds) == MOST_FOLDS


def test_without_enough_redemptions_before_any_offer_there_are_no_folds_in_time() -> None:
    offers = rows()
    assert not folds_in_time(first_days(offers), last_days(offers), np.arange(len(offers)) < 10)


def test_folds_of_undated_rows_have_no_customer_on_both_sides() -> None:
    offers = rows().drop(columns=["start_date", "end_date"])
    folds = folds_by_customer(offers)
    people = offers["customer_id"].to_numpy()
    assert len(folds) > 1
    assert all(not np.intersect1d(people[fold.known], people[fold.later]).size for fold in folds)
