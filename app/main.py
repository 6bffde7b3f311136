"""The composition root: builds everything, starts it, and stops it in order. Only the command line imports it.

`app` is made when it is asked for (`uvicorn app.main:app`), not when the module is imported.
"""

import asyncio
import sys
from asyncio import Task
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import stamina
import structlog
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app import __version__
from app.access import KeyRing
from app.adapters.breaker import Breaker
from app.adapters.canary import Canary
from app.adapters.central import HttpCentral
from app.adapters.csv_files import catalogue_coupons, customer_contexts, orphans, read_folder, with_shifted_dates
from app.adapters.memory import (
    MemoryApiKeys,
    MemoryBroker,
    MemoryCache,
    MemoryCatalogue,
    MemoryDeadLetterLog,
    MemoryDecisionLog,
)
from app.adapters.mqtt import MqttLink
from app.adapters.mqtt_connection import BrokerAccess
from app.adapters.postgres.cache import PostgresCache
from app.adapters.postgres.catalogue import PostgresCatalogue
from app.adapters.postgres.database import Database
from app.adapters.postgres.dead_letters import PostgresDeadLetterLog
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.postgres.instances import InstanceRequests
from app.adapters.postgres.keys import PostgresApiKeys
from app.adapters.postgres.upkeep import Upkeep
from app.adapters.scorer_http import FallbackScorer, HttpScorer
from app.adapters.scorer_sklearn import SklearnScorer, load_model
from app.domain.access import Role
from app.domain.department import DepartmentNames
from app.errors import ConfigurationError, DatabaseUnavailable
from app.events import CustomerEntry, CustomerFocus, EntryEnvelope, FocusEnvelope
from app.handlers import DecisionTerms, Services
from app.ports import ApiKeys, CatalogueHolder, Central, ContextCache, DeadLetterLog, DecisionLog, Publisher, Scorer
from app.results import ResultEncoder
from app.settings import EXIT_CODE, Settings
from app.transport import problem
from app.transport.asyncapi import ChannelNames
from app.transport.consumer import EntryConsumer, FocusConsumer
from app.transport.health import Health
from app.transport.http import decisions, docs, keys, mock, score
from app.transport.http import health as health_routes
from app.transport.http.access import open_without_keys, requires
from app.transport.http.access_log import AccessLog
from app.transport.http.limits import RateLimits
from app.transport.http.openapi import Application
from app.transport.http.running import Running
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox, Topics, retried
from app.utils.log_config import configure_logging

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 8.0
CANCEL_AGAIN_SECONDS = 1.0
KEPT_CONNECTIONS = 64
DESCRIPTION = "In-store coupon recommendation: entry and focus events in, one explained coupon out."

OPTIONAL_PARTS = ("central", "scorer", "canary", "canary_entry_events")


@dataclass(frozen=True, slots=True)
class Storage:
    """What is kept, in PostgreSQL or, without a database, in memory."""

    cache: ContextCache
    log: DecisionLog
    dead_letters: DeadLetterLog
    catalogue: CatalogueHolder
    api_keys: ApiKeys
    database: Database | None = None


@dataclass(frozen=True, slots=True)
class Links:
    """One link for focus events and results, one for entry events: acknowledgements leave in the order of receipt, and
    a customer must not wait because the central is slow about another.
    """

    focus: MqttLink
    entry: MqttLink


def __getattr__(name: str) -> FastAPI:
    if name == "app":
        return create_app(settings_or_exit())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def settings_or_exit() -> Settings:
    """Read the environment; on what is missing or wrong, say all of it and exit with code 78."""
    try:
        return Settings.from_environment()
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EXIT_CODE) from None


def create_app(settings: Settings) -> FastAPI:
    """The application with its routes. What it works with is opened when it starts."""
    app = Application(
        title="Recommendation service",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # docs has it, for those who may read
        lifespan=partial(_lifespan, settings),
    )
    app.bodies = (CustomerEntry, EntryEnvelope, CustomerFocus, FocusEnvelope, score.PredictionRequest, keys.KeyRequest)
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
    app.include_router(docs.docs_router(_channels(settings)))
    app.mount(docs.ASSETS, StaticFiles(directory=docs.STATIC))
    return app


@asynccontextmanager
async def _lifespan(settings: Settings, app: FastAPI) -> AsyncIterator[None]:
    hash_key = settings.log_hash_key.get_secret_value() if settings.log_hash_key else None
    configure_logging(settings.log_level, settings.log_filename, hash_key)
    if hash_key is None:
        log.info("LOG_HASH_KEY is not set: the hashes of customers in this log are those of this start alone")
    stamina.instrumentation.set_on_retry_hooks([])
    async with AsyncExitStack() as stack:
        app.state.running = await _start(stack, settings, open_without_keys(app))
        _warn_of_chosen_name(settings)
        log.info("started", version=__version__)
        yield
        log.info("stopping")
    log.info("stopped")


def _tell_of_open_doors(routes: Sequence[str], is_open: bool) -> None:
    if is_open:
        log.warning("no API key was made yet: these answer anyone who can reach them, keep them inside", routes=routes)
    else:
        log.info("API keys are asked for")


def _warn_of_chosen_name(settings: Settings) -> None:
    if not settings.testing_no_mqtt and not settings.mqtt_client_id:
        log.warning(
            "MQTT_CLIENT_ID is not set: on another host, events would not find this instance again",
            client_id=settings.client_id,
        )


async def adopt(settings: Settings) -> tuple[bool, int]:
    """Be the instance of these settings for as long as it takes to finish the events that the broker has for it.

    Tells whether the broker knew it, and how many events there were. Returns when its session has ended.
    """
    configure_logging(settings.log_level, settings.log_filename)
    stamina.instrumentation.set_on_retry_hooks([])
    async with AsyncExitStack() as stack:
        running = await _start(stack, settings, is_leaving=True)
        was_known = await running.drain()
        return was_known, running.metrics.events_read


async def _start(
    stack: AsyncExitStack, settings: Settings, open_routes: Sequence[str] = (), *, is_leaving: bool = False
) -> Running:
    metrics = Metrics()
    health = Health({"model": None}, optional=OPTIONAL_PARTS)  # without its model the service does not start
    names = DepartmentNames.with_aliases(settings.department_aliases)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=KEPT_CONNECTIONS)  # the callers bound calls
    client = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=None))  # noqa: S113 - and time
    model = await asyncio.to_thread(load_model, settings.model_dir)
    storage = await _build_storage(stack, settings, names, health)
    services = Services(
        cache=storage.cache,
        central=_build_central(settings, client, health),
        catalogue=storage.catalogue,
        scorer=_build_scorer(settings, client, model, health),
        log=storage.log,
        dead_letters=storage.dead_letters,
        encoder=ResultEncoder(settings.output_id_type, settings.max_products_in_message),
        terms=_build_terms(settings, model),
        clock=partial(datetime.now, UTC),
    )
    ring = await _start_keys(stack, settings, services, storage.api_keys, health, open_routes)
    running = partial(
        Running,
        services=services,
        model=model,
        names=names,
        health=health,
        metrics=metrics,
        keys=ring,
        limits=RateLimits(settings.http_rate_limit),
        open_without_keys=open_routes,
    )
    if settings.testing_no_mqtt:
        outbox = _start_outbox(stack, settings, services, MemoryBroker(), health, metrics)
        return running(outbox=outbox, drain=_nothing_to_leave)
    links = _build_links(settings, health, is_leaving=is_leaving)
    outbox = _start_messaging(stack, settings, services, links, names, health, metrics)
    drain = partial(_leave_broker, links, outbox, metrics)
    if storage.database is not None and not is_leaving:
        is_alone = not settings.mqtt_shared_group
        requests = InstanceRequests(storage.database, settings.client_id, drain, is_alone=is_alone)
        _spawn(stack, health, "instance requests", requests.run())
    return running(outbox=outbox, drain=drain)


async def _start_keys(
    stack: AsyncExitStack,
    settings: Settings,
    services: Services,
    api_keys: ApiKeys,
    health: Health,
    open_routes: Sequence[str],
) -> KeyRing:
    admin_key = settings.admin_api_key.get_secret_value() if settings.admin_api_key else None
    ring = KeyRing(api_keys, admin_key, services.clock, partial(_tell_of_open_doors, open_routes))
    if settings.testing_no_postgres:
        await ring.read()
    else:
        _spawn(stack, health, "API keys", ring.run())
    return ring


async def _build_storage(stack: AsyncExitStack, settings: Settings, names: DepartmentNames, health: Health) -> Storage:
    if settings.testing_no_postgres:
        return await asyncio.to_thread(_memory_storage, settings, names)
    database = await stack.enter_async_context(Database.open(settings.postgres_url, settings.db_pool_size))
    reports = [health.reporter(part) for part in ("database", "migrations", "catalogue")]
    for report in reports:
        report("not asked yet")
    catalogue = PostgresCatalogue(database, names, *reports)
    _spawn(stack, health, "catalogue", catalogue.run())
    retention = timedelta(days=settings.retention_days) if settings.retention_days else None
    _spawn(stack, health, "upkeep", Upkeep(database, retention).run())
    return Storage(
        PostgresCache(database, settings.unknown_customer),
        PostgresDecisionLog(database),
        PostgresDeadLetterLog(database),
        catalogue,
        PostgresApiKeys(database),
        database,
    )


def _memory_storage(settings: Settings, names: DepartmentNames) -> Storage:
    today = datetime.now(ZoneInfo(settings.store_timezone)).date()
    dataset, years = with_shifted_dates(read_folder(settings.data_dir), today)
    if years:
        log.warning("coupons have all expired: moved for testing without a database", years=years)
    refused = (*dataset.bad_rows, *orphans(dataset))
    if refused:
        log.warning("rows refused: `python -m app load DIR --dry-run` names them", rows=len(refused))
    return Storage(
        MemoryCache(customer_contexts(dataset, settings.unknown_customer)),
        MemoryDecisionLog(),
        MemoryDeadLetterLog(),
        MemoryCatalogue(catalogue_coupons(dataset, names)),
        MemoryApiKeys(),
    )


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


def _build_scorer(settings: Settings, client: httpx.AsyncClient, model: SklearnScorer, health: Health) -> Scorer:
    if settings.coupon_scorer_url is None or settings.testing_no_scoring_service:
        return model
    outside = HttpScorer(
        client,
        settings.coupon_scorer_url,
        settings.coupon_scorer_timeout_seconds,
        Breaker(),
        health.reporter("scorer"),
    )
    return FallbackScorer(outside, model)


def _build_terms(settings: Settings, model: SklearnScorer) -> DecisionTerms:
    threshold = settings.prediction_threshold
    return DecisionTerms(
        threshold=model.threshold if threshold is None else threshold,
        deployment=f"default@{model.version}",
        unknown_customer=settings.unknown_customer,
        time_zone=ZoneInfo(settings.store_timezone),
        context_ttl=timedelta(seconds=settings.client_context_ttl_seconds),
        max_event_age_seconds=settings.max_event_age_seconds,
        publishes_empty=settings.publish_empty_prediction,
    )


def _start_messaging(
    stack: AsyncExitStack,
    settings: Settings,
    services: Services,
    links: Links,
    names: DepartmentNames,
    health: Health,
    metrics: Metrics,
) -> Outbox:
    _spawn(stack, health, "broker link", links.focus.run())
    _spawn(stack, health, "broker link for entry events", links.entry.run())
    health.watch(lambda: links.focus.announce(health.problems))
    outbox = _start_outbox(stack, settings, services, links.focus, health, metrics)
    consumers = [
        _task(health, "focus consumer", FocusConsumer(services, links.focus, outbox, names, metrics).run()),
        _task(health, "entry consumer", EntryConsumer(services, links.entry, outbox, metrics).run()),
    ]
    stack.push_async_callback(_drain, links, consumers, outbox)
    return outbox


def _start_outbox(
    stack: AsyncExitStack,
    settings: Settings,
    services: Services,
    publisher: Publisher,
    health: Health,
    metrics: Metrics,
) -> Outbox:
    seconds = settings.message_expiry_seconds
    expiry = timedelta(seconds=seconds) if seconds else None
    topics = Topics(settings.coupon_prediction_topic_name, settings.dead_letter_topic, expiry)
    outbox = Outbox(services, publisher, topics, metrics, health.reporter("publishing"))
    _spawn(stack, health, "outbox", outbox.run())
    if not settings.testing_no_mqtt:  # the results of another instance are not for a broker in memory
        _spawn(stack, health, "sweeper", outbox.sweep())
    return outbox


def _build_links(settings: Settings, health: Health, *, is_leaving: bool) -> Links:
    access = BrokerAccess(
        brokers=settings.brokers,
        client_id=settings.client_id,
        protocol=settings.mqtt_protocol_version,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value() if settings.mqtt_password else None,
        tls=settings.broker_tls(),
        keepalive_seconds=settings.mqtt_keepalive_seconds,
        receive_maximum=settings.mqtt_receive_maximum,
        session_expiry_seconds=settings.mqtt_session_expiry_seconds,
    )
    group = settings.mqtt_shared_group

    def link(topic: str, suffix: str, part_suffix: str, status_topic: str | None) -> MqttLink:
        report = health.reporter(f"broker{part_suffix}")
        report("not connected yet")
        client_id = f"{access.client_id}{suffix}"
        on_refusal = health.reporter(f"canary{part_suffix}")
        canary = Canary(_without_wildcards(topic), client_id, on_refusal, is_alone=not group)
        subscriptions = [f"$share/{group}/{topic}" if group else topic]
        own_access = replace(access, client_id=client_id)
        return MqttLink(own_access, subscriptions, report, status_topic, canary, is_leaving=is_leaving)

    return Links(
        focus=link(settings.focus_event_topic_name, "", "", settings.status_topic),
        entry=link(settings.entry_event_topic_name, "-entry", "_entry_events", None),
    )


def _without_wildcards(topic_filter: str) -> str:
    """A topic that the filter matches."""
    return "/".join("canary" if level in ("+", "#") else level for level in topic_filter.split("/"))


async def _leave_broker(links: Links, outbox: Outbox, metrics: Metrics) -> bool:
    """Scale-in: take no new events, finish all that the broker has for this instance, leave no session behind.

    The focus link goes last, since outcomes of all events leave by it.
    """
    had_entries = await links.entry.drain()
    had_focus = await links.focus.drain()
    await retried(outbox.drain, metrics)
    return had_entries or had_focus


async def _nothing_to_leave() -> bool:
    return False


async def _drain(links: Links, consumers: Sequence[Task[None]], outbox: Outbox) -> None:
    """Take nothing more, finish what has been taken; what cannot be finished in time comes again."""
    links.focus.close_inbox()
    links.entry.close_inbox()
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await asyncio.gather(*consumers, return_exceptions=True)
            await outbox.drain()
    except (TimeoutError, DatabaseUnavailable) as error:
        log.warning("stopped with events in work: they come again", problem=repr(error))


def _spawn(stack: AsyncExitStack, health: Health, name: str, work: Coroutine[Any, Any, None]) -> None:
    """Run in the background until the stack is closed."""
    stack.push_async_callback(_cancel, _task(health, name, work))


def _task(health: Health, name: str, work: Coroutine[Any, Any, None]) -> Task[None]:
    def ended(task: Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("background work has crashed", work=name, exc_info=task.exception())
            health.crashed.append(name)

    task = asyncio.create_task(work, name=name)
    task.add_done_callback(ended)
    return task


async def _cancel(task: Task[None]) -> None:
    while not task.done():  # wait_for of Python 3.11, which libraries use, may swallow a cancellation
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN_SECONDS)


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
