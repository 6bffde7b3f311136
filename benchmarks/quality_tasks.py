"""The tasks that decision quality is measured on: public data as frames, and a generated history.

The splits are honest: whole campaigns that come later, or other persons; never rows at random.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app.errors import DatasetRefused

CUT = pd.Timestamp("2017-05-08")  # campaigns that ended before it are history, those that start on it or later the test
PERSON_FOLDS = 5  # persons with numbers divisible by it are the test
AMOUNTS = ("week", "quantity", "sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
WHERE_FROM = (
    "{path} is not there. The public data are no part of this repository: docs/models.md says where they come from and "
    "how the folder is laid out; name it with --data"
)


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Labelled rows to learn from, rows to be scored with what came of them, and the tables known before these."""

    train: pd.DataFrame
    test: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]


def complete_journey(data: Path) -> Frames:
    """Grocery campaigns: every coupon of a campaign is a candidate for each customer who got it."""
    folder = data / "completejourney"
    campaigns = _table(folder, "campaigns", ["start_date", "end_date"])
    redemptions = _table(folder, "redemptions", ["redemption_date"])
    transactions = _table(folder, "transactions", ["transaction_timestamp"])
    key = ["campaign_id", "customer_id", "coupon_id"]
    rows = (
        _table(folder, "campaign_customers")
        .merge(_table(folder, "campaign_coupons"), on="campaign_id")
        .merge(campaigns, on="campaign_id")
        .merge(redemptions[key].drop_duplicates().assign(y=1), on=key, how="left")
    )
    rows["y"] = rows["y"].fillna(0).astype(np.int64)
    rows.insert(0, "group", rows["campaign_id"] + "_" + rows["customer_id"])
    tables = {name: _table(folder, name) for name in ("coupon_items", "items", "customers")} | {
        "campaigns": campaigns,
        "transactions": transactions[transactions["transaction_timestamp"] < CUT],
        "redemptions": redemptions[redemptions["redemption_date"] < CUT],
    }
    return Frames(rows[rows["end_date"] < CUT], rows[rows["start_date"] >= CUT], tables)


def in_vehicle(data: Path) -> Frames:
    """Answers of a survey to coupons offered in a car; no person is on both sides."""
    path = data / "invehicle" / "answers.csv.gz"
    if not path.exists():
        raise DatasetRefused(WHERE_FROM.format(path=path))
    rows = pd.read_csv(path)
    rows["group"], rows["coupon_id"] = rows["customer_id"], rows["coupon"]
    is_test = rows["customer_id"] % PERSON_FOLDS == 0
    return Frames(rows[~is_test], rows[is_test], {})


PUBLIC: Mapping[str, Callable[[Path], Frames]] = {"completejourney": complete_journey, "invehicle": in_vehicle}


def _table(folder: Path, name: str, dates: Sequence[str] = ()) -> pd.DataFrame:
    """Text, but for dates and amounts. Raises DatasetRefused."""
    path = folder / f"{name}.csv.gz"
    if not path.exists():
        raise DatasetRefused(WHERE_FROM.format(path=path))
    columns = pd.read_csv(path, nrows=0).columns
    text = {column: str for column in columns if column not in (*AMOUNTS, *dates)}
    return pd.read_csv(path, dtype=text, parse_dates=list(dates))
