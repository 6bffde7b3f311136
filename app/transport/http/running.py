"""What the routes work with: put there by main when the service starts."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.access import KeyRing
from app.active_model import ActiveModel
from app.domain.department import DepartmentNames
from app.errors import EventRefused, FieldProblem
from app.handlers import Services
from app.ports import ModelChecker
from app.transport.health import Health
from app.transport.http.limits import RateLimits
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox

BODY_SECONDS = 10.0
MAX_TRANSFERS = 2


@dataclass(frozen=True, slots=True)
class Running:
    """The running service; `active` is the scorer in the process.

    `leave` leaves the broker for good, and tells whether it had events waiting for this instance before. `transfers`
    bounds how many models are sent at a time.
    `open_without_keys` are the paths that answer anyone as long as no API key was ever made.
    """

    services: Services
    active: ActiveModel
    checker: ModelChecker
    outbox: Outbox
    names: DepartmentNames
    health: Health
    metrics: Metrics
    keys: KeyRing
    limits: RateLimits
    open_without_keys: Sequence[str]
    leave: Callable[[], Awaitable[bool]]
    transfers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_TRANSFERS))


async def _running(request: Request) -> Running:
    running = request.app.state.running
    if not isinstance(running, Running):
        raise TypeError("the application has not been started")
    return running


FromRunning = Annotated[Running, Depends(_running)]


async def read_body(request: Request, limit: int, seconds: float = BODY_SECONDS) -> bytes:
    """The body, at most `limit` bytes of it, sent within so many seconds.

    Raises EventRefused for a larger one, without reading it all.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise EventRefused([FieldProblem("", "too_large", f"must be at most {limit} bytes")])
    except ClientDisconnect:
        raise HTTPException(400, "The client went away before the end of its request.") from None
    except TimeoutError:
        raise HTTPException(408, f"The body of the request did not come within {seconds:g} seconds.") from None
    return bytes(body)
