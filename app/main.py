"""The composition root: builds everything, starts it, and stops it in order. Only the command line imports it.

`app` is made when it is asked for (`uvicorn app.main:app`), not when the module is imported.
"""

import gc
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import stamina
import structlog
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app import __version__
from app.access import KeyRing
from app.active_model import ActiveModel
from app.adapters.breaker import Breaker
from app.adapters.central import HttpCentral
from app.adapters.model_check import ChildChecker
from app.adapters.postgres.instances import InstanceRequests
from app.adapters.scorer_http import FallbackScorer, HttpScorer
from app.adapters.scorer_sklearn import read_files
from app.adapters.scorer_worker import build_model
from app.assembly.background import Background
from app.assembly.messaging import BrokerMessaging, Messaging, NoMessaging
from app.assembly.storage import Storage, build_storage
from app.domain.access import Role
from app.domain.customer import CustomerContext
from app.domain.department import DepartmentNames
from app.drift import DriftWatch
from app.errors import ConfigurationError, DatabaseUnavailable, ModelRefused
from app.events import CustomerEntry, CustomerFocus, EntryEnvelope, FocusEnvelope
from app.handlers import DecisionTerms, Services
from app.ports import CatalogueHolder, Central, Model, ModelFiles, Scorer
from app.results import ResultEncoder
from app.settings import EXIT_CODE, Settings
from app.transport import problem
from app.transport.asyncapi import ChannelNames
from app.transport.health import Health
from app.transport.http import decisions, docs, keys, mock, models, score
from app.transport.http import health as health_routes
from app.transport.http.access import open_without_keys, requires
from app.transport.http.access_log import AccessLog
from app.transport.http.limits import RateLimits
from app.transport.http.openapi import Application
from app.transport.http.running import Running
from app.transport.metrics import Metrics
from app.utils.log_config import configure_logging

log = structlog.get_logger(__name__)

KEPT_CONNECTIONS = 64
COLLECT_AFTER = (20_000, 20, 50)  # objects more than before, then collections of the younger generation
DESCRIPTION = "In-store coupon recommendation: entry and focus events in, one explained coupon out."

OPTIONAL_PARTS = ("central", "scorer", "champion", "canary", "canary_entry_events", "drift")


def __getattr__(name: str) -> FastAPI:
    if name == "app":
        return app_or_exit()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def app_or_exit() -> FastAPI:
    """The application of the environment; on what is missing or wrong, say all of it and exit with code 78."""
    try:
        return create_app(Settings.from_environment())
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_CODE) from None


def create_app(settings: Settings) -> FastAPI:
    """The application with its routes. What it works with is opened when it starts, but its model is here.

    Raises ConfigurationError for a model that cannot be used.
    """
    shipped = _shipped_model(settings)
    app = Application(
        title="Recommendation service",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # docs has it, for those who may read
        lifespan=partial(_lifespan, settings, shipped),
    )
    app.bodies = (
        CustomerEntry,
        EntryEnvelope,
        CustomerFocus,
        FocusEnvelope,
        score.PredictionRequest,
        keys.KeyRequest,
        models.Promotion,
        models.Rollback,
    )
    problem.install(app)
    if settings.log_level == "DEBUG":
        app.add_middleware(AccessLog)
    app.include_router(health_routes.router)
    app.include_router(health_routes.metrics_router, dependencies=requires(Role.READ, is_open_without_keys=True))
    operates = requires(Role.OPERATE, is_open_without_keys=True)
    if settings.has_mock_endpoints:
        app.include_router(mock.router, dependencies=operates)
    app.include_router(score.router, dependencies=operates)
    app.include_router(decisions.router, dependencies=requires(Role.READ))
    app.include_router(keys.router, dependencies=requires(Role.ADMIN))
    app.include_router(models.router)
    app.include_router(models.admin_router)
    app.include_router(docs.docs_router(_channels(settings)))
    app.mount(docs.ASSETS, StaticFiles(directory=docs.STATIC))
    return app


@asynccontextmanager
async def _lifespan(settings: Settings, shipped: Model, app: FastAPI) -> AsyncIterator[None]:
    _configure(settings)
    async with AsyncExitStack() as stack:
        app.state.running = await _start(stack, settings, shipped, open_without_keys(app))
        _warn_of_names(settings)
        _rest_memory(stack)
        log.info("started", version=__version__)
        yield
        log.info("stopping")
    log.info("stopped")


def _rest_memory(stack: AsyncExitStack) -> None:
    """Take what the start has left out of the sight of the garbage collector, and let that look less often.

    A full collection would walk over all modules, a tenth of a second in which no event is answered. At the end of the
    stack all is as before.
    """
    stack.callback(gc.set_threshold, *gc.get_threshold())
    stack.callback(gc.unfreeze)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def _tell_of_open_doors(routes: Sequence[str], is_open: bool) -> None:
    if not routes:
        return  # who adopts answers nobody
    if is_open:
        log.warning("no API key was made yet: these answer anyone who can reach them, keep them inside", routes=routes)
    else:
        log.info("API keys are asked for")


def _warn_of_names(settings: Settings) -> None:
    if settings.mqtt_shared_group and "{client_id}" not in settings.status_topic_name:
        log.warning("all instances of the group tell their status on one topic: put {client_id} in STATUS_TOPIC_NAME")
    if not settings.testing_no_mqtt and not settings.mqtt_client_id:
        log.warning(
            "MQTT_CLIENT_ID is not set: on another host, events would not find this instance again",
            client_id=settings.client_id,
        )


async def adopt(settings: Settings) -> tuple[bool, int]:
    """Be the instance of these settings for as long as it takes to finish the events that the broker has for it.

    Tells whether the broker knew it, and how many events there were. Returns when its session has ended.
    """
    _configure(settings)
    async with AsyncExitStack() as stack:
        running = await _start(stack, settings, _shipped_model(settings), is_leaving=True)
        was_known = await running.leave()
        return was_known, running.metrics.events_read


def _configure(settings: Settings) -> None:
    hash_key = settings.log_hash_key.get_secret_value() if settings.log_hash_key else None
    configure_logging(settings.log_level, settings.log_filename, hash_key)
    if hash_key is None:
        log.info("LOG_HASH_KEY is not set: the hashes of customers in this log are those of this start alone")
    stamina.instrumentation.set_on_retry_hooks([])


async def _start(
    stack: AsyncExitStack,
    settings: Settings,
    shipped: Model,
    open_routes: Sequence[str] = (),
    *,
    is_leaving: bool = False,
) -> Running:
    metrics = Metrics()
    health = Health({"model": None}, optional=OPTIONAL_PARTS)  # without its model the service does not start
    background = Background(stack, health)
    names = DepartmentNames.with_aliases(settings.department_aliases)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS)  # the callers bound calls
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=None))  # noqa: S113 - and time
    storage = await build_storage(stack, settings, names, health, background)
    active = ActiveModel(storage.models, shipped, _build_model, health.reporter("champion"))
    stack.callback(active.close)
    clock, terms = partial(datetime.now, UTC), _build_terms(settings)
    services = Services(
        cache=storage.cache,
        central=_build_central(settings, client, health),
        catalogue=storage.catalogue,
        scorer=_build_scorer(settings, client, active, health),
        log=storage.log,
        dead_letters=storage.dead_letters,
        encoder=ResultEncoder(settings.output_id_type, settings.max_products_in_message),
        terms=terms,
        clock=clock,
        expect=_expecting(active, storage.catalogue, clock, terms.time_zone),
    )
    if settings.testing_no_postgres:
        await active.read()
    else:
        background.run("models", active.run())
    if not is_leaving:
        background.run("drift", _watch_drift(services, storage, active, health, metrics).run())
    ring = await _start_keys(settings, services, storage, background, open_routes)
    messaging: Messaging
    if settings.testing_no_mqtt:
        messaging = NoMessaging(settings, services, health, metrics, background)
    else:
        messaging = BrokerMessaging(
            stack, settings, services, names, health, metrics, background, is_leaving=is_leaving
        )
        if storage.database is not None and not is_leaving:
            is_alone = not settings.mqtt_shared_group
            requests = InstanceRequests(
                storage.database, settings.client_id, messaging.leave, background.start, is_alone=is_alone
            )
            background.run("instance requests", requests.run())
    return Running(
        services=services,
        active=active,
        checker=ChildChecker(),
        outbox=messaging.outbox,
        names=names,
        health=health,
        metrics=metrics,
        leave=messaging.leave,
        keys=ring,
        limits=RateLimits(settings.http_rate_limit),
        open_without_keys=open_routes,
    )


def _watch_drift(
    services: Services, storage: Storage, active: ActiveModel, health: Health, metrics: Metrics
) -> DriftWatch:
    return DriftWatch(
        storage.drift,
        services.log,
        services.catalogue,
        model=lambda: active.current,
        clock=services.clock,
        show=metrics.show_drift,
        report=health.reporter("drift"),
    )


async def _start_keys(
    settings: Settings, services: Services, storage: Storage, background: Background, open_routes: Sequence[str]
) -> KeyRing:
    admin_key = settings.admin_api_key.get_secret_value() if settings.admin_api_key else None
    ring = KeyRing(storage.api_keys, admin_key, services.clock, partial(_tell_of_open_doors, open_routes))
    if settings.testing_no_postgres:
        await ring.read()
    else:
        background.run("API keys", ring.run())
    return ring


def _build_central(settings: Settings, client: httpx.AsyncClient, health: Health) -> Central | None:
    if settings.client_context_url is None:
        return None
    return HttpCentral(
        client,
        settings.client_context_url,
        settings.client_context_timeout_seconds,
        settings.unknown_customer,
        Breaker(),
        health.reporter("central"),
    )


def _shipped_model(settings: Settings) -> Model:
    try:
        return build_model(read_files(settings.model_dir), settings.model_dir)
    except ModelRefused as error:
        raise ConfigurationError([f"Cannot use MODEL_DIR env variable: {error}."]) from error


def _build_model(version: str, files: ModelFiles) -> Model:
    return build_model(files, Path(version))


def _expecting(
    active: ActiveModel, catalogue: CatalogueHolder, clock: Callable[[], datetime], time_zone: tzinfo
) -> Callable[[Sequence[CustomerContext]], None]:
    def expect(contexts: Sequence[CustomerContext]) -> None:
        with suppress(DatabaseUnavailable):  # neither catalogue nor champion is known yet: scored when it is asked for
            coupons, today = catalogue.current, clock().astimezone(time_zone).date()
            active.expect(contexts, [coupons.screening(name, today) for name in coupons.departments])

    return expect


def _build_scorer(settings: Settings, client: httpx.AsyncClient, active: ActiveModel, health: Health) -> Scorer:
    if settings.coupon_scorer_url is None or settings.testing_no_scoring_service:
        return active
    outside = HttpScorer(
        client,
        settings.coupon_scorer_url,
        settings.coupon_scorer_timeout_seconds,
        Breaker(),
        lambda: active.threshold,
        health.reporter("scorer"),
    )
    return FallbackScorer(outside, active)


def _build_terms(settings: Settings) -> DecisionTerms:
    return DecisionTerms(
        threshold=settings.prediction_threshold,
        deployment="default",
        unknown_customer=settings.unknown_customer,
        time_zone=ZoneInfo(settings.store_timezone),
        context_ttl=timedelta(seconds=settings.client_context_ttl_seconds),
        max_event_age_seconds=settings.max_event_age_seconds,
        publishes_empty=settings.publish_empty_prediction,
    )


def _channels(settings: Settings) -> ChannelNames:
    if settings.testing_no_mqtt:
        return ChannelNames()
    return ChannelNames(
        entry=settings.entry_event_topic_name,
        focus=settings.focus_event_topic_name,
        prediction=settings.coupon_prediction_topic_name,
        dead_letter=settings.dead_letter_topic,
        status=settings.status_topic,
    )
