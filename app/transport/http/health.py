"""Is the process alive, is it ready, and what has it done."""

from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from app.transport.http.access import sees_details
from app.transport.http.running import FromRunning

router = APIRouter(tags=["health"])
metrics_router = APIRouter(tags=["health"])

NOT_READY = "not ready"
TOLD_TO_ALL = frozenset({"migrations", "catalogue"})  # their problems are our own sentences, without names of hosts


class Liveness(BaseModel):
    """Whether the process is alive; `crashed` names what has ended and should not have."""

    status: Literal["alive", "crashed"]
    crashed: list[str] = []


class Readiness(BaseModel):
    """Whether the service is ready, and which parts are not."""

    status: Literal["ready", "not ready"]
    problems: dict[str, str] = {}
    degraded: dict[str, str] = {}
    parts: dict[str, str] = {}
    open_to_anyone: list[str] = []


@router.head("/healthcheck", include_in_schema=False)
@router.get("/healthcheck", response_class=PlainTextResponse)
async def healthcheck() -> str:
    """`OK` while the process answers."""
    return "OK"


@router.head("/livez", include_in_schema=False)
@router.get(
    "/livez",
    response_model=Liveness,
    responses={503: {"description": "Work in the background has crashed: restart the process.", "model": Liveness}},
)
async def livez(running: FromRunning) -> JSONResponse:
    """Whether the process, its event loop and its work in the background are alive: restart it if not."""
    crashed = running.health.crashed
    if crashed:
        return JSONResponse({"status": "crashed", "crashed": crashed}, status_code=503)
    return JSONResponse({"status": "alive"})


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"description": "A part is not ready; the answer names it.", "model": Readiness}},
)
async def readyz(request: Request, running: FromRunning, verbose: str | None = None) -> JSONResponse:
    """Whether every part is ready. With `?verbose`, each part is listed.

    Once there are API keys, what can hold names of hosts is told to those who have one.
    """
    health, is_told = running.health, sees_details(request, running)
    answer: dict[str, object] = {"status": "ready" if health.is_ready else NOT_READY}
    if not health.is_ready:
        answer["problems"] = _told(health.problems, is_told)
    if health.degradations:
        answer["degraded"] = _told(health.degradations, is_told)
    if verbose is not None:
        found = _told({part: problem for part, problem in health.parts.items() if problem is not None}, is_told)
        answer["parts"] = {part: found.get(part, "ready") for part in health.parts}
        if running.keys.is_open:
            answer["open_to_anyone"] = running.open_without_keys
    return JSONResponse(answer, status_code=200 if health.is_ready else 503)


def _told(problems: Mapping[str, str], is_told: bool) -> Mapping[str, str]:
    return {part: text if is_told or part in TOLD_TO_ALL else NOT_READY for part, text in problems.items()}


@metrics_router.get("/metrics", response_class=PlainTextResponse)
async def metrics(running: FromRunning) -> Response:
    """Counters and timings, in the text format of Prometheus."""
    for part, problem in running.health.parts.items():
        running.metrics.ready.labels(part).set(problem is None)
    for route in running.open_without_keys:
        running.metrics.open_routes.labels(route).set(running.keys.is_open)
    return Response(generate_latest(running.metrics.registry), media_type=CONTENT_TYPE_LATEST)
