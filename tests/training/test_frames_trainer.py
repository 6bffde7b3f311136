"""The trainer of data frames takes what there is, refuses what is wrong, and ranks what customers like first."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from app.errors import DatasetRefused
from app.training import train
from app.training.frame_features import FrameFeatures
from app.training.frame_trainer import Scorer, train_on_frames
from app.training.frames import KEYS
from tests.training.small_retailer import COUPONS, CUSTOMERS, parted

QUICK = 0.05
OPTIONAL = [(name, column) for name, table in parted()[2].items() for column in table if column not in KEYS[name]]
quickly = partial(train_on_frames, effort=QUICK)


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    known, _, tables = parted()
    return quickly(known, tables)


@pytest.fixture(scope="module")
def scores(scorer: Scorer) -> np.ndarray:
    return scorer(asked())


def asked() -> pd.DataFrame:
    return parted()[1].drop(columns="y")


def is_sound(found: np.ndarray, rows: pd.DataFrame) -> bool:
    return found.shape == (len(rows),) and bool(np.isfinite(found).all() and (found >= 0).all() and (found <= 1).all())


def test_what_a_customer_likes_is_ranked_first(scores: np.ndarray) -> None:
    later = parted()[1]
    assert roc_auc_score(later["y"], scores) > 0.75
    assert 0.7 < scores.mean() / later["y"].mean() < 1.4


def test_the_protocol_s_function_trains_on_few_rows_whatever_the_data_set_is_called() -> None:
    known, later, _ = parted()
    few = (known["customer_id"] < 12) & (known["campaign_id"] < 2)
    columns = ["group", "customer_id", "coupon_id", "y"]
    assert is_sound(train(known.loc[few, columns], {}, {"task": "anything"})(later[columns[:3]]), later)


def test_the_same_seed_gives_the_same_scores(scores: np.ndarray) -> None:
    known, _, tables = parted()
    assert np.array_equal(quickly(known, tables)(asked()), scores)


def test_scores_follow_the_rows_in_any_order_and_with_any_index(scorer: Scorer, scores: np.ndarray) -> None:
    order = np.random.default_rng(3).permutation(len(scores))
    assert np.array_equal(scorer(asked().iloc[order]), scores[order])
    assert np.array_equal(scorer(asked().set_index(np.zeros(len(scores)))), scores)


def test_scores_do_not_depend_on_labels_of_the_rows_to_be_scored(scorer: Scorer, scores: np.ndarray) -> None:
    assert np.array_equal(scorer(asked().assign(y=np.arange(len(scores)) % 2)), scores)


def test_the_order_of_the_lines_of_tables_is_no_matter(scores: np.ndarray) -> None:
    known, _, tables = parted()
    turned = {name: table.iloc[::-1] for name, table in tables.items()}
    assert np.allclose(quickly(known, turned)(asked()), scores, rtol=1e-6)


def test_ids_may_be_text_in_one_table_and_numbers_in_another(scores: np.ndarray) -> None:
    known, _, tables = parted()
    mixed = {
        name: table.astype({column: str for column in table if str(column).endswith("_id")})
        for name, table in tables.items()
        if name != "items"
    } | {"items": tables["items"].astype({"item_id": "float64"})}
    assert np.allclose(quickly(known, mixed)(asked().astype({"customer_id": str})), scores, rtol=1e-6)


def test_one_row_is_scored(scorer: Scorer) -> None:
    assert is_sound(scorer(asked()[:1]), asked()[:1])


def test_no_row_has_no_score(scorer: Scorer) -> None:
    assert scorer(asked()[:0]).shape == (0,)


def test_rows_of_which_nothing_was_ever_seen_are_scored(scorer: Scorer) -> None:
    strange = asked().assign(
        group="somebody", customer_id="somebody", coupon_id="new", campaign_id=None, campaign_type=7, start_date=None
    )
    strange["colour"] = [["red"]] * len(strange)
    assert is_sound(scorer(strange), strange)


@pytest.mark.parametrize("column", ["campaign_id", "campaign_type", "start_date", "end_date"])
def test_rows_to_be_scored_may_lack_optional_columns(scorer: Scorer, column: str) -> None:
    assert is_sound(scorer(asked().drop(columns=column)), asked())


def test_what_only_the_table_of_campaigns_says_is_taken_from_there(scores: np.ndarray) -> None:
    known, _, tables = parted()
    without = ["campaign_type", "start_date", "end_date"]
    assert np.allclose(quickly(known.drop(columns=without), tables)(asked().drop(columns=without)), scores, rtol=1e-6)


@pytest.mark.parametrize("absent", [*KEYS, "all"])
@pytest.mark.parametrize("is_there", [False, True])
def test_any_table_may_be_absent_or_empty(absent: str, is_there: bool) -> None:
    known, _, tables = parted()
    left = {
        name: table[:0] if name == absent or absent == "all" else table
        for name, table in tables.items()
        if is_there or absent not in (name, "all")
    }
    made = FrameFeatures(known, left)
    assert made.design.shape == (len(known), len(made.names))
    assert made.make(asked()).shape == (len(asked()), len(made.names))


@pytest.mark.parametrize(("table", "column"), OPTIONAL)
def test_any_optional_column_may_be_absent(table: str, column: str) -> None:
    known, _, tables = parted()
    made = FrameFeatures(known, {**tables, table: tables[table].drop(columns=column)})
    assert made.make(asked()).shape == (len(asked()), len(made.names))


def test_tables_of_nothing_but_ids_are_enough() -> None:
    known, _, tables = parted()
    bare = {name: table[[*KEYS[name]]] for name, table in tables.items()}
    rows = known.drop(columns=["campaign_type", "start_date", "end_date"])
    assert is_sound(quickly(rows, bare)(asked()), asked())


def test_rows_without_tables_and_dates_are_enough() -> None:
    known, _, _ = parted()
    least = ["group", "customer_id", "coupon_id"]
    assert is_sound(quickly(known[[*least, "y"]], {})(asked()[least]), asked())


def test_one_campaign_is_enough() -> None:
    known, _, tables = parted()
    assert is_sound(quickly(known[known["campaign_id"] == 0], tables)(asked()), asked())


def test_columns_nobody_has_seen_before_are_taken_as_they_are() -> None:
    known, _, tables = parted()

    def widened(rows: pd.DataFrame) -> pd.DataFrame:
        count = np.arange(len(rows))
        return rows.assign(
            mixed=pd.Series([1, "a", None])[count % 3].to_numpy(),
            nothing=np.nan,
            when=pd.Timestamp("2026-01-01") + pd.to_timedelta(count % 9, "D"),
            flag=count % 2 == 0,
            kind=pd.Categorical(np.array(["a", "b"])[count % 2]),
            endless=np.where(count % 5 == 0, np.inf, 1.0),
            number=count,
        )

    customers = tables["customers"].assign(flag=True, when=None, mixed=[1, "a"] * (CUSTOMERS // 2))
    score = quickly(widened(known), {**tables, "customers": customers})
    assert is_sound(score(widened(asked())), asked())
    assert is_sound(score(asked()), asked())


def test_somebody_who_is_twice_among_the_customers_counts_as_the_first_says(scores: np.ndarray) -> None:
    known, _, tables = parted()
    customers = tables["customers"]
    twice = pd.concat([customers, customers.assign(age="65+", kids=9)])
    assert np.allclose(quickly(known, {**tables, "customers": twice})(asked()), scores, rtol=1e-6)


def test_coupons_without_items_and_lines_without_dates_or_ids_are_taken() -> None:
    known, _, tables = parted()
    purchases = tables["transactions"].astype({"customer_id": "float64"}).copy()
    purchases.loc[purchases.index[::3], "transaction_timestamp"] = pd.NaT
    purchases.loc[purchases.index[::5], "customer_id"] = np.nan
    links = tables["coupon_items"]
    some = links[links["coupon_id"] < COUPONS // 2]
    score = quickly(known, {**tables, "transactions": purchases, "coupon_items": some})
    assert is_sound(score(asked()), asked())


def test_some_rows_may_lack_a_date_and_their_labels_are_used_nowhere_in_time() -> None:
    known, _, tables = parted()
    gaps = known.copy()
    gaps.loc[gaps.index[::4], ["start_date", "end_date"]] = pd.NaT
    assert is_sound(quickly(gaps, tables)(asked()), asked())


def test_a_feature_that_is_known_only_lately_is_no_obstacle() -> None:
    known, _, tables = parted()
    late = known.assign(number=np.where(known["campaign_id"] == 4, np.arange(len(known)) % 7, np.nan))
    assert is_sound(quickly(late, tables)(asked()), asked())


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_handful_of_rows_is_enough_to_give_probabilities(count: int) -> None:
    ids = np.arange(count)
    rows = pd.DataFrame({"group": ids, "customer_id": ids, "coupon_id": "a", "y": (ids == 0).astype(int)})
    assert is_sound(quickly(rows, {})(rows.drop(columns="y")), rows)


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (lambda known: known[:0], "the frame of labelled rows has 0 rows"),
        (lambda known: known.assign(y=0), "of 1,600 labelled rows 0 were redeemed: both kinds are wanted"),
        (lambda known: known.assign(y=1), "of 1,600 labelled rows 1,600 were redeemed: both kinds are wanted"),
        (lambda known: known.assign(y="yes"), "row 1 of the labelled rows has y = yes: 0 or 1 is wanted"),
        (lambda known: known.assign(y=known["y"].replace(1, 2)), "has y = 2: 0 or 1 is wanted"),
        (
            lambda known: known.assign(y=pd.Series([10**400] * len(known), dtype=object)),
            "row 1 of the labelled rows has y =",
        ),
        (lambda known: known.to_dict("list"), "labelled rows is of the type dict: a data frame is wanted"),
        (lambda known: known.drop(columns=["y", "group"]), "labelled rows lacks the columns group, y"),
        (lambda known: pd.concat([known, known[["y"]]], axis=1), "labelled rows has the column y twice"),
        (lambda known: known.assign(tags=[["a"]] * len(known)), "the column tags holds cells of the type list"),
        (lambda known: known.assign(coupon_id=[{}] * len(known)), "the column coupon_id holds cells of the type dict"),
    ],
)
def test_labelled_rows_that_cannot_be_learnt_from_are_refused_with_a_sentence(
    rows: Callable[[pd.DataFrame], pd.DataFrame], sentence: str
) -> None:
    known, _, tables = parted()
    with pytest.raises(DatasetRefused, match=sentence):
        quickly(rows(known), tables)


def test_a_table_without_the_ids_that_join_it_is_refused() -> None:
    known, _, tables = parted()
    wrong: Mapping[str, pd.DataFrame] = {**tables, "transactions": tables["transactions"].drop(columns="item_id")}
    with pytest.raises(DatasetRefused, match="the table transactions lacks the columns item_id"):
        quickly(known, wrong)


def test_a_table_that_is_no_data_frame_is_refused() -> None:
    known, _, tables = parted()
    wrong: Mapping[str, Any] = {**tables, "items": [1, 2]}
    with pytest.raises(DatasetRefused, match="the table items is of the type list: a data frame is wanted"):
        quickly(known, wrong)


def test_rows_to_be_scored_without_a_coupon_are_refused(scorer: Scorer) -> None:
    with pytest.raises(DatasetRefused, match="the frame to be scored lacks the columns coupon_id"):
        scorer(asked().drop(columns="coupon_id"))
