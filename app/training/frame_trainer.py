"""Trains on data frames: any retailer's offers with whatever tables there are beside them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from app.domain.features import Floats
from app.domain.history import Ints
from app.errors import DatasetRefused
from app.training.cells import NO_DAY, codes_of, numbers, texts
from app.training.ensemble import Fold, fit_ensemble
from app.training.frame_features import FrameFeatures
from app.training.frames import Frame, Tables, check_columns, first_days, last_days, read_tables, with_campaign

SEED = 7
GROUP_FOLDS = 3
MOST_FOLDS = 3
LEAST_REDEMPTIONS = 15  # to learn from in a fold
NEEDED = ("group", "customer_id", "coupon_id")

Scorer = Callable[[Frame], Floats]


def train_on_frames(rows: Frame, tables: Tables, seed: int = SEED, effort: float = 1.0) -> Scorer:
    """See `app.training.train`; `effort` is the share of the usual trees, less for a first look."""
    check_columns(rows, "the frame of labelled rows", [*NEEDED, "y"])
    is_redeemed = labels(rows["y"])
    rows = rows.assign(y=is_redeemed.astype(np.int64))
    features = FrameFeatures(rows, tables)
    folds = _folds(with_campaign(rows, read_tables(tables)))
    ensemble = fit_ensemble(features.design, is_redeemed, folds, seed, effort)

    def score(asked: Frame) -> Floats:
        check_columns(asked, "the frame to be scored", NEEDED)
        return ensemble.probabilities(features.make(asked)) if len(asked) else np.empty(0)

    return score


def labels(values: pd.Series) -> NDArray[np.bool_]:
    """Whether each row was redeemed. Raises DatasetRefused for anything but 0 and 1, or only one of them."""
    found = numbers(values)
    wrong = np.flatnonzero((found != 0) & (found != 1))
    if len(wrong):
        value = values.iloc[wrong[0]]
        raise DatasetRefused(f"row {wrong[0] + 1:,} of the labelled rows has y = {value}: 0 or 1 is wanted")
    redeemed = int(found.sum())
    if not len(found):
        raise DatasetRefused("the frame of labelled rows has 0 rows: there is nothing to learn from")
    if not 0 < redeemed < len(found):
        raise DatasetRefused(f"of {len(found):,} labelled rows {redeemed:,} were redeemed: both kinds are wanted")
    return found > 0


def _folds(rows: Frame) -> Sequence[Fold]:
    """In time, where rows say when they were offered and enough was known then; else by customer."""
    return folds_in_time(first_days(rows), last_days(rows), rows["y"].to_numpy() > 0) or folds_by_customer(rows)


def folds_in_time(start: Ints, end: Ints, is_redeemed: NDArray[np.bool_]) -> Sequence[Fold]:
    """For the last offers: what had ended before any of them began, and these offers.

    Days between which no offer ended share a fold: what is known on them is the same.
    """
    dated = start != NO_DAY
    ended, redeemed = np.sort(end[dated]), np.sort(end[dated & is_redeemed])
    days = np.unique(start[dated])
    days = days[np.searchsorted(redeemed, days) >= LEAST_REDEMPTIONS]
    if not len(days):
        return []
    blocks = np.unique(np.searchsorted(ended, days), return_inverse=True)[1]
    number = np.full(len(start), -1)
    later = dated & (start >= days[0])
    number[later] = blocks[np.searchsorted(days, start[later])]
    number = _merged(number, is_redeemed)
    found = []
    for block in np.unique(number[number >= 0]):
        inside = number == block
        found.append(Fold(dated & (end < start[inside].min()), inside))
    return found


def _merged(number: Ints, is_redeemed: NDArray[np.bool_]) -> Ints:
    """Successive blocks made one, so that there are at most MOST_FOLDS, each with about as many redemptions."""
    if number.max() < MOST_FOLDS:
        return number
    so_far = np.cumsum(np.bincount(number[(number >= 0) & is_redeemed], minlength=number.max() + 1))
    part = np.minimum(so_far * MOST_FOLDS // (so_far[-1] + 1), MOST_FOLDS - 1)
    return np.where(number < 0, -1, part[number])


def folds_by_customer(rows: Frame) -> Sequence[Fold]:
    """Where nothing has a date: other customers."""
    people = codes_of(rows["customer_id"])[0]
    if people.max(initial=0) < 1:
        people = pd.factorize(texts(rows["group"]))[0]
    count = min(GROUP_FOLDS, int(people.max(initial=0)) + 1)
    if count < 2:
        return []
    return [Fold(known, later) for known, later in GroupKFold(count).split(rows, groups=people)]
