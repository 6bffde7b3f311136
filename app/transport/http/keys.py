"""The keys of this interface."""

from datetime import datetime
from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from app.access import make_key
from app.domain.access import MAX_EXPIRES_DAYS, MAX_NAME_LENGTH, Role
from app.transport.http.openapi import body_of, problems
from app.transport.http.running import FromRunning, read_body

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api/v1/keys", tags=["keys"])

MAX_REQUEST_BYTES = 4 * 1024

KeyId = Annotated[str, Path(pattern=r"^[!-~]{1,64}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


class KeyRequest(BaseModel):
    """What the new key is for."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    role: Role
    name: Annotated[str, Field(max_length=MAX_NAME_LENGTH), AfterValidator(_printable)] = ""
    expires_days: Annotated[int, Field(ge=1, le=MAX_EXPIRES_DAYS)] | None = None


class KeyAnswer(BaseModel):
    """A key, without its secret."""

    model_config = ConfigDict(from_attributes=True)

    key_id: str
    role: Role
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class NewKeyAnswer(KeyAnswer):
    """A key that was just made; `key` is shown this once."""

    key: str


@router.get("")
async def list_keys(running: FromRunning) -> list[KeyAnswer]:
    """Every key that was ever made; ADMIN_API_KEY of the environment is not among them."""
    return [KeyAnswer.model_validate(key) for key in await running.keys.store.all()]


@router.post("", status_code=201, openapi_extra=body_of(KeyRequest))
async def create_key(http_request: Request, running: FromRunning) -> NewKeyAnswer:
    """Make a key. Its text is in this answer and nowhere else."""
    try:
        request = KeyRequest.model_validate_json(await read_body(http_request, MAX_REQUEST_BYTES))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
    key, text = make_key(request.role, request.name, running.services.clock(), request.expires_days)
    await running.keys.store.add(key)
    await running.keys.read()
    log.info("API key made", key_id=key.key_id, role=key.role.value)
    return NewKeyAnswer(**KeyAnswer.model_validate(key).model_dump(), key=text)


@router.delete("/{key_id}", status_code=204, responses=problems(404))
async def revoke_key(key_id: KeyId, running: FromRunning) -> None:
    """End a key for good; other instances of the service know it within seconds."""
    if not await running.keys.store.revoke(key_id, running.services.clock()):
        raise HTTPException(404, "There is no such key.")
    await running.keys.read()
    log.info("API key revoked", key_id=key_id)
