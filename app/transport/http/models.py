"""The registry of models: which there are, which of them decides, and since when."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self, TypeVar

import orjson
import structlog
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from starlette.exceptions import HTTPException

from app import registry
from app.domain.access import Role
from app.domain.model_card import card_to_json
from app.domain.registry import Alias, AliasChange, Change, RegisteredModel
from app.errors import DatabaseUnavailable, EventRefused, ModelRefused, ModelUnknown
from app.model_bundle import MAX_BUNDLE_BYTES, MIB, from_bundle, to_bundle
from app.ports import ModelFiles
from app.transport.http.access import requires
from app.transport.http.openapi import body_of, problems
from app.transport.http.running import FromRunning, Running, read_body
from app.transport.problem import RETRY_AFTER_SECONDS

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/api/v1/models", tags=["models"], dependencies=requires(Role.READ))
admin_router = APIRouter(prefix="/api/v1/models", tags=["models"], dependencies=requires(Role.ADMIN))

MAX_REQUEST_BYTES = 16 * 1024
MAX_CHANGES = 1000
UPLOAD_SECONDS = 60.0
WAIT_SECONDS = 30.0  # for the models of others to have passed
ZIP = "application/zip"
ZIP_BODY = {"requestBody": {"required": True, "content": {ZIP: {"schema": {"type": "string", "format": "binary"}}}}}

Version = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,80}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError("is out of range") from None


Time = Annotated[datetime, BeforeValidator(_time)]
Reason = Annotated[str, Field(max_length=500), AfterValidator(_printable)]


class Promotion(BaseModel):
    """The version that the alias is to name; null: the model that the service was started with.

    With `force` a champion is succeeded by a model that falls behind it.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    version: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,80}$")] | None
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
    """A model of the registry; `aliases` are those that name it now.

    What the card says is null where this version of the service cannot read the card. `first_day` and `last_day` are of
    the coupons that it was fitted on.
    """

    version: str
    registered_at: datetime
    created_by: str
    bytes: int
    aliases: list[Alias]
    name: str | None = None
    sha256: str | None = None
    metrics: dict[str, float] | None = None
    first_day: date | None = None
    last_day: date | None = None


class AliasAnswer(BaseModel):
    """From `since` on, `alias` named `version`; null: the model that the service was started with."""

    alias: Alias
    version: str | None
    since: datetime
    changed_by: str
    reason: str
    is_forced: bool
    is_rollback: bool


class ServingAnswer(BaseModel):
    """The model that this instance scores with."""

    version: str
    threshold: float
    card: dict[str, Any]


@router.get("")
async def list_models(running: FromRunning) -> list[ModelAnswer]:
    """Every model of the registry, in the order of registration."""
    store = running.active.registry
    named = await store.named()
    return [_answer(model, named) for model in await store.models()]


@router.get("/serving")
async def serving(running: FromRunning) -> ServingAnswer:
    """The model that this instance scores with at this moment, with its card."""
    card = running.active.current.card
    return ServingAnswer(version=card.version, threshold=card.threshold, card=orjson.loads(card_to_json(card)))


@router.get("/aliases")
async def list_aliases(
    running: FromRunning,
    at: Annotated[Time | None, Query(description="What they named at this time; default: now.")] = None,
) -> dict[Alias, str | None]:
    """The version that each alias names, now or at a time; null: the model that the service was started with."""
    return dict(await running.active.registry.named(at))


@router.get("/aliases/{alias}")
async def alias_history(alias: Alias, running: FromRunning) -> list[AliasAnswer]:
    """What the alias has named, newest first: the last thousand changes."""
    changes = await running.active.registry.changes()
    return [_changed(one) for one in reversed(changes) if one.change.alias is alias][:MAX_CHANGES]


@router.get("/{version}", responses=problems(404))
async def read_card(version: Version, running: FromRunning) -> Response:
    """The model's card."""
    return Response((await _files(running, version)).card, media_type="application/json")


@router.get("/{version}/download", responses=problems(404, 503), response_class=Response)
async def download(version: Version, running: FromRunning) -> Response:
    """The model's files in one zip file."""
    async with _turn(running):
        bundle = await asyncio.to_thread(to_bundle, await _files(running, version))
    headers = {"content-disposition": f'attachment; filename="{version}.zip"'}
    return Response(bundle, media_type=ZIP, headers=headers)


@admin_router.post("", status_code=201, responses=problems(422, 503), openapi_extra=ZIP_BODY)
async def upload(http_request: Request, running: FromRunning) -> ModelAnswer:
    """Register a model, from one zip file with `model.skops`, `card.json` and, for trees, `trees.npz`.

    It is tried in a process of its own first. It serves only when an alias is pointed at it. One that is registered
    already is answered as it is.
    """
    store, now = running.active.registry, running.services.clock()
    async with _turn(running):
        files = await _uploaded(http_request)
        done = await registry.register(store, running.checker, files, now, _who(http_request))
    version = done.card.version
    if done.is_new:
        log.info("model registered", version=version)
    found = next((model for model in await store.models() if model.version == version), None)
    if found is None:
        raise ModelUnknown(version)
    return _answer(found, await store.named())


@admin_router.put("/aliases/{alias}", responses=problems(404, 409, 422), openapi_extra=body_of(Promotion))
async def point_alias(alias: Alias, http_request: Request, running: FromRunning) -> AliasAnswer:
    """Let the alias name a version. A champion decides in all instances within seconds, without a restart."""
    asked = await _body(http_request, Promotion)
    change = Change(alias, asked.version, _who(http_request), asked.reason, is_forced=asked.force)
    return await _done(running, await registry.point(running.active.registry, running.checker, change))


@admin_router.post("/aliases/{alias}/rollback", responses=problems(409, 422), openapi_extra=body_of(Rollback))
async def roll_back(alias: Alias, http_request: Request, running: FromRunning) -> AliasAnswer:
    """Let the alias name again what it named before; once more, what it named before that."""
    asked = await _body(http_request, Rollback)
    store, by = running.active.registry, _who(http_request)
    done = await registry.roll_back(store, running.checker, alias, changed_by=by, reason=asked.reason)
    return await _done(running, done)


@admin_router.delete("/{version}", status_code=204, responses=problems(404, 409))
async def delete_model(version: Version, running: FromRunning) -> None:
    """Delete a model that no alias names. What it has decided stays in the log, under its version."""
    await registry.remove(running.active.registry, version)
    log.info("model deleted", version=version)


async def _uploaded(http_request: Request) -> ModelFiles:
    try:
        body = await read_body(http_request, MAX_BUNDLE_BYTES, UPLOAD_SECONDS)
    except EventRefused:
        raise ModelRefused(f"the bundle is larger than {MAX_BUNDLE_BYTES // MIB} MiB") from None
    return await asyncio.to_thread(from_bundle, body)


@asynccontextmanager
async def _turn(running: Running) -> AsyncIterator[None]:
    """A few models at a time: each is held in memory."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await running.transfers.acquire()
    except TimeoutError:
        detail = "Try again: other models are being sent, and the service takes only a few at a time."
        raise HTTPException(503, detail, {"Retry-After": RETRY_AFTER_SECONDS}) from None
    try:
        yield
    finally:
        running.transfers.release()


async def _done(running: Running, change: AliasChange) -> AliasAnswer:
    with suppress(DatabaseUnavailable):  # then it is read as in the other instances, within seconds
        await running.active.read()
    one = change.change
    log.info("alias changed", alias=one.alias.value, version=one.version, is_forced=one.is_forced)
    return _changed(change)


def _changed(change: AliasChange) -> AliasAnswer:
    one = change.change
    return AliasAnswer(
        alias=one.alias,
        version=one.version,
        since=change.since,
        changed_by=one.changed_by,
        reason=one.reason,
        is_forced=one.is_forced,
        is_rollback=one.is_rollback,
    )


Body = TypeVar("Body", bound=BaseModel)


async def _body(http_request: Request, kind: type[Body]) -> Body:
    try:
        return kind.model_validate_json(await read_body(http_request, MAX_REQUEST_BYTES) or b"{}")
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None


async def _files(running: Running, version: str) -> ModelFiles:
    files = await running.active.registry.files(version)
    if files is None:
        raise ModelUnknown(version)
    return files


def _who(http_request: Request) -> str:
    return str(http_request.state.key_id)


def _answer(model: RegisteredModel, named: Mapping[Alias, str | None]) -> ModelAnswer:
    answer = ModelAnswer(
        version=model.version,
        registered_at=model.registered_at,
        created_by=model.created_by,
        bytes=model.bytes,
        aliases=[alias for alias, version in named.items() if version == model.version],
    )
    if (card := model.card) is not None:
        answer.name, answer.sha256, answer.metrics = card.name, card.model_sha256, dict(card.metrics)
        answer.first_day, answer.last_day = card.fit.first_day, card.fit.last_day
    return answer
