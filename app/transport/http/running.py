"""What the routes work with: put there by main when the service starts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.domain.department import DepartmentNames
from app.errors import EventRefused, FieldProblem
from app.handlers import Services
from app.ports import Scorer
from app.transport.health import Health
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Running:
    """The running service; `model` is the scorer in the process.

    `drain` leaves the broker for good, and tells whether it had events waiting for this instance before.
    """

    services: Services
    model: Scorer
    outbox: Outbox
    names: DepartmentNames
    health: Health
    metrics: Metrics
    drain: Callable[[], Awaitable[bool]]


async def _running(request: Request) -> Running:
    running = request.app.state.running
    if not isinstance(running, Running):
        raise TypeError("the application has not been started")
    return running


FromRunning = Annotated[Running, Depends(_running)]


async def read_body(request: Request, limit: int) -> bytes:
    """The body, at most `limit` bytes of it. Raises EventRefused for a larger one, without reading it all."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise EventRefused([FieldProblem("", "too_large", f"must be at most {limit} bytes")])
    except ClientDisconnect:
        raise HTTPException(400, "The client went away before the end of its request.") from None
    return bytes(body)
