"""Events over HTTP: the same reading, deciding and recording as over MQTT."""

from collections.abc import Iterable
from time import perf_counter
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from app.domain.decision import Verdict, verdicts
from app.errors import DatabaseUnavailable
from app.events import (
    MAX_BODY_BYTES,
    CustomerEntry,
    CustomerFocus,
    EntryEnvelope,
    FocusEnvelope,
    parse_entry,
    parse_focus,
)
from app.handlers import Decided, NotRemade, decide_batch, gather, gather_from_central, handle_entries, remake
from app.results import PredictionResult
from app.transport.http.explanation import CandidateAnswer, Explanation, candidate_answers, explanation
from app.transport.http.openapi import event_body
from app.transport.http.running import FromRunning, Running, read_body

router = APIRouter(tags=["mock events"])

ENTRY_EXAMPLE = {"id": "127", "ts": 192322800}
FOCUS_EXAMPLE = {"id": "127", "ts": 192322800, "dep": "Boys"}


class EntryAnswer(BaseModel):
    """What the service knows of the customer who came in."""

    event_id: str
    context_source: Literal["central", "cache", "stale", "defaults"]
    context: dict[str, str | int | float]


class DecisionAnswer(Explanation):
    """Why the result is what it is; `candidates` is null when the catalogue or the model has changed since."""

    id: str
    candidates: list[CandidateAnswer] | None
    timings: dict[str, float]


class FocusAnswer(PredictionResult):
    """The prediction result as published, and the decision behind it."""

    decision: DecisionAnswer
    repeated: bool = False


@router.post(
    "/mock_entry", response_model=EntryAnswer, openapi_extra=event_body(CustomerEntry, EntryEnvelope, ENTRY_EXAMPLE)
)
async def mock_entry(request: Request, running: FromRunning) -> Response:
    """A customer came in: fetch the context from the central and cache it."""
    services = running.services
    event = parse_entry(await read_body(request, MAX_BODY_BYTES), services.clock())
    request.state.customer_id = event.customer_id
    running.metrics.events.labels("entry").inc()
    (entered,) = await handle_entries(services, [event])
    running.metrics.entries.labels(entered.source).inc()
    answer = {"event_id": str(event.event_id), "context_source": entered.source.value, "context": entered.context}
    return Response(orjson.dumps(answer), media_type="application/json")


@router.post(
    "/mock_focus", response_model=FocusAnswer, openapi_extra=event_body(CustomerFocus, FocusEnvelope, FOCUS_EXAMPLE)
)
async def mock_focus(request: Request, running: FromRunning, dry_run: bool = False) -> Response:
    """A customer lingers in a department: the result exactly as published, and the decision behind it.

    With `dry_run`, nothing is stored or published.
    """
    services = running.services
    started = perf_counter()
    event = parse_focus(await read_body(request, MAX_BODY_BYTES), services.clock(), running.names)
    request.state.customer_id = event.customer_id
    running.metrics.events.labels("focus").inc()
    gathered, unknown = await gather(services, [event])
    if unknown:
        gathered = await gather_from_central(services, unknown, is_dry_run=dry_run)
    context_seconds = perf_counter() - started
    (decided,) = await decide_batch(services, gathered, is_dry_run=dry_run)
    if decided.result is None:
        raise DatabaseUnavailable("the log has lost the coupon of this decision")
    if not dry_run:
        running.metrics.decisions.labels(decided.decision.outcome.reason, str(decided.is_repeated).lower()).inc()
        running.outbox.publish_result(decided.decision, decided.result)
    timings = {"context": context_seconds, **decided.stage_seconds}
    timings["total"] = perf_counter() - started
    answer = await _decision_answer(running, decided, timings)
    ending = b',"repeated":true}' if decided.is_repeated else b"}"
    body = b'%b,"decision":%b%b' % (decided.result[:-1], orjson.dumps(answer), ending)
    return Response(body, media_type="application/json")


async def _decision_answer(running: Running, decided: Decided, timings: dict[str, float]) -> dict[str, Any]:
    return {
        "id": str(decided.decision.decision_id),
        **explanation(decided.decision),
        "candidates": candidate_answers(await _fates(running, decided)),
        "timings": {f"{stage}_ms": round(seconds * 1000, 3) for stage, seconds in timings.items()},
    }


async def _fates(running: Running, decided: Decided) -> Iterable[Verdict] | None:
    decision, trace = decided.decision, decided.trace
    if trace is not None:
        return verdicts(trace.screening, trace.scores.values, decision.basis.threshold, decision.outcome)
    remade = await remake(running.services, decision)
    return None if isinstance(remade, NotRemade) else remade
