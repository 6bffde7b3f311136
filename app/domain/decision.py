"""The decision on a focus event: one coupon, or none, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

import numpy as np

from app.domain import policy
from app.domain.customer import ContextSource, CustomerContext
from app.domain.eligibility import Refusal, Screening
from app.domain.event import FocusEvent
from app.domain.features import Floats


class Reason(StrEnum):
    """Why a decision is what it is."""

    OFFERED = "offered"
    UNKNOWN_CUSTOMER = "unknown_customer"
    NO_CANDIDATES = "no_candidates"
    ALL_INELIGIBLE = "all_ineligible"
    BELOW_THRESHOLD = "below_threshold"
    LATE_EVENT = "late_event"


@dataclass(frozen=True, slots=True)
class Offer:
    """A coupon for the customer; `score` is the probability of redemption, `propensity` that of the policy's pick."""

    coupon_id: str
    score: float
    propensity: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class NoOffer:
    """No coupon, and why; `score` is the best candidate's, where there was one."""

    reason: Reason
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Basis:
    """What a decision was made from, complete: the same basis gives the same outcome.

    `decided_at` is aware, `today` the day in the shop's time zone. `seed` feeds policies that draw by chance.
    """

    decided_at: datetime
    today: date
    context: CustomerContext
    context_source: ContextSource
    catalogue_version: str
    scorer: str
    model_version: str
    threshold: float
    deployment: str
    seed: int


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision as the log keeps it.

    `coupon_hash` names the encoded coupon of an offer; `is_to_be_published` says whether there is a result to publish.
    """

    decision_id: UUID
    event: FocusEvent
    outcome: Offer | NoOffer
    basis: Basis
    coupon_hash: bytes | None
    is_to_be_published: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fate of one coupon of the department: offered (`refusal` is None) or refused by its first rule."""

    coupon_id: str
    refusal: Refusal | None
    score: float | None


def is_late(event: FocusEvent, now: datetime, max_age_seconds: float | None) -> bool:
    """Whether the event is older than the configured age (None: no age is too old)."""
    return max_age_seconds is not None and now.timestamp() - event.ts > max_age_seconds


def decide(
    screening: Screening, scores: Floats, threshold: float, source: ContextSource, *, is_late: bool = False
) -> Offer | NoOffer:
    """Offer the best candidate that the rules and the threshold allow.

    `scores` has the shape (n,), in the order of `screening.candidates`.
    """
    if is_late:
        return NoOffer(Reason.LATE_EVENT)
    if not screening.candidates:
        return NoOffer(Reason.ALL_INELIGIBLE if screening.refused else Reason.NO_CANDIDATES)
    pick = policy.best_above(threshold, scores)
    if pick is None:
        return NoOffer(Reason.BELOW_THRESHOLD, _known(np.fmax.reduce(scores)))
    reason = Reason.UNKNOWN_CUSTOMER if source is ContextSource.DEFAULTS else Reason.OFFERED
    return Offer(screening.candidates[pick.index].coupon_id, float(scores[pick.index]), pick.propensity, reason)


def verdicts(screening: Screening, scores: Floats, threshold: float, outcome: Offer | NoOffer) -> Iterator[Verdict]:
    """The fate of every coupon of the department, candidates first; of none where the event came too late for any."""
    if outcome.reason is Reason.LATE_EVENT:
        return
    offered = outcome.coupon_id if isinstance(outcome, Offer) else None
    for coupon, score in zip(screening.candidates, scores, strict=True):
        if coupon.coupon_id == offered:
            refusal = None
        else:
            refusal = Refusal.OUTRANKED if score > threshold else Refusal.BELOW_THRESHOLD
        yield Verdict(coupon.coupon_id, refusal, _known(score))
    for coupon, refusal in screening.refused:
        yield Verdict(coupon.coupon_id, refusal, None)


def _known(score: float) -> float | None:
    return None if np.isnan(score) else float(score)
