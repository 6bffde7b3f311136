"""Errors as application/problem+json (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from app.errors import (
    EventRefused,
    ModelInUse,
    ModelRefused,
    ModelUnknown,
    NothingBefore,
    PromotionRefused,
    Unavailable,
)

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "2"
STATUS_OF: Mapping[type[Exception], int] = {
    ModelRefused: 422,
    ModelUnknown: 404,
    ModelInUse: 409,
    NothingBefore: 409,
    PromotionRefused: 409,
}


class ProblemField(BaseModel):
    """One field to blame."""

    field: str
    code: str
    detail: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemField] = []


def problem(
    status: int, detail: str, errors: Sequence[Mapping[str, Any]] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that says what went wrong; `errors` name the fields to blame."""
    title = HTTPStatus(status).phrase
    body: dict[str, Any] = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    if errors:
        body["errors"] = errors
    return Response(orjson.dumps(body), status, dict(headers or {}), media_type=MEDIA_TYPE)


def customer_of(scope: Mapping[str, Any]) -> str | None:
    """The customer whom a request is about: as its route noted it in `request.state.customer_id`, or from the path."""
    places: tuple[Mapping[str, str], ...] = (scope.get("state", {}), scope.get("path_params", {}))
    return next((place["customer_id"] for place in places if "customer_id" in place), None)


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""
    app.add_exception_handler(EventRefused, _event_refused)
    app.add_exception_handler(RequestValidationError, _request_refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Unavailable, _unavailable)
    for kind in STATUS_OF:
        app.add_exception_handler(kind, _model_error)
    app.add_exception_handler(Exception, _unexpected)


async def _event_refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, EventRefused):
        raise error
    errors = [{"field": one.field, "code": one.code, "detail": one.detail} for one in error.problems]
    return problem(422, f"The event is refused ({error.code}): {error}", errors)


async def _request_refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [
        {"field": ".".join(map(str, one["loc"])), "code": one["type"], "detail": one["msg"]} for one in error.errors()
    ]
    return problem(422, "The request does not follow its schema.", errors)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return problem(error.status_code, str(error.detail), headers=error.headers)


async def _model_error(request: Request, error: Exception) -> Response:
    return problem(STATUS_OF[type(error)], f"Refused: {error}.")


async def _unavailable(request: Request, error: Exception) -> Response:
    log.warning("request put off", problem=str(error), customer_id=customer_of(request.scope))
    detail = f"Try again: {_away(error)} is away or not ready yet; /readyz says more."
    return problem(503, detail, headers={"retry-after": RETRY_AFTER_SECONDS})


def _away(error: Exception) -> str:
    return type(error).__name__.removesuffix("Unavailable").lower()


async def _unexpected(request: Request, error: Exception) -> Response:
    # The server logs the error after this, in the same task: that line, too, is to have a hash for the customer's id.
    structlog.contextvars.bind_contextvars(customer_id=customer_of(request.scope))
    return problem(500, "The service has a fault; its log says more.")
