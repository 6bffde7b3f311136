"""One connection to the broker, with a paho client that is thrown away with it.

paho keeps a queue of its own and sends it again after a reconnect, and it acknowledges through whatever connection is
there, although packet ids mean other messages once a session is lost. So every connection has a new client, and a
message can be acknowledged only through the connection that brought it. All of it runs on the event loop, but the
opening of the socket, which may take its time.
"""

import asyncio
import ssl
from asyncio import FIRST_COMPLETED, Future
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from app.adapters.mqtt_client import CONNECT_SECONDS, LoopClient
from app.adapters.mqtt_packets import MAX_REMAINING_BYTES, Publish, Unwritable
from app.errors import BrokerUnavailable, PublishRefused
from app.events import MAX_BODY_BYTES
from app.ports import InboundMessage, OutboundMessage
from app.tls import problem_of

log = structlog.get_logger(__name__)

CLOSE_SECONDS = 2.0
QUIET_SECONDS = 0.25
UNLIMITED = 65_535
FAILURE = 0x80  # the first of the reason codes that refuse
UNREADABLE_TOPIC = "(a topic that is not UTF-8)"
KEPT_BYTES = MAX_BODY_BYTES + 1  # a thousand messages may wait for the database: one byte more is refused as well
NEVER_SEND_RETAINED = SubscribeOptions.RETAIN_DO_NOT_SEND


class ProtocolRefused(BrokerUnavailable):
    """The broker says that it does not speak this version of MQTT."""


class HungUp(BrokerUnavailable):
    """The broker has not accepted the connection, and did not say why."""


@dataclass(frozen=True, slots=True)
class BrokerAccess:
    """How to reach the broker: addresses tried in order, credentials, and the terms of a connection.

    `tls` is None for plain TCP. In MQTT 5, `receive_maximum` bounds the messages in work at a time, and the broker
    keeps events for a client that is away for `session_expiry_seconds`.
    """

    brokers: Sequence[tuple[str, int]]
    client_id: str
    protocol: Literal["MQTTv5", "MQTTv311"] = "MQTTv5"
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None
    keepalive_seconds: int = 15
    receive_maximum: int = 1000
    session_expiry_seconds: int = 7 * 24 * 3600


@dataclass(slots=True)
class _Receipt:
    """An inbound message that waits for its acknowledgement; the packet id is 0 at QoS 0, which knows none."""

    packet_id: int
    is_done: bool = False


class Connection:
    """One connection, with the paho client that is thrown away with it."""

    def __init__(
        self,
        access: BrokerAccess,
        protocol: MQTTProtocolVersion,
        deliver: Callable[[InboundMessage], None],
        will: OutboundMessage | None = None,
        on_left_out: Callable[[str], None] = lambda why: None,
        *,
        is_clean: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._access = access
        self._protocol = protocol
        self._is_v5 = protocol is MQTTProtocolVersion.MQTTv5
        self._deliver = deliver
        self._will = will
        self._on_left_out = on_left_out
        self._is_clean = is_clean
        self.had_session = False
        self.address = "", 0
        self.arrivals = 0
        self.lost: Future[str] = self._loop.create_future()
        self._accepted: Future[None] = self._loop.create_future()
        self._answered: Future[list[ReasonCode]] = self._loop.create_future()  # of one request at a time
        self._sent: dict[int, tuple[Future[None], str]] = {}
        self._window = UNLIMITED
        self._max_packet_bytes = MAX_REMAINING_BYTES
        self._waiting: deque[tuple[Future[None], OutboundMessage]] = deque()
        self._receipts: deque[_Receipt] = deque()
        self._at_qos_0 = 0
        self._dropped = 0
        self._is_closed = False
        self._client = self._make_client()

    def _make_client(self) -> LoopClient:
        client = LoopClient(
            self._access.client_id,
            self._protocol,
            self._on_event,
            self._on_acknowledged,
            kept_bytes=KEPT_BYTES,
            is_clean=self._is_clean,
        )
        if self._access.username is not None:
            client.username_pw_set(self._access.username, self._access.password)
        if self._access.tls is not None:
            client.tls_set_context(self._access.tls)
        if self._will is not None:
            client.will_set(self._will.topic, self._will.payload, qos=1, retain=self._will.is_retained)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = client.on_unsubscribe = self._on_answer
        return client

    async def open(self, host: str, port: int) -> None:
        """Connect and wait until the broker has accepted. Raises BrokerUnavailable."""
        self.address = host, port
        try:
            await asyncio.to_thread(self._connect, host, port)
        except (OSError, ValueError) as error:
            raise BrokerUnavailable(problem_of(error)) from error
        self._client.attach()
        await self._answer(self._accepted, "accept the connection")

    def _connect(self, host: str, port: int) -> None:
        keepalive = self._access.keepalive_seconds
        if self._is_v5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = self._access.session_expiry_seconds
            properties.ReceiveMaximum = self._access.receive_maximum
            self._client.connect(host, port, keepalive, clean_start=False, properties=properties)
        else:
            self._client.connect(host, port, keepalive)
        if self._is_closed:  # whoever asked for it has left meanwhile
            self._client.release()

    async def subscribe(self, topics: Sequence[str]) -> None:
        """Subscribe at QoS 1. Raises BrokerUnavailable, also when the broker refuses a subscription."""
        if not topics:
            return
        self._answered = self._loop.create_future()
        if self._is_v5:
            options = SubscribeOptions(qos=1, retainHandling=NEVER_SEND_RETAINED)
            self._client.subscribe([(topic, options) for topic in topics])
        else:
            self._client.subscribe([(topic, 1) for topic in topics])
        codes = await self._answer(self._answered, "grant the subscription")
        if len(codes) != len(topics):
            raise BrokerUnavailable(f"the broker answers {len(topics)} subscriptions with {len(codes)} reason codes")
        refused = [f"{topic} ({code})" for topic, code in zip(topics, codes, strict=True) if code.is_failure]
        if refused:
            raise BrokerUnavailable(f"the broker refuses the subscription to {', '.join(refused)}")

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        """Get no new events. Raises BrokerUnavailable."""
        self._answered = self._loop.create_future()
        self._client.unsubscribe(list(topics))
        codes = await self._answer(self._answered, "end the subscription")
        if refused := [str(code) for code in codes if code.is_failure]:
            raise BrokerUnavailable(f"the broker refuses to end the subscription ({', '.join(refused)})")

    async def run_dry(self, topics: Sequence[str]) -> None:
        """Unsubscribe, and wait until all that the broker has for this client is done. Raises BrokerUnavailable.

        With all acknowledged, what the broker still has to send comes before its answer to the next request.
        """
        is_dry = False
        while not is_dry:
            was_idle, arrivals = not self.unacknowledged, self.arrivals
            await self.unsubscribe(topics)
            await asyncio.sleep(QUIET_SECONDS)
            is_dry = was_idle and arrivals == self.arrivals and not self.lost.done()

    async def _answer(self, future: Future[Any], what: str) -> Any:
        """The broker's answer; raises BrokerUnavailable when the connection is lost first, or time runs out."""
        await asyncio.wait((future, self.lost), timeout=CONNECT_SECONDS, return_when=FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self._client.tls_error is not None:
            raise BrokerUnavailable(problem_of(self._client.tls_error))
        error = HungUp if future is self._accepted else BrokerUnavailable
        if self.lost.done():
            hint = self._hint() if future is self._accepted else ""
            raise error(f"connection closed before the broker could {what}: {self.lost.result()}{hint}")
        raise error(f"the broker did not {what} within {CONNECT_SECONDS:g} s")

    def _hint(self) -> str:
        if self._access.tls is None:
            return "; perhaps this port wants TLS: set MQTT_BROKER_CERT_FILE"
        return "; perhaps the broker does not accept the client certificate, or the lack of one"

    async def leave(self) -> None:
        """Say goodbye for good: the session ends too (in MQTT 3.1.1 only with a clean connection)."""
        self._say_goodbye(for_good=True)
        await asyncio.wait((self.lost,), timeout=CLOSE_SECONDS)

    async def close(self) -> None:
        """Say goodbye, if there is someone to say it to, and close the socket."""
        self._is_closed = True
        if self._client.is_attached and not self.lost.done():
            self._say_goodbye()
            await asyncio.wait((self.lost,), timeout=CLOSE_SECONDS)
        self._client.release()
        self._give_up("closed")

    def _say_goodbye(self, *, for_good: bool = False) -> None:
        """The last will is published in any case."""
        if not self._is_v5:
            if self._will is not None:
                self.publish(self._will).add_done_callback(Future.exception)
            self._client.disconnect()
            return
        properties = Properties(PacketTypes.DISCONNECT)
        if for_good:
            properties.SessionExpiryInterval = 0
        self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, "Disconnect with will message"), properties)

    @property
    def unacknowledged(self) -> int:
        """How many messages are in work, or done and waiting for those before them."""
        return len(self._receipts) + self._at_qos_0

    def publish(self, message: OutboundMessage) -> Future[None]:
        """Send, or queue while the broker's receive maximum is in flight."""
        future: Future[None] = self._loop.create_future()
        if self.lost.done():
            future.set_exception(BrokerUnavailable("the connection to the broker is lost"))
        elif len(self._sent) < self._window:
            self._send(future, message)
        else:
            self._waiting.append((future, message))
        return future

    def _send(self, future: Future[None], message: OutboundMessage) -> None:
        if future.done():  # whoever wanted it has left
            return
        try:
            packet_id = self._client.send(message, self._sent, self._max_packet_bytes)
        except Unwritable as error:
            future.set_exception(PublishRefused(message.topic, f"it cannot be sent: {error}"))
        else:
            self._sent[packet_id] = future, message.topic

    def _on_connect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._accepted.done():
            return
        if reason.is_failure:
            error = ProtocolRefused if reason == "Unsupported protocol version" else BrokerUnavailable
            self._accepted.set_exception(error(f"the broker refuses the connection: {reason}"))
            self._accepted.exception()  # seen, even where whoever asked has left
            return
        self.had_session = bool(flags.session_present)
        self._window = getattr(properties, "ReceiveMaximum", UNLIMITED)
        self._max_packet_bytes = getattr(properties, "MaximumPacketSize", MAX_REMAINING_BYTES)
        self._accepted.set_result(None)

    def _on_answer(
        self,
        client: paho.Client,
        userdata: object,
        packet_id: int,
        codes: list[ReasonCode],
        properties: Properties | None,
    ) -> None:
        if not self._answered.done():
            self._answered.set_result(codes)

    def _on_acknowledged(self, packet_id: int, code: int) -> None:
        future, topic = self._sent.pop(packet_id, (None, ""))
        if future is not None and not future.done():
            if code >= FAILURE:
                future.set_exception(PublishRefused(topic, _refusal(code)))
            else:
                future.set_result(None)
        while self._waiting and len(self._sent) < self._window:
            self._send(*self._waiting.popleft())

    def _on_event(self, publish: Publish) -> None:
        if publish.qos == 0 and self.unacknowledged >= self._access.receive_maximum:
            self._drop()
            return
        receipt = _Receipt(publish.packet_id)
        if publish.qos == 0:
            self._at_qos_0 += 1
        else:
            self._receipts.append(receipt)
        self.arrivals += 1
        if publish.is_retained:
            self._leave_out(receipt)
            return
        self._deliver(
            InboundMessage(
                topic=_topic_of(publish),
                payload=publish.payload,
                event_id=publish.event_id,
                correlation_data=publish.correlation_data,
                acknowledge=partial(self._acknowledge, receipt),
                is_live=self._is_live,
                cut_bytes=publish.cut_bytes,
            )
        )

    def _is_live(self) -> bool:
        return not self.lost.done()

    def _leave_out(self, receipt: _Receipt) -> None:
        """What was retained before we came is no event; MQTT 3.1.1 cannot ask the broker to keep it to itself."""
        self._on_left_out("retained")
        self._acknowledge(receipt)

    def _drop(self) -> None:
        """QoS 0 knows no back-pressure: what comes on top of the receive maximum is let go, and told."""
        self._on_left_out("qos_0")
        self._dropped += 1
        if self._dropped.bit_count() == 1:
            log.warning("events of QoS 0 dropped, too many are in work", dropped=self._dropped)

    def _acknowledge(self, receipt: _Receipt) -> None:
        receipt.is_done = True
        if not receipt.packet_id:
            self._at_qos_0 -= 1
        while self._receipts and self._receipts[0].is_done:
            first = self._receipts.popleft()
            if not self.lost.done():
                self._client.acknowledge(first.packet_id)

    def _on_disconnect(
        self,
        client: paho.Client,
        userdata: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._give_up(str(reason))

    def _give_up(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(f"connection lost: {reason}")
        unsent = [future for future, _ in self._waiting]
        for future in (*unsent, *(future for future, _ in self._sent.values())):
            if not future.done():
                future.set_exception(BrokerUnavailable("connection lost before the broker acknowledged"))
        self._waiting.clear()
        self._sent.clear()


def _refusal(code: int) -> str:
    try:
        return str(ReasonCode(PacketTypes.PUBACK, identifier=code))
    except (KeyError, ValueError):  # a broker may say what MQTT does not know
        return f"reason code 0x{code:02x}"


def _topic_of(publish: Publish) -> str:
    """The topic; a broker that does not look may let one through that is no text."""
    try:
        return publish.topic.decode()
    except UnicodeDecodeError:
        return UNREADABLE_TOPIC
