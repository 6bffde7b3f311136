"""The decision on a focus event, and every coupon's fate in it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.customer import ContextSource
from app.domain.decision import NoOffer, Offer, Reason, Verdict, decide, is_late, verdicts
from app.domain.eligibility import Refusal, Screening, screen
from tests.builders import COUPON, FOCUS, NOW, TODAY

SHELF = tuple(replace(COUPON, coupon_id=str(number)) for number in range(1, 4))
EXPIRED = replace(COUPON, coupon_id="8", end_date=TODAY - timedelta(days=1))
SOLD_OUT = replace(COUPON, coupon_id="9", products_available=0)
THRESHOLD = 0.5
KNOWN = ContextSource.CACHE


def outcome_of(
    scores: Sequence[float], screening: Screening | None = None, source: ContextSource = KNOWN, is_late: bool = False
) -> Offer | NoOffer:
    return decide(screening or screen(SHELF, TODAY), np.array(scores, dtype=float), THRESHOLD, source, is_late=is_late)


def test_offers_the_best_candidate() -> None:
    assert outcome_of([0.6, 0.9, 0.7]) == Offer("2", score=0.9, propensity=1.0, reason=Reason.OFFERED)


def test_offers_the_first_of_equals() -> None:
    assert outcome_of([0.1, 0.9, 0.9]) == Offer("2", score=0.9, propensity=1.0, reason=Reason.OFFERED)


def test_offers_nothing_below_the_threshold() -> None:
    assert outcome_of([0.1, 0.4, 0.3]) == NoOffer(Reason.BELOW_THRESHOLD, score=0.4)


def test_offers_nothing_at_the_threshold() -> None:
    assert outcome_of([0.1, THRESHOLD, 0.3]) == NoOffer(Reason.BELOW_THRESHOLD, score=THRESHOLD)


def test_never_offers_what_has_no_score() -> None:
    assert outcome_of([math.nan, 0.6, math.nan]) == Offer("2", score=0.6, propensity=1.0, reason=Reason.OFFERED)
    assert outcome_of([math.nan, 0.4, math.nan]) == NoOffer(Reason.BELOW_THRESHOLD, score=0.4)
    assert outcome_of([math.nan] * 3) == NoOffer(Reason.BELOW_THRESHOLD, score=None)


def test_a_department_without_coupons_has_no_candidates() -> None:
    assert outcome_of([], screen((), TODAY)) == NoOffer(Reason.NO_CANDIDATES)


def test_a_department_where_every_coupon_is_refused_has_none_eligible() -> None:
    assert outcome_of([], screen((EXPIRED, SOLD_OUT), TODAY)) == NoOffer(Reason.ALL_INELIGIBLE)


def test_a_late_event_gets_nothing_however_good_the_candidates() -> None:
    assert outcome_of([0.9, 0.9, 0.9], is_late=True) == NoOffer(Reason.LATE_EVENT)
    assert outcome_of([], screen((), TODAY), is_late=True) == NoOffer(Reason.LATE_EVENT)


def test_an_unknown_customer_gets_an_offer_that_says_so() -> None:
    offer = outcome_of([0.6, 0.9, 0.7], source=ContextSource.DEFAULTS)

    assert offer == Offer("2", score=0.9, propensity=1.0, reason=Reason.UNKNOWN_CUSTOMER)


@pytest.mark.parametrize("source", [ContextSource.CENTRAL, ContextSource.CACHE, ContextSource.STALE])
def test_a_customer_known_from_anywhere_is_known(source: ContextSource) -> None:
    assert outcome_of([0.6, 0.9, 0.7], source=source).reason is Reason.OFFERED


@pytest.mark.parametrize(
    ("age_seconds", "max_age_seconds", "late"),
    [(61, 60, True), (60, 60, False), (0, 60, False), (-3600, 60, False), (10**9, None, False)],
)
def test_an_event_is_late_when_it_is_older_than_the_configured_age(
    age_seconds: int, max_age_seconds: float | None, late: bool
) -> None:
    event = replace(FOCUS, ts=int(NOW.timestamp()) - age_seconds)

    assert is_late(event, NOW, max_age_seconds) is late


def test_verdicts_tell_every_coupons_fate() -> None:
    screening = screen((EXPIRED, *SHELF, SOLD_OUT), TODAY)
    scores = np.array([0.6, 0.9, math.nan])
    offer = decide(screening, scores, THRESHOLD, KNOWN)

    assert list(verdicts(screening, scores, THRESHOLD, offer)) == [
        Verdict("1", Refusal.OUTRANKED, 0.6),
        Verdict("2", None, 0.9),
        Verdict("3", Refusal.BELOW_THRESHOLD, None),
        Verdict("8", Refusal.EXPIRED, None),
        Verdict("9", Refusal.OUT_OF_STOCK, None),
    ]


def test_an_event_that_came_too_late_for_any_coupon_has_no_verdicts() -> None:
    screening, scores = screen((*SHELF, SOLD_OUT), TODAY), np.array([0.6, 0.9, 0.7])
    nothing = decide(screening, scores, THRESHOLD, KNOWN, is_late=True)

    assert list(verdicts(screening, scores, THRESHOLD, nothing)) == []


def test_verdicts_without_an_offer_offer_nothing() -> None:
    screening, scores = screen(SHELF, TODAY), np.array([0.1, THRESHOLD, 0.2])
    nothing = decide(screening, scores, THRESHOLD, KNOWN)

    assert list(verdicts(screening, scores, THRESHOLD, nothing)) == [
        Verdict("1", Refusal.BELOW_THRESHOLD, 0.1),
        Verdict("2", Refusal.BELOW_THRESHOLD, THRESHOLD),
        Verdict("3", Refusal.BELOW_THRESHOLD, 0.2),
    ]


@given(st.lists(st.floats(0, 1) | st.just(math.nan), min_size=1, max_size=10), st.floats(0, 1))
def test_the_offered_coupon_is_the_one_whose_verdict_has_no_refusal(scores: list[float], threshold: float) -> None:
    screening = screen([replace(COUPON, coupon_id=str(index)) for index in range(len(scores))], TODAY)
    values = np.array(scores, dtype=float)
    outcome = decide(screening, values, threshold, KNOWN)
    fates = list(verdicts(screening, values, threshold, outcome))

    assert [fate.coupon_id for fate in fates] == [str(index) for index in range(len(scores))]
    assert [fate.coupon_id for fate in fates if fate.refusal is None] == (
        [outcome.coupon_id] if isinstance(outcome, Offer) else []
    )
