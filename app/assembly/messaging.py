"""The broker, and what goes in and out by it."""

import asyncio
from asyncio import Task
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Protocol

import structlog

from app.adapters.canary import Canary
from app.adapters.memory import MemoryBroker
from app.adapters.mqtt import MqttLink
from app.adapters.mqtt_connection import BrokerAccess
from app.assembly.background import Background
from app.domain.department import DepartmentNames
from app.errors import DatabaseUnavailable
from app.handlers import Services
from app.ports import Publisher
from app.settings import ENTRY_SUFFIX, Settings
from app.transport.consumer import EntryConsumer, FocusConsumer
from app.transport.health import Health
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox, Topics, retried

log = structlog.get_logger(__name__)

STOP_SECONDS = 8.0


class Messaging(Protocol):
    """Events in, outcomes out."""

    outbox: Outbox

    async def leave(self) -> bool:
        """Scale-in: take no new events, finish all that the broker has for this instance, leave no session behind.

        Tells whether the broker knew this instance before.
        """
        ...


class NoMessaging:
    """Without a broker: events come over HTTP alone, and their outcomes are remembered for a while."""

    def __init__(
        self, settings: Settings, services: Services, health: Health, metrics: Metrics, background: Background
    ) -> None:
        self.outbox = _outbox(settings, services, MemoryBroker(), health, metrics)
        background.run("outbox", self.outbox.run())

    async def leave(self) -> bool:
        """See Messaging."""
        return False


class BrokerMessaging:
    """One link for focus events and results, one for entry events: acknowledgements leave in the order of receipt, and
    a customer must not wait because the central is slow about another.

    With `is_leaving`, nothing is subscribed to: it is there to leave.
    """

    def __init__(
        self,
        stack: AsyncExitStack,
        settings: Settings,
        services: Services,
        names: DepartmentNames,
        health: Health,
        metrics: Metrics,
        background: Background,
        *,
        is_leaving: bool,
    ) -> None:
        self._metrics = metrics
        link = partial(_link, settings, health, metrics, is_leaving=is_leaving)
        name, entry_name = settings.client_id, f"{settings.client_id}{ENTRY_SUFFIX}"
        self._focus = link(settings.focus_event_topic_name, name, "", None if is_leaving else settings.status_topic)
        self._entry = link(settings.entry_event_topic_name, entry_name, "_entry_events", None)
        self.outbox = _outbox(settings, services, self._focus, health, metrics)
        background.run("broker link", self._focus.run())
        background.run("broker link for entry events", self._entry.run())
        background.run("outbox", self.outbox.run())
        for kind, one in (("focus", self._focus), ("entry", self._entry)):
            metrics.waiting.labels(kind).set_function(partial(getattr, one, "waiting"))
            metrics.unacknowledged.labels(kind).set_function(partial(getattr, one, "unacknowledged"))
        health.watch(lambda: self._focus.announce(health.problems, health.degradations))
        report = health.reporter("decision_log")
        focus = FocusConsumer(services, self._focus, self.outbox, names, metrics, report)
        entry = EntryConsumer(services, self._entry, self.outbox, metrics)
        consumers = [background.start("focus consumer", focus.run()), background.start("entry consumer", entry.run())]
        stack.push_async_callback(self._stop, consumers)
        background.run("sweeper", self.outbox.sweep())  # ends before `_stop`, which marks what it has published

    async def leave(self) -> bool:
        """See Messaging. The focus link goes last, since outcomes of all events leave by it."""
        had_entries = await self._entry.leave()
        had_focus = await self._focus.leave()
        await retried(self.outbox.flush, self._metrics)
        return had_entries or had_focus

    async def _stop(self, consumers: Sequence[Task[None]]) -> None:
        """Take nothing more, finish what has been taken; what cannot be finished in time comes again."""
        self._focus.close_inbox()
        self._entry.close_inbox()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*consumers, return_exceptions=True)
                await self.outbox.flush()
        except (TimeoutError, DatabaseUnavailable) as error:
            log.warning("stopped with events in work: they come again", problem=repr(error))


def _outbox(settings: Settings, services: Services, publisher: Publisher, health: Health, metrics: Metrics) -> Outbox:
    seconds = settings.message_expiry_seconds
    expiry = timedelta(seconds=seconds) if seconds else None
    topics = Topics(settings.coupon_prediction_topic_name, settings.dead_letter_topic, expiry)
    return Outbox(services, publisher, topics, metrics, health.reporter("publishing"))


def _link(
    settings: Settings,
    health: Health,
    metrics: Metrics,
    topic: str,
    client_id: str,
    part_suffix: str,
    status_topic: str | None,
    *,
    is_leaving: bool,
) -> MqttLink:
    """`part_suffix` is what tells this link's parts of health from those of the other, if anything."""
    access = _access(settings, client_id)
    report = health.expect(f"broker{part_suffix}", "not connected yet")
    group = settings.mqtt_shared_group
    on_refusal = health.reporter(f"canary{part_suffix}")
    canary = Canary(_without_wildcards(topic), access.client_id, on_refusal, is_alone=not group)
    subscriptions = [f"$share/{group}/{topic}" if group else topic]

    def left_out(why: str) -> None:
        metrics.left_out.labels(why).inc()

    return MqttLink(access, subscriptions, report, status_topic, canary, left_out, is_leaving=is_leaving)


def _access(settings: Settings, client_id: str) -> BrokerAccess:
    return BrokerAccess(
        brokers=settings.brokers,
        client_id=client_id,
        protocol=settings.mqtt_protocol_version,
        username=settings.mqtt_username,
        password=settings.mqtt_password.get_secret_value() if settings.mqtt_password else None,
        tls=settings.broker_tls(),
        keepalive_seconds=settings.mqtt_keepalive_seconds,
        receive_maximum=settings.mqtt_receive_maximum,
        session_expiry_seconds=settings.mqtt_session_expiry_seconds,
    )


def _without_wildcards(topic_filter: str) -> str:
    """A topic that the filter matches."""
    return "/".join("canary" if level in ("+", "#") else level for level in topic_filter.split("/"))
