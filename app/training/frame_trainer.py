"""Trains on data frames: any retailer's offers with whatever tables there are beside them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from app.domain.features import Floats
from app.errors import DatasetRefused
from app.training.ensemble import Fold, fit_ensemble
from app.training.frame_features import FrameFeatures
from app.training.frames import Frame, Tables, days

SEED = 7
GROUP_FOLDS = 3
MOST_FOLDS = 4
LEAST_REDEMPTIONS = 15  # to learn from in a fold
NEEDED = ("group", "customer_id", "coupon_id", "y")

Scorer = Callable[[Frame], Floats]


def train_on_frames(rows: Frame, tables: Tables, seed: int = SEED) -> Scorer:
    """See `app.training.train`."""
    if missing := [name for name in NEEDED if name not in rows]:
        raise DatasetRefused(f"the rows lack the columns {', '.join(missing)}")
    is_redeemed = rows["y"].to_numpy() > 0
    if not 0 < is_redeemed.sum() < len(rows):
        raise DatasetRefused(f"of {len(rows):,} rows {is_redeemed.sum():,} were redeemed: there must be both kinds")
    features = FrameFeatures(rows, tables)
    design = features.make(rows)
    folds = _folds_in_time(rows) if features.is_dated else _folds_by_group(rows)
    ensemble = fit_ensemble(design.values, is_redeemed, folds, seed)
    return lambda asked: ensemble.probabilities(features.make(asked).values)


def _folds_in_time(rows: Frame) -> Sequence[Fold]:
    """For the last days on which offers began: what had ended before, and these offers."""
    start = days(rows["start_date"])
    end = days(rows["end_date"] if "end_date" in rows else rows["start_date"])
    redeemed = rows["y"].to_numpy() > 0
    found = [Fold(end < day, start == day) for day in np.unique(start)]
    return [fold for fold in found if redeemed[fold.known].sum() >= LEAST_REDEMPTIONS][-MOST_FOLDS:]


def _folds_by_group(rows: Frame) -> Sequence[Fold]:
    """Where nothing has a date: other decisions."""
    groups = pd.factorize(rows["group"])[0]
    count = min(GROUP_FOLDS, int(groups.max()) + 1)
    if count < 2:
        return []
    return [Fold(known, later) for known, later in GroupKFold(count).split(rows, groups=groups)]
