"""Who may use a route.

Every route but those of health has `requires(role)`. Where no API key was ever made, routes that are
`is_open_without_keys` answer anyone, and the others say how to make the first key.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException

from app.domain.access import Role
from app.transport.http.limits import RateLimit, client_address
from app.transport.http.running import FromRunning, Running
from app.transport.problem import RETRY_AFTER_SECONDS

HEADER = "X-API-Key"
SCHEMES: tuple[Any, ...] = (
    HTTPBearer(auto_error=False, scheme_name="bearer", description="An API key."),
    APIKeyHeader(name=HEADER, auto_error=False, scheme_name="header", description="An API key."),
)
FIRST_KEY = "No API key was made yet: make one with `python -m app key create --role admin`, or set ADMIN_API_KEY."
NO_KEY = f"Send an API key as `Authorization: Bearer <key>` or `{HEADER}: <key>`."
WRONG_KEY = "This API key is not known, has expired or was revoked."


def presented_key(request: Request) -> str | None:
    """The API key that came with a request."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else ""
    return bearer or request.headers.get(HEADER) or None


@dataclass(frozen=True, slots=True)
class Access:
    """The dependency that lets a request in, or answers it with a problem: 401, 403, 429 or 503."""

    role: Role
    is_open_without_keys: bool = False

    async def __call__(self, request: Request, running: FromRunning) -> None:
        presented, address = presented_key(request), client_address(request)
        key = running.keys.find(presented) if presented else None
        await _check_rate(running, running.limits.requests, key.key_id if key else address, "rate")
        if key is not None:
            if not key.role.covers(self.role):
                detail = f"This needs a key with the role {self.role}; yours has the role {key.role}."
                _refuse(running, "role", 403, detail)
            request.state.key_id = key.key_id
            return
        if not running.keys.has_been_read:
            detail = "Try again: the API keys have not been read yet, the database is away; /readyz says more."
            _refuse(running, "keys_unread", 503, detail, {"Retry-After": RETRY_AFTER_SECONDS})
        if self.is_open_without_keys and running.keys.is_open:
            return
        await self._refuse_stranger(running, presented, address)

    async def _refuse_stranger(self, running: Running, presented: str | None, address: str) -> NoReturn:
        if presented is not None:
            await _check_rate(running, running.limits.wrong_keys, address, "wrong_keys")
        advice = FIRST_KEY if running.keys.is_open else NO_KEY if presented is None else WRONG_KEY
        reason = "no_key" if presented is None else "wrong_key"
        detail = f"{advice} This needs a key with the role {self.role}."
        _refuse(running, reason, 401, detail, {"WWW-Authenticate": "Bearer"})


@dataclass(frozen=True, slots=True)
class AskingAccess:
    """For a page that asks people for a key: 200, or 401 where the page is all that they get."""

    access: Access

    async def __call__(self, request: Request, running: FromRunning) -> int:
        try:
            await self.access(request, running)
        except HTTPException as refusal:
            if refusal.status_code != 401:
                raise
            return refusal.status_code
        return 200


def requires(role: Role, *, is_open_without_keys: bool = False) -> Sequence[Any]:
    """The `dependencies` of a route or a router that wants a key of at least this role."""
    return [*map(Depends, SCHEMES), Depends(Access(role, is_open_without_keys))]


def sees_details(request: Request, running: Running) -> bool:
    """Whether a route that answers everybody may tell this one what can hold names of hosts."""
    if running.keys.is_open:
        return True
    presented = presented_key(request)
    key = running.keys.find(presented) if presented else None
    return key is not None and key.role.covers(Role.READ)


def access_by_path(app: FastAPI) -> Iterator[tuple[str, Access | None]]:
    """Each route's path, and who is let in (None: anyone)."""
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        calls = [one.call for one in dependant.dependencies] if dependant is not None else []
        found = [call.access if isinstance(call, AskingAccess) else call for call in calls]
        yield route.path or "", next((one for one in found if isinstance(one, Access)), None)


def open_without_keys(app: FastAPI) -> tuple[str, ...]:
    """The paths that answer anyone as long as no key was ever made."""
    return tuple(path for path, access in access_by_path(app) if access is not None and access.is_open_without_keys)


async def _check_rate(running: Running, limit: RateLimit | None, client: str, reason: str) -> None:
    if limit is not None and not await limit.admits(client):
        detail = f"Too many {'wrong API keys' if reason == 'wrong_keys' else 'requests'}: slow down."
        _refuse(running, reason, 429, detail, {"Retry-After": str(limit.retry_after)})


def _refuse(
    running: Running, reason: str, status: int, detail: str, headers: Mapping[str, str] | None = None
) -> NoReturn:
    running.metrics.http_refused.labels(reason).inc()
    raise HTTPException(status, detail, headers)
