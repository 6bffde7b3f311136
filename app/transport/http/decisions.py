"""The decisions of the log, with why they are what they are."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app.domain.decision import Decision, Offer
from app.events import CustomerId
from app.handlers import NotRemade, remake
from app.transport.http.explanation import CandidateAnswer, Explanation, candidate_answers, explanation
from app.transport.http.openapi import problems
from app.transport.http.running import FromRunning

router = APIRouter(prefix="/api/v1/decisions", tags=["decisions"])

MAX_DECISIONS = 100


class LoggedEvent(BaseModel):
    """The focus event that was decided on; `correlation_data` in hexadecimal digits."""

    customer_id: str
    ts: int
    department: str
    department_asked: str
    x: float | None
    y: float | None
    event_id: str | None
    correlation_data: str | None


class LoggedDecision(Explanation):
    """A decision as the log keeps it."""

    id: UUID
    event: LoggedEvent
    coupon_id: str | None
    decided_at: datetime


class ExplainedDecision(LoggedDecision):
    """A decision and what it was made from.

    `candidates` is null when the catalogue or the model has changed since, and `not_remade` says which: no other model
    speaks for the one that decided.
    """

    context: dict[str, str | int | float]
    candidates: list[CandidateAnswer] | None
    not_remade: str | None


@router.get("/{decision_id}", responses=problems(404))
async def read_decision(decision_id: UUID, request: Request, running: FromRunning) -> ExplainedDecision:
    """One decision, with the fate of every coupon of the department."""
    decision = await running.services.log.find(decision_id)
    if decision is None:
        raise HTTPException(404, "There is no such decision.")
    request.state.customer_id = decision.event.customer_id
    remade = await remake(running.services, decision)
    fates, why = (None, remade.why) if isinstance(remade, NotRemade) else (remade, None)
    made_from = {"context": asdict(decision.basis.context), "candidates": candidate_answers(fates), "not_remade": why}
    return ExplainedDecision.model_validate({**_shown(decision), **made_from})


@router.get("")
async def list_decisions(
    request: Request,
    running: FromRunning,
    customer_id: CustomerId,
    limit: Annotated[int, Query(ge=1, le=MAX_DECISIONS)] = 20,
) -> list[LoggedDecision]:
    """The last decisions for a customer, newest first."""
    request.state.customer_id = customer_id
    found = await running.services.log.of_customer(customer_id, limit)
    return [LoggedDecision.model_validate(_shown(one)) for one in found]


def _shown(decision: Decision) -> dict[str, object]:
    event, outcome, data = decision.event, decision.outcome, decision.event.correlation_data
    return {
        "id": decision.decision_id,
        "event": {**asdict(event), "correlation_data": None if data is None else data.hex()},
        **explanation(decision),
        "coupon_id": outcome.coupon_id if isinstance(outcome, Offer) else None,
        "decided_at": decision.basis.decided_at,
    }
