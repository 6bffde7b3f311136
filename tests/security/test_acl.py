"""Who may do what at the broker: the shipped access rules, cell by cell, on a real mosquitto."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest
import trustme
from structlog.testing import capture_logs

from app.adapters.mqtt_connection import BrokerAccess
from app.errors import PublishRefused
from app.ports import OutboundMessage
from app.settings import Settings
from tests.contract.broker import done, linked, received
from tests.security.shop import ROLES, ShopBroker, ShopClient, client_of, context_with, password_of

NOT_AUTHORIZED = 0x87
# r: subscribes and hears; w: publishes; -: neither.
TABLE = """
                               service  sensors  tills  monitoring
customer/enter                 rw       w        -      -
customer/focus                 rw       w        -      -
customer/prediction            w        -        r      -
customer/prediction/status     w        -        r      r
customer/prediction/status/1   w        -        r      r
customer/prediction/elsewhere  -        -        -      -
customer/focus/rejected        w        -        -      r
customer/elsewhere             -        -        -      -
office                         -        -        -      -
"""
HEADER, *ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [(role, topic, rights[column]) for topic, *rights in ROWS for column, role in enumerate(HEADER)]
TOPICS = [topic for topic, *_ in ROWS]


def service_access(broker: ShopBroker, folder: Path) -> BrokerAccess:
    """The service's way in."""
    return BrokerAccess(
        [(broker.host, broker.service_port)],
        "service-1",
        username="service",
        password=password_of("service"),
        tls=context_with(broker.ca_file, broker.ca.issue_cert("service@shop.example"), folder),
    )


Client = Callable[[str], ShopClient]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopBroker]:
    broker = ShopBroker(tmp_path_factory.mktemp("shop"), trustme.CA())
    # Someone who may publish everything, so that a subscriber's silence is the subscriber's own lack of rights.
    broker.access_rules += "\nuser tester\ntopic write #\n"
    broker.users += ("tester",)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def client(broker: ShopBroker) -> Iterator[Client]:
    with ExitStack() as stack:
        yield lambda role: stack.enter_context(client_of(broker, role))


def test_the_table_has_every_role() -> None:
    assert tuple(HEADER) == ROLES


def test_the_table_has_every_topic_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUS_EVENT_TOPIC_NAME", "customer/focus")
    monkeypatch.setenv("COUPON_PREDICTION_TOPIC_NAME", "customer/prediction")
    settings = Settings.partial()

    assert {settings.dead_letter_topic, settings.status_topic} <= set(TOPICS)


@pytest.mark.parametrize(("role", "topic", "rights"), CELLS)
def test_a_role_publishes_where_it_may_and_is_told_where_it_may_not(
    client: Client, role: str, topic: str, rights: str
) -> None:
    code = client(role).publish(topic, b"{}")

    assert (code == NOT_AUTHORIZED) == ("w" not in rights)
    assert code < 0x80 or code == NOT_AUTHORIZED


@pytest.mark.parametrize("prefix", ["", "$share/group/"], ids=["plain", "shared"])
@pytest.mark.parametrize(("role", "topic", "rights"), CELLS)
def test_a_role_hears_what_it_may_hear(client: Client, role: str, topic: str, rights: str, prefix: str) -> None:
    reader, writer = client(role), client("tester")
    reader.subscribe(prefix.replace("group", uuid4().hex) + topic)

    assert writer.publish(topic, b"{}") < 0x80

    assert reader.heard() == ([topic] if "r" in rights else [])


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("everything", ["#", "customer/#", "customer/+/+", "+/+"])
def test_who_asks_for_everything_hears_what_its_role_may_hear(client: Client, role: str, everything: str) -> None:
    reader, writer = client(role), client("tester")
    reader.subscribe(everything)

    for topic in TOPICS:
        writer.publish(topic, b"{}")

    readable = {topic for reader_role, topic, rights in CELLS if reader_role == role and "r" in rights}
    assert set(reader.heard()) == {topic for topic in readable if _matches(everything, topic)}


def _matches(topic_filter: str, topic: str) -> bool:
    return topic_filter in ("#", "customer/#") or topic_filter.count("/") == topic.count("/")


@pytest.mark.parametrize("role", ROLES)
def test_how_the_broker_does_is_told_to_monitoring_alone(client: Client, role: str) -> None:
    reader = client(role)

    reader.subscribe("$SYS/broker/version")

    assert (reader.heard() != []) == (role == "monitoring")


async def test_nobody_takes_the_client_id_of_the_service_and_with_it_its_events(
    broker: ShopBroker, tmp_path: Path
) -> None:
    service = service_access(broker, tmp_path)
    async with linked(service, "customer/focus"):
        pass

    def misbehave() -> None:
        with client_of(broker, "sensors") as sensor, client_of(broker, "tills", service.client_id) as till:
            sensor.publish("customer/focus", b"focus")
            assert till.heard() == []

    await asyncio.to_thread(misbehave)

    async with linked(service, "customer/focus") as link:
        (event,) = await received(link, 1)
        await asyncio.to_thread(misbehave)
        (other,) = await received(link, 1)
        assert (event.payload, other.payload) == (b"focus", b"focus")
        assert event.is_live()


async def test_a_status_that_the_broker_refuses_is_an_error_in_the_log(broker: ShopBroker) -> None:
    access = BrokerAccess(
        [(broker.host, broker.port)], "tills-1", username="tills", password=password_of("tills"), tls=broker.terms()
    )
    refusal = {
        "event": "broker refuses the status",
        "topic": "customer/prediction/status",
        "problem": "the broker refuses to publish on 'customer/prediction/status': Not authorized",
        "log_level": "error",
    }
    with capture_logs() as entries:
        async with linked(access, status_topic="customer/prediction/status") as link:
            with pytest.raises(PublishRefused):
                await done(link.publish(OutboundMessage("customer/prediction", b"{}", {})))

    assert refusal in entries
