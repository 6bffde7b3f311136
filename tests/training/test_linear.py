"""A linear model is the weights in its card."""

from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from app.domain.features import COUPON_COLUMNS, CUSTOMER_COLUMNS, FEATURE_NAMES, Floats, encode
from app.domain.linear import LinearModel
from app.domain.model_card import LinearForm
from app.training.linear import linear_form

RNG = np.random.default_rng(5)
FEATURES: Floats = RNG.normal(0.3, 2, (400, len(FEATURE_NAMES)))
LABELS = FEATURES[:, 0] + RNG.normal(0, 1, 400) > 0.8
CUSTOMERS: Floats = RNG.normal(0.3, 2, (20, len(CUSTOMER_COLUMNS)))
CUSTOMERS[::2, CUSTOMER_COLUMNS.index("has_bought")] = 0
COUPONS: Floats = RNG.normal(0.3, 2, (30, len(COUPON_COLUMNS)))


SCALED = Pipeline([("scale", StandardScaler()), ("logistic", LogisticRegression())])


@pytest.fixture(scope="module", params=[LogisticRegression(), SCALED], ids=["plain", "scaled"])
def logistic(request: pytest.FixtureRequest) -> ClassifierMixin:
    return request.param.fit(FEATURES, LABELS)


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_the_weights_give_what_the_model_gives(logistic: ClassifierMixin, is_calibrated: bool) -> None:
    model = logistic
    if is_calibrated:
        model = CalibratedClassifierCV(FrozenEstimator(logistic), method="sigmoid").fit(FEATURES, LABELS)

    form = linear_form(model)

    assert form is not None
    linear = LinearModel.of(form)
    for customer in CUSTOMERS:
        expected = model.predict_proba(encode(customer[np.newaxis], COUPONS))[:, 1]
        assert np.abs(linear.probabilities(customer, COUPONS) - expected).max() < 1e-12


@pytest.mark.parametrize("weights", [[1e6], [-1e6]])
def test_odds_beyond_all_measure_are_probabilities_still(weights: Sequence[float]) -> None:
    linear = LinearModel.of(LinearForm(0.0, tuple(weights) * len(FEATURE_NAMES)))

    found = linear.probabilities(np.ones(len(CUSTOMER_COLUMNS)), np.ones((1, len(COUPON_COLUMNS))))

    assert found.tolist() == [float(weights[0] > 0)]


@pytest.mark.parametrize(
    "model",
    [
        GaussianNB(),
        Pipeline([("scale", StandardScaler(with_mean=False)), ("logistic", LogisticRegression())]),
        CalibratedClassifierCV(LogisticRegression(), method="sigmoid", cv=2),
        CalibratedClassifierCV(FrozenEstimator(GaussianNB().fit(FEATURES, LABELS)), method="sigmoid"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_of_any_other_model_there_are_no_weights(model: ClassifierMixin) -> None:
    assert linear_form(model.fit(FEATURES, LABELS)) is None
