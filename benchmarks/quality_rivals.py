"""The candidate and its rivals on each task: who they are, and what they predict for the test rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from app.datagen.generate import DEFAULT_SEED, generate
from app.domain.features import Floats
from app.training import train
from app.training.frame_features import FrameFeatures
from app.training.metrics import Judged
from app.training.names import ModelName
from app.training.progress import Silent
from app.training.rows import OUTCOME_DAYS, WARM_UP_DAYS, Split, end_of_outcomes, make_rows
from app.training.service_model import DEFAULT_TRIALS, Order, baseline_predictions, fit, judge, predict
from benchmarks.quality_tasks import PUBLIC, Frames

SEED = 7
CANDIDATE, CEILING = "candidate", "ceiling"
PRIOR_ROWS = 20.0
TEST_DAYS, CALIBRATION_DAYS = 180, 60  # on 60 days hit@1 is known to +-.03 only
CUSTOMERS, YEARS = 1000, 3
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Contest:
    """What each scorer predicts for the same test rows; `cpu_seconds` is what fitting the candidate took."""

    data: str
    train_rows: int
    train_redeemed: int
    cpu_seconds: float
    predictions: Mapping[str, Judged]


def on_frames(task: str, data: Path, say: Say) -> Contest:
    """The candidate is `app.training:train`; the rivals see the same features. Raises DatasetRefused."""
    frames = PUBLIC[task](data)
    asked, redeemed = frames.test.drop(columns="y"), frames.test["y"].to_numpy() > 0
    decision = pd.factorize(frames.test["group"])[0]
    begun = process_time()
    scorer = train(frames.train, frames.tables, {"task": task})
    seconds = process_time() - begun
    say(f"candidate fitted in {seconds:.0f} s of CPU time")
    predicted = {CANDIDATE: scorer(asked), **dict(_rivals_on(frames, asked, say))}
    return Contest(
        data=f"{len(asked):,} test rows, {redeemed.sum():,} redeemed",
        train_rows=len(frames.train),
        train_redeemed=int(frames.train["y"].sum()),
        cpu_seconds=seconds,
        predictions={name: Judged(redeemed, one, decision, SEED) for name, one in predicted.items()},
    )


def _rivals_on(frames: Frames, asked: pd.DataFrame, say: Say) -> Iterator[tuple[str, Floats]]:
    yield "popularity", _popularity(frames.train, asked)
    features = FrameFeatures(frames.train, frames.tables)
    design, redeemed = features.design, frames.train["y"].to_numpy() > 0
    later = features.make(asked)
    logistic = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    yield "logistic", logistic.fit(design, redeemed).predict_proba(later)[:, 1]
    say("logistic fitted")
    boosted = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=60,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=SEED,
    )
    yield "HistGB", boosted.fit(design, redeemed).predict_proba(later)[:, 1]
    say("HistGB fitted")


def _popularity(known: pd.DataFrame, asked: pd.DataFrame) -> Floats:
    """Odds of the coupon times odds of the customer, each pulled towards the base rate."""
    base = known["y"].mean()

    def odds(column: str) -> Floats:
        seen = known.groupby(column)["y"].agg(["sum", "count"])
        rate = (seen["sum"] + PRIOR_ROWS * base) / (seen["count"] + PRIOR_ROWS)
        rates = asked[column].map(rate).fillna(base).to_numpy(dtype=np.float64)
        return np.asarray(rates / (1 - rates))

    both = odds("coupon_id") * odds("customer_id") * (1 - base) / base
    return np.asarray(both / (1 + both))


def on_generated(say: Say) -> Contest:
    """The candidate is what `python -m app train --model auto` makes; the ceiling is what the generator drew from."""
    shop = generate(customers=CUSTOMERS, years=YEARS)
    rows = make_rows(shop.history)
    end = end_of_outcomes(rows)
    test, calibration = end - TEST_DAYS, end - TEST_DAYS - CALIBRATION_DAYS
    split = Split(
        fit=rows.between(rows.day[0] + WARM_UP_DAYS, calibration - OUTCOME_DAYS),
        calibration=rows.between(calibration, test - OUTCOME_DAYS),
        validation=rows.between(test, end),
    )
    truth = shop.truth[np.argsort(shop.history.issues.day, kind="stable")][(rows.day >= test) & (rows.day < end)]
    say(f"{len(rows):,} coupons handed out, {len(split.validation):,} of them in the last {TEST_DAYS} days")
    begun = process_time()
    fitted = fit(split, Order(ModelName.AUTO, DEFAULT_TRIALS, DEFAULT_SEED), Silent())
    seconds = process_time() - begun
    say(f"{fitted.choice.name} chosen and fitted in {seconds:.0f} s of CPU time")
    predicted = {
        CANDIDATE: predict(fitted.model, split.validation),
        **baseline_predictions(split, DEFAULT_SEED),
        "SMOTE + boosting": _tutorial(split.fit.features, split.fit.is_redeemed, split.validation.features),
        CEILING: truth,
    }
    return Contest(
        data=f"{len(split.validation):,} test rows, {split.validation.is_redeemed.sum():,} redeemed",
        train_rows=len(split.fit),
        train_redeemed=int(split.fit.is_redeemed.sum()),
        cpu_seconds=seconds,
        predictions={name: judge(split.validation, one, SEED) for name, one in predicted.items()},
    )


def _tutorial(features: Floats, is_redeemed: NDArray[np.bool_], later: Floats) -> Floats:
    """Redeemed rows made up until there are 3 for 10 others, then boosting: the way of many tutorials."""
    ratio = is_redeemed.sum() / (~is_redeemed).sum()
    more, labels = SMOTE(sampling_strategy=max(0.3, ratio * 1.01), random_state=SEED).fit_resample(
        features, is_redeemed
    )
    model = HistGradientBoostingClassifier(
        max_iter=191, learning_rate=0.1, max_depth=15, early_stopping=False, random_state=SEED
    )
    found: Floats = model.fit(more, labels).predict_proba(later)[:, 1]
    return found
