"""Is the process alive, is it ready, and what has it done."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from app.transport.http.running import FromRunning

router = APIRouter(tags=["health"])


@router.get("/healthcheck", response_class=PlainTextResponse)
async def healthcheck() -> str:
    """`OK` while the process answers."""
    return "OK"


@router.get("/livez", responses={503: {"description": "Work in the background has crashed: restart the process."}})
async def livez(running: FromRunning) -> JSONResponse:
    """Whether the process, its event loop and its work in the background are alive: restart it if not."""
    crashed = running.health.crashed
    if crashed:
        return JSONResponse({"status": "crashed", "crashed": crashed}, status_code=503)
    return JSONResponse({"status": "alive"})


@router.get("/readyz", responses={503: {"description": "A part is not ready; the answer names it."}})
async def readyz(running: FromRunning, verbose: str | None = None) -> JSONResponse:
    """Whether every part is ready. With `?verbose`, each part is listed."""
    health = running.health
    answer: dict[str, object] = {"status": "ready" if health.is_ready else "not ready"}
    if not health.is_ready:
        answer["problems"] = health.problems
    if health.degradations:
        answer["degraded"] = health.degradations
    if verbose is not None:
        answer["parts"] = {part: problem or "ready" for part, problem in health.parts.items()}
    return JSONResponse(answer, status_code=200 if health.is_ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(running: FromRunning) -> Response:
    """Counters and timings, in the text format of Prometheus."""
    for part, problem in running.health.parts.items():
        running.metrics.ready.labels(part).set(problem is None)
    return Response(generate_latest(running.metrics.registry), media_type=CONTENT_TYPE_LATEST)
