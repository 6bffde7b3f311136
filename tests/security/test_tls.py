"""TLS to the broker: what is right connects, and what is wrong is told in a sentence and tried again."""

import asyncio
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from app.adapters.mqtt import MqttLink
from app.adapters.mqtt_connection import BrokerAccess
from app.embedded.broker import EmbeddedBroker
from app.embedded.ports import LOOPBACK, free_port
from app.tls import problem_of
from tests.builders import stop
from tests.contract.broker import States, linked, received
from tests.security.shop import ShopBroker, client_of, context_with, password_of, write_pem

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
TOMORROW = datetime.now(UTC) + timedelta(days=1)
FOCUS = "customer/focus"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def foreign_ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, ca: trustme.CA) -> Iterator[ShopBroker]:
    broker = ShopBroker(tmp_path_factory.mktemp("shop"), ca)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def parts() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def with_certificate(parts: ExitStack, folder: Path, ca: trustme.CA, certificate: trustme.LeafCert) -> ShopBroker:
    """A shop's broker that presents this certificate."""
    broker = ShopBroker(folder, ca, certificate)
    parts.callback(broker.stop)
    broker.start()
    return broker


def access(port: int, tls: ssl.SSLContext | None) -> BrokerAccess:
    return BrokerAccess([(LOOPBACK, port)], "service-1", username="service", password=password_of("service"), tls=tls)


def password_access(broker: ShopBroker, folder: Path) -> BrokerAccess:
    """The right way in with user and password."""
    return access(broker.port, context_with(broker.ca_file, None, folder))


def certificate_access(broker: ShopBroker, folder: Path, certificate: trustme.LeafCert | None) -> BrokerAccess:
    """The way in for services, where a client certificate is wanted, too."""
    return access(broker.service_port, context_with(broker.ca_file, certificate, folder))


def speaking(version: ssl.TLSVersion, of: BrokerAccess) -> BrokerAccess:
    """The same with no other version of TLS: 1.2 refuses a client certificate in the handshake, 1.3 after it."""
    assert of.tls is not None
    of.tls.minimum_version = of.tls.maximum_version = version
    return of


async def refusals(of: BrokerAccess, until: str) -> list[str]:
    """What a link says of itself until it has said this, and has tried again."""
    states = States()
    running = asyncio.create_task(MqttLink(of, [FOCUS], states).run())
    try:
        await states.until(lambda said: any(until in str(one) for one in said[:-1]))
    finally:
        await stop(running)
    assert None not in states.said
    assert all(one is not None and one.startswith(f"{LOOPBACK}:{of.brokers[0][1]}: ") for one in states.said)
    assert not any(raw in str(states.said) for raw in ("[SSL", "_ssl.c", "Errno", "Traceback"))
    return [str(one) for one in states.said]


async def hears_an_event(of: BrokerAccess, broker: ShopBroker) -> None:
    """The link gets what a camera sends."""
    async with linked(of, FOCUS) as link:
        with client_of(broker, "sensors") as sensor:
            await asyncio.to_thread(sensor.publish, FOCUS, b"focus")
        (event,) = await received(link, 1)
        event.acknowledge()
        assert event.payload == b"focus"


# The ways in


async def test_the_right_ca_user_and_password_bring_events(shop: ShopBroker, tmp_path: Path) -> None:
    await hears_an_event(password_access(shop, tmp_path), shop)


async def test_the_right_client_certificate_brings_events(shop: ShopBroker, tmp_path: Path, ca: trustme.CA) -> None:
    certificate = ca.issue_cert("service@shop.example")

    await hears_an_event(certificate_access(shop, tmp_path, certificate), shop)


# The broker is not who it should be


async def test_a_broker_of_another_ca_is_refused(shop: ShopBroker, tmp_path: Path, foreign_ca: trustme.CA) -> None:
    foreign = write_pem(tmp_path / "foreign.crt", foreign_ca.cert_pem)

    await refusals(
        access(shop.port, context_with(foreign, None, tmp_path)), "the broker's certificate is signed by no CA in"
    )


async def test_a_certificate_for_another_name_is_refused(parts: ExitStack, tmp_path: Path, ca: trustme.CA) -> None:
    broker = with_certificate(parts, tmp_path, ca, ca.issue_cert("broker.elsewhere.example"))
    by_address = password_access(broker, tmp_path)

    said = await refusals(by_address, "the broker's certificate is for another name than the one in MQTT_HOST")

    assert LOOPBACK in said[0]


@pytest.mark.parametrize(
    ("not_before", "not_after", "sentence"),
    [
        (None, YESTERDAY, "the broker's certificate has expired"),
        (TOMORROW, None, "the broker's certificate is not valid yet: perhaps a clock is wrong"),
    ],
    ids=["expired", "not yet valid"],
)
async def test_a_certificate_out_of_its_time_is_refused(
    parts: ExitStack,
    tmp_path: Path,
    ca: trustme.CA,
    not_before: datetime | None,
    not_after: datetime | None,
    sentence: str,
) -> None:
    certificate = ca.issue_cert(LOOPBACK, not_before=not_before, not_after=not_after)
    broker = with_certificate(parts, tmp_path, ca, certificate)

    await refusals(password_access(broker, tmp_path), sentence)


# The broker does not speak as it should


class OldBroker(socketserver.TCPServer):
    """A server that speaks no TLS newer than 1.1: mosquitto cannot be told to."""

    def __init__(self, certificate: trustme.LeafCert) -> None:
        super().__init__((LOOPBACK, 0), socketserver.BaseRequestHandler)
        self.port: int = self.server_address[1]
        self.spoken: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self._context)
        self._context.set_ciphers("ALL:@SECLEVEL=0")
        self._context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        self._context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3

    def process_request(self, request: Any, client_address: object) -> None:
        with suppress(OSError), self._context.wrap_socket(request, server_side=True) as sock:
            self.spoken.append(sock.version())
        request.close()


@contextmanager
def old_broker(ca: trustme.CA) -> Iterator[OldBroker]:
    with OldBroker(ca.issue_cert(LOOPBACK)) as broker:
        thread = threading.Thread(target=broker.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield broker
        finally:
            broker.shutdown()
            thread.join()


def old_client(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
async def test_a_broker_without_tls_1_2_is_refused(tmp_path: Path, ca: trustme.CA) -> None:
    ca_file = write_pem(tmp_path / "ca.crt", ca.cert_pem)
    with old_broker(ca) as broker:
        of = access(broker.port, context_with(ca_file, None, tmp_path))
        await refusals(of, "the broker speaks no TLS 1.2 or newer")
        to_service = list(broker.spoken)
        _, writer = await asyncio.open_connection(LOOPBACK, broker.port, ssl=old_client(ca))
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    assert (to_service, broker.spoken) == ([], ["TLSv1.1"])


@pytest.mark.filterwarnings("ignore:ssl:DeprecationWarning")
async def test_the_shops_broker_speaks_no_tls_1_1(shop: ShopBroker, ca: trustme.CA) -> None:
    context = old_client(ca)
    context.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3

    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection(LOOPBACK, shop.port, ssl=context)


async def test_a_broker_without_tls_is_refused(parts: ExitStack, tmp_path: Path, shop: ShopBroker) -> None:
    plain = EmbeddedBroker(tmp_path, free_port())
    parts.callback(plain.stop)
    plain.start()

    await refusals(access(plain.port, context_with(shop.ca_file, None, tmp_path)), "perhaps this port is without TLS")


async def test_another_server_on_the_port_is_refused(shop: ShopBroker, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, LOOPBACK) as server:
        port = server.sockets[0].getsockname()[1]
        of = access(port, context_with(shop.ca_file, None, tmp_path))
        await refusals(of, "the broker does not speak TLS on this port")


def tls_error(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "[SSL] (_ssl.c:1)")
    vars(error).update(reason=reason)
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TimeoutError("_ssl.c:989: The handshake operation timed out"), "the broker did not answer in time"),
        (tls_error("BAD_LENGTH"), "TLS with the broker failed: bad length"),
        (tls_error(None), "TLS with the broker failed: no reason given"),
        (OSError("Network is unreachable"), "Network is unreachable"),
        (OSError(), "OSError"),
    ],
)
def test_whatever_fails_is_told_in_words(error: OSError, sentence: str) -> None:
    assert problem_of(error) == sentence


async def test_a_service_without_tls_is_refused_and_told(shop: ShopBroker) -> None:
    await refusals(access(shop.port, None), "perhaps this port wants TLS: set MQTT_BROKER_CERT_FILE")


# The service is not who it should be


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (
            ssl.TLSVersion.TLSv1_2,
            "the broker breaks off: perhaps it wants a client certificate (MQTT_CLIENT_CERT_FILE)",
        ),
        (ssl.TLSVersion.TLSv1_3, "the broker wants a client certificate: set MQTT_CLIENT_CERT_FILE"),
    ],
)
async def test_a_service_without_a_certificate_is_told_that_it_needs_one(
    shop: ShopBroker, tmp_path: Path, version: ssl.TLSVersion, sentence: str
) -> None:
    await refusals(speaking(version, certificate_access(shop, tmp_path, None)), sentence)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_client_certificate_of_another_ca_is_told(
    shop: ShopBroker, tmp_path: Path, foreign_ca: trustme.CA, version: ssl.TLSVersion
) -> None:
    foreign = certificate_access(shop, tmp_path, foreign_ca.issue_cert("service@shop.example"))

    await refusals(speaking(version, foreign), "the broker does not know the CA of MQTT_CLIENT_CERT_FILE")


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_expired_client_certificate_is_told(
    shop: ShopBroker, tmp_path: Path, ca: trustme.CA, version: ssl.TLSVersion
) -> None:
    expired = certificate_access(shop, tmp_path, ca.issue_cert("service@shop.example", not_after=YESTERDAY))

    await refusals(speaking(version, expired), "the broker says that MQTT_CLIENT_CERT_FILE has expired")


@pytest.mark.parametrize(
    ("user", "password"),
    [("service", "guess"), ("service", None), ("nobody", password_of("service")), (None, None)],
    ids=["wrong password", "no password", "unknown user", "no user"],
)
async def test_a_wrong_user_or_password_is_told(
    shop: ShopBroker, tmp_path: Path, user: str | None, password: str | None
) -> None:
    of = replace(password_access(shop, tmp_path), username=user, password=password)

    await refusals(of, "the broker refuses the connection: Not authorized")


async def test_what_was_refused_connects_when_it_has_been_put_right(
    parts: ExitStack, tmp_path: Path, ca: trustme.CA
) -> None:
    broker = with_certificate(parts, tmp_path / "shop", ca, ca.issue_cert(LOOPBACK, not_after=YESTERDAY))
    states = States()
    running = asyncio.create_task(MqttLink(password_access(broker, tmp_path), [FOCUS], states).run())
    await states.until_down()
    broker.renew(ca.issue_cert(LOOPBACK))

    await states.until_up()

    await stop(running)
