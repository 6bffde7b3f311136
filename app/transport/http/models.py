"""The registry of models: which there are, which of them decides, and since when."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self, TypeVar

import orjson
import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from app import registry
from app.domain.access import Role
from app.domain.model_card import card_to_json
from app.domain.registry import Alias, AliasChange, RegisteredModel, current
from app.errors import ModelUnknown
from app.model_bundle import MAX_BUNDLE_BYTES, from_bundle, to_bundle
from app.ports import ModelFiles
from app.transport.http.access import requires
from app.transport.http.openapi import body_of, problems
from app.transport.http.running import FromRunning, Running, read_body

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api/v1/models", tags=["models"], dependencies=requires(Role.READ))
admin_router = APIRouter(prefix="/api/v1/models", tags=["models"], dependencies=requires(Role.ADMIN))

MAX_REQUEST_BYTES = 16 * 1024
UPLOAD_SECONDS = 120.0
ZIP = "application/zip"
ZIP_BODY = {"requestBody": {"required": True, "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}}}

Version = Annotated[str, Path(pattern=r"^[!-~]{1,128}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Reason = Annotated[str, Field(max_length=500), AfterValidator(_printable)]


class Promotion(BaseModel):
    """The version that the alias is to name; `force` lets a champion be succeeded by a model that falls behind it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
    reason: Reason = ""
    force: bool = False

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.force and not self.reason.strip():
            raise ValueError("a forced promotion needs a reason")
        return self


class Rollback(BaseModel):
    """Why."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    reason: Reason = ""


class ModelAnswer(BaseModel):
    """A model of the registry; `aliases` are those that name it now."""

    version: str
    name: str
    sha256: str
    registered_at: datetime
    created_by: str
    bytes: int
    aliases: list[Alias]
    metrics: dict[str, float]


class AliasAnswer(BaseModel):
    """From `since` on, `alias` named `version`; null: the model that the service was started with."""

    model_config = ConfigDict(from_attributes=True)

    alias: Alias
    version: str | None
    since: datetime
    changed_by: str
    reason: str
    is_forced: bool


class ServingAnswer(BaseModel):
    """The model that this instance scores with."""

    version: str
    threshold: float
    card: dict[str, Any]


@router.get("")
async def list_models(running: FromRunning) -> list[ModelAnswer]:
    """Every model of the registry, in the order of registration."""
    store = running.active.registry
    changes = await store.changes()
    return [_answer(model, changes) for model in await store.models()]


@router.get("/serving")
async def serving(running: FromRunning) -> ServingAnswer:
    """The model that this instance scores with at this moment, with its card."""
    card = running.active.current.card
    return ServingAnswer(version=card.version, threshold=card.threshold, card=orjson.loads(card_to_json(card)))


@router.get("/aliases")
async def list_aliases(
    running: FromRunning,
    at: Annotated[datetime | None, Query(description="What they named at this time; default: now.")] = None,
) -> dict[Alias, str | None]:
    """The version that each alias names, now or at a time; null: the model that the service was started with."""
    if at is not None and at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    changes = await running.active.registry.changes()
    return {alias: current(changes, alias, at) for alias in Alias}


@router.get("/aliases/{alias}")
async def alias_history(alias: Alias, running: FromRunning) -> list[AliasAnswer]:
    """All that the alias has ever named, newest first."""
    changes = await running.active.registry.changes()
    return [AliasAnswer.model_validate(one) for one in reversed(changes) if one.alias is alias]


@router.get("/{version}", responses=problems(404))
async def read_card(version: Version, running: FromRunning) -> Response:
    """The model's card."""
    return Response((await _files(running, version)).card, media_type="application/json")


@router.get("/{version}/download", responses=problems(404), response_class=Response)
async def download(version: Version, running: FromRunning) -> Response:
    """The model's files in one zip file."""
    bundle = await asyncio.to_thread(to_bundle, await _files(running, version))
    headers = {"content-disposition": 'attachment; filename="model.zip"'}
    return Response(bundle, media_type=ZIP, headers=headers)


@admin_router.post("", status_code=201, responses=problems(422), openapi_extra=ZIP_BODY)
async def upload(http_request: Request, running: FromRunning) -> ModelAnswer:
    """Register a model, from one zip file with `model.skops`, `card.json` and, for trees, `trees.npz`.

    It is tried in a process of its own first. It serves only when an alias is pointed at it.
    """
    files = await asyncio.to_thread(from_bundle, await read_body(http_request, MAX_BUNDLE_BYTES, UPLOAD_SECONDS))
    store, now, by = running.active.registry, running.services.clock(), _who(http_request)
    card, is_new = await registry.register(store, running.checker, files, now, by)
    if is_new:
        log.info("model registered", version=card.version)
    (found,) = [model for model in await store.models() if model.card.version == card.version]
    return _answer(found, await store.changes())


@admin_router.put("/aliases/{alias}", responses=problems(404, 409, 422), openapi_extra=body_of(Promotion))
async def point_alias(alias: Alias, http_request: Request, running: FromRunning) -> AliasAnswer:
    """Let the alias name a version. A champion decides in all instances within seconds, without a restart."""
    asked = await _body(http_request, Promotion)
    change = await registry.point(
        running.active.registry,
        running.checker,
        alias,
        asked.version,
        changed_by=_who(http_request),
        reason=asked.reason,
        is_forced=asked.force,
    )
    return await _changed(running, change)


@admin_router.post("/aliases/{alias}/rollback", responses=problems(404), openapi_extra=body_of(Rollback))
async def roll_back(alias: Alias, http_request: Request, running: FromRunning) -> AliasAnswer:
    """Let the alias name again what it named before."""
    asked = await _body(http_request, Rollback)
    store, by = running.active.registry, _who(http_request)
    return await _changed(running, await registry.roll_back(store, alias, changed_by=by, reason=asked.reason))


@admin_router.delete("/{version}", status_code=204, responses=problems(404, 409))
async def delete_model(version: Version, running: FromRunning) -> None:
    """Delete a model that no alias names. What it has decided stays in the log, under its version."""
    await registry.remove(running.active.registry, version)
    log.info("model deleted", version=version)


async def _changed(running: Running, change: AliasChange) -> AliasAnswer:
    await running.active.read()
    log.info("alias changed", alias=change.alias.value, version=change.version, is_forced=change.is_forced)
    return AliasAnswer.model_validate(change)


Body = TypeVar("Body", bound=BaseModel)


async def _body(http_request: Request, kind: type[Body]) -> Body:
    try:
        return kind.model_validate_json(await read_body(http_request, MAX_REQUEST_BYTES))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


async def _files(running: Running, version: str) -> ModelFiles:
    files = await running.active.registry.files(version)
    if files is None:
        raise ModelUnknown(version)
    return files


def _who(http_request: Request) -> str:
    return str(http_request.state.key_id)


def _answer(model: RegisteredModel, changes: Sequence[AliasChange]) -> ModelAnswer:
    card = model.card
    return ModelAnswer(
        version=card.version,
        name=card.name,
        sha256=card.model_sha256,
        registered_at=model.registered_at,
        created_by=model.created_by,
        bytes=model.bytes,
        aliases=[alias for alias in Alias if current(changes, alias) == card.version],
        metrics=dict(card.metrics),
    )
