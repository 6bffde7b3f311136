"""Why a decision is what it is, as routes answer it."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from app.domain.decision import Decision, Offer, Verdict

OFFERED = "offered"


class CandidateAnswer(BaseModel):
    """The fate of one coupon of the department."""

    coupon_id: str
    fate: str
    score: float | None


class Explanation(BaseModel):
    """What the decision was, and what it was made with."""

    reason: str
    score: float | None
    propensity: float | None
    threshold: float
    deployment: str
    scorer: str
    model_version: str
    catalogue_version: str
    context_source: str


def explanation(decision: Decision) -> dict[str, Any]:
    """The fields of `Explanation`."""
    outcome, basis = decision.outcome, decision.basis
    return {
        "reason": outcome.reason,
        "score": outcome.score,
        "propensity": outcome.propensity if isinstance(outcome, Offer) else None,
        "threshold": basis.threshold,
        "deployment": basis.deployment,
        "scorer": basis.scorer,
        "model_version": basis.model_version,
        "catalogue_version": basis.catalogue_version,
        "context_source": basis.context_source,
    }


def candidate_answers(fates: Iterable[Verdict] | None) -> list[dict[str, Any]] | None:
    """The fields of a `CandidateAnswer` for each coupon; None where the fates are not known any more."""
    if fates is None:
        return None
    return [{"coupon_id": one.coupon_id, "fate": one.refusal or OFFERED, "score": one.score} for one in fates]
