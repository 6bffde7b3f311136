"""What every broker link does: the one in memory, and MqttLink on a real mosquitto; and what only MQTT can show."""

import asyncio
import hashlib
import os
import signal
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from app.adapters.memory import MemoryBroker
from app.adapters.mqtt import MqttLink
from app.adapters.mqtt_connection import BrokerAccess
from app.embedded.broker import EmbeddedBroker
from app.embedded.ports import free_port
from app.errors import BrokerUnavailable, PublishRefused
from app.events import MAX_BODY_BYTES
from app.ports import Inbox, OutboundMessage, Publisher
from tests.builders import stop
from tests.contract.broker import (
    LIMIT,
    PATIENCE_SECONDS,
    RESULT,
    Device,
    States,
    access_to,
    device,
    done,
    has_read,
    line_to,
    linked,
    payloads,
    read_packet,
    received,
    restart_with,
)

# What every broker link does


class Shop(Protocol):
    """A link, a device that sends to it, and what the link has published."""

    inbox: Inbox
    publisher: Publisher

    async def send(self, payload: bytes, event_id: str | None = None, correlation_data: bytes | None = None) -> None:
        """Deliver to the topic that the link has subscribed to."""
        ...

    async def next_result(self) -> bytes:
        """The payload that was published next."""
        ...


class MemoryShop:
    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self.inbox: Inbox = self._broker
        self.publisher: Publisher = self._broker

    async def send(self, payload: bytes, event_id: str | None = None, correlation_data: bytes | None = None) -> None:
        self._broker.deliver("shop/focus", payload, event_id, correlation_data)

    async def next_result(self) -> bytes:
        return self._broker.published.popleft().payload


@dataclass
class MqttShop:
    inbox: Inbox
    publisher: Publisher
    device: Device
    topic: str

    async def send(self, payload: bytes, event_id: str | None = None, correlation_data: bytes | None = None) -> None:
        await self.device.publish(f"{self.topic}/focus", payload, event_id, correlation_data)

    async def next_result(self) -> bytes:
        return bytes((await self.device.next_message()).payload)


@pytest.fixture
def memory_shop() -> MemoryShop:
    return MemoryShop()


@pytest.fixture
async def mqtt_shop(mosquitto: EmbeddedBroker, topic: str) -> AsyncIterator[MqttShop]:
    async with linked(access_to(mosquitto), f"{topic}/focus") as link, device(mosquitto) as one:
        await one.subscribe(f"{topic}/prediction")
        yield MqttShop(link, link, one, topic)


@pytest.fixture(params=["memory_shop", "mqtt_shop"])
def shop(request: pytest.FixtureRequest) -> Shop:
    chosen: Shop = request.getfixturevalue(request.param)
    return chosen


async def test_messages_arrive_in_order_with_the_senders_names_for_them(shop: Shop) -> None:
    await shop.send(b"\x00 any \xff bytes")
    await shop.send(b"", event_id="camera-7/42 ü", correlation_data=b"\x00\xff")

    first, second = await received(shop.inbox, 2)

    assert (first.payload, first.event_id, first.correlation_data) == (b"\x00 any \xff bytes", None, None)
    assert (second.payload, second.event_id, second.correlation_data) == (b"", "camera-7/42 ü", b"\x00\xff")
    assert first.topic == second.topic
    assert first.topic.endswith("/focus")


async def test_who_waits_is_woken_by_the_next_message(shop: Shop) -> None:
    waiting = asyncio.create_task(received(shop.inbox, 1))

    await shop.send(b"at last")

    assert payloads(await waiting) == [b"at last"]


async def test_hands_out_no_more_than_asked_for(shop: Shop) -> None:
    for number in range(7):
        await shop.send(b"%d" % number)

    assert payloads(await received(shop.inbox, 7, limit=3)) == [b"%d" % number for number in range(7)]


async def test_a_message_is_live_and_may_be_acknowledged(shop: Shop) -> None:
    await shop.send(b"focus")
    (message,) = await received(shop.inbox, 1)

    message.acknowledge()

    assert message.is_live()


async def test_a_closed_inbox_ends_every_wait(shop: Shop) -> None:
    waiting = asyncio.create_task(shop.inbox.receive(LIMIT))
    await shop.send(b"focus")
    assert payloads(await waiting) == [b"focus"]
    waiting = asyncio.create_task(shop.inbox.receive(LIMIT))

    shop.inbox.close_inbox()

    assert [list(await waiting), list(await shop.inbox.receive(LIMIT))] == [[], []]


async def test_a_closed_inbox_hands_out_nothing_that_comes_later(shop: Shop) -> None:
    shop.inbox.close_inbox()
    await shop.send(b"too late")

    assert [list(await shop.inbox.receive(LIMIT)) for _ in range(2)] == [[], []]


async def test_what_is_published_reaches_the_shop(shop: Shop) -> None:
    topic = f"{shop.topic}/prediction" if isinstance(shop, MqttShop) else "shop/prediction"

    await done(shop.publisher.publish(replace(RESULT, topic=topic)))

    assert await shop.next_result() == RESULT.payload


# What only MQTT can show


async def test_a_published_message_says_what_it_is(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with linked(access_to(mosquitto)) as link, device(mosquitto) as listener:
        await listener.subscribe(topic)
        await done(link.publish(replace(RESULT, topic=topic)))
        message = await listener.next_message()

    assert (message.payload, message.qos, message.retain) == (RESULT.payload, 1, False)
    assert message.properties is not None
    properties = message.properties.json()
    assert 3590 <= properties.pop("MessageExpiryInterval") <= 3600
    assert properties == {
        "ContentType": "application/json",
        "PayloadFormatIndicator": 1,
        "CorrelationData": "00ff",
        "UserProperty": list(RESULT.properties.items()),
    }


async def test_a_published_message_without_expiry_and_correlation_has_neither(
    mosquitto: EmbeddedBroker, topic: str
) -> None:
    plain = OutboundMessage(topic, b"{}", {}, is_retained=True)
    async with linked(access_to(mosquitto)) as link, device(mosquitto) as listener:
        await done(link.publish(plain))
        await listener.subscribe(topic)
        message = await listener.next_message()

    assert message.properties is not None
    assert set(message.properties.json()) == {"PayloadFormatIndicator", "ContentType"}
    assert (message.payload, message.retain) == (b"{}", True)


async def test_a_burst_beyond_the_brokers_window_is_sent_in_turn(mosquitto: EmbeddedBroker, topic: str) -> None:
    count = 2500
    async with linked(access_to(mosquitto)) as link, device(mosquitto) as listener:
        await listener.subscribe(topic)
        burst = [OutboundMessage(topic, b"%d" % number, {}) for number in range(count)]
        await asyncio.gather(*(done(link.publish(message)) for message in burst))
        arrived = [(await listener.next_message()).payload for _ in range(count)]

    assert arrived == [b"%d" % number for number in range(count)]


async def test_no_more_is_on_the_way_than_the_broker_takes() -> None:
    seen: list[int] = []

    async def take_two(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await read_packet(reader)
            writer.write(b"\x20\x06\x00\x00\x03\x21\x00\x02")  # CONNACK with a Receive Maximum of 2
            while seen[-1:] != [PacketTypes.DISCONNECT]:
                seen.append(await read_packet(reader))

    async with await asyncio.start_server(take_two, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        async with linked(BrokerAccess([("127.0.0.1", port)], "service")) as link:
            on_the_way = [link.publish(OutboundMessage("shop/prediction", b"{}", {})) for _ in range(5)]
        outcomes = await asyncio.gather(*on_the_way, return_exceptions=True)

    assert seen == [PacketTypes.PUBLISH, PacketTypes.PUBLISH, PacketTypes.DISCONNECT]
    assert [type(outcome) for outcome in outcomes] == [BrokerUnavailable] * 5


@pytest.mark.parametrize("bad_topic", ["shop/+", "shop/#"])
async def test_a_topic_that_cannot_be_published_on_is_refused(mosquitto: EmbeddedBroker, bad_topic: str) -> None:
    async with linked(access_to(mosquitto)) as link:
        with pytest.raises(PublishRefused):
            await done(link.publish(replace(RESULT, topic=bad_topic)))


async def test_a_message_larger_than_the_broker_takes_is_refused_and_cuts_nothing_off(
    mosquitto: EmbeddedBroker, topic: str
) -> None:
    async with linked(access_to(mosquitto)) as link:
        with pytest.raises(PublishRefused, match=r"178258\d\d bytes are more than the 16777216 it takes"):
            await done(link.publish(OutboundMessage(topic, bytes(17 * 1024 * 1024), {})))
        await done(link.publish(replace(RESULT, topic=topic)))


async def test_a_message_that_cannot_be_written_is_refused(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with linked(access_to(mosquitto)) as link:
        for unwritable in (
            replace(RESULT, topic="x" * 70_000),
            replace(RESULT, topic=topic, properties={"event-id": "x" * 70_000}),
            replace(RESULT, topic=topic, correlation_data=bytes(70_000)),
        ):
            with pytest.raises(PublishRefused):
                await done(link.publish(unwritable))
        await done(link.publish(replace(RESULT, topic=topic)))


async def test_without_a_connection_nothing_is_published() -> None:
    link = MqttLink(BrokerAccess([("127.0.0.1", 1)], "nobody"), [], States())

    with pytest.raises(BrokerUnavailable, match="there is no connection to the broker"):
        await done(link.publish(replace(RESULT, topic="shop/prediction")))


async def test_what_was_not_acknowledged_comes_again_on_the_next_connection(
    mosquitto: EmbeddedBroker, topic: str
) -> None:
    access = access_to(mosquitto)
    async with linked(access, topic) as link, device(mosquitto) as sender:
        for number in range(3):
            await sender.publish(topic, b"%d" % number, event_id=str(number), correlation_data=b"%d" % number)
        first, *_ = before = await received(link, 3)
        first.acknowledge()
        await has_read(link, topic)
    assert [message.is_live() for message in before] == [False] * 3

    async with linked(access, topic) as link:
        again = await received(link, 2)

    assert [(message.payload, message.event_id, message.correlation_data) for message in again] == [
        (b"1", "1", b"1"),
        (b"2", "2", b"2"),
    ]


async def test_what_was_not_handed_out_comes_again_too(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = access_to(mosquitto)
    async with linked(access, topic) as link, device(mosquitto) as sender:
        await sender.publish(topic, b"early")
        link.close_inbox()
        await sender.publish(topic, b"late")

    async with linked(access, topic) as link:
        assert payloads(await received(link, 2)) == [b"early", b"late"]


async def test_acknowledgements_leave_in_the_order_of_receipt(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = access_to(mosquitto)
    async with device(mosquitto) as sender:
        async with linked(access, topic) as link:
            for number in range(3):
                await sender.publish(topic, b"%d" % number)
            _, second, third = await received(link, 3)
            third.acknowledge()
            second.acknowledge()

        async with linked(access, topic) as link:
            first, second, third = again = await received(link, 3)
            third.acknowledge()
            second.acknowledge()
            first.acknowledge()
            await has_read(link, topic)
        assert payloads(again) == [b"0", b"1", b"2"]

        async with linked(access, topic) as link:
            await sender.publish(topic, b"next")
            assert payloads(await received(link, 1)) == [b"next"]


async def test_a_message_of_a_lost_connection_cannot_be_acknowledged(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = access_to(mosquitto)
    async with linked(access, topic) as link, device(mosquitto) as sender:
        await sender.publish(topic, b"focus")
        (lost,) = await received(link, 1)

    async with linked(access, topic) as link:
        await received(link, 1)
        lost.acknowledge()

    async with linked(access, topic) as link:
        assert payloads(await received(link, 1)) == [b"focus"]


async def test_events_at_qos_0_arrive_too_and_hold_up_nothing(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = access_to(mosquitto)
    async with device(mosquitto) as sender:
        async with linked(access, topic) as link:
            sender.client.publish(topic, b"at most once", qos=0)
            await sender.hears("published")
            await sender.publish(topic, b"at least once")
            messages = await received(link, 2)
            for message in messages:
                message.acknowledge()
            await has_read(link, topic)
        assert payloads(messages) == [b"at most once", b"at least once"]

        async with linked(access, topic) as link:
            await sender.publish(topic, b"next")
            assert payloads(await received(link, 1)) == [b"next"]


async def test_events_at_qos_0_beyond_the_receive_maximum_are_dropped(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = replace(access_to(mosquitto), receive_maximum=2)
    left_out: list[str] = []
    async with linked(access, topic, left_out=left_out) as link, device(mosquitto) as sender:
        for number in range(5):
            sender.client.publish(topic, b"%d" % number, qos=0)
            await sender.hears("published")
        await sender.publish(topic, b"at least once")
        messages = await received(link, 3)
        for message in messages:
            message.acknowledge()
        sender.client.publish(topic, b"there is room again", qos=0)
        messages += await received(link, 1)

    assert payloads(messages) == [b"0", b"1", b"at least once", b"there is room again"]
    assert left_out == ["qos_0"] * 3


async def test_room_for_events_at_qos_0_is_made_one_by_one(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = replace(access_to(mosquitto), receive_maximum=2)
    left_out: list[str] = []
    async with linked(access, topic, left_out=left_out) as link, device(mosquitto) as sender:
        for number in range(2):
            sender.client.publish(topic, b"%d" % number, qos=0)
        first, second = await received(link, 2)
        first.acknowledge()
        for number in range(2, 4):
            sender.client.publish(topic, b"%d" % number, qos=0)
        (third,) = await received(link, 1)
        await has_read(link, topic)
        waiting = link.unacknowledged

    assert payloads([first, second, third]) == [b"0", b"1", b"2"]
    assert (left_out, waiting) == (["qos_0"], 2)


async def test_a_link_tells_what_waits_and_what_is_not_acknowledged(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with linked(access_to(mosquitto), topic) as link, device(mosquitto) as sender:
        for number in range(3):
            await sender.publish(topic, b"%d" % number)
        await done(link.publish(replace(RESULT, topic=f"{topic}/read")))  # the broker's answer comes after the messages
        arrived = link.waiting, link.unacknowledged
        messages = await received(link, 3)
        taken = link.waiting, link.unacknowledged
        for message in messages:
            message.acknowledge()
        finished = link.waiting, link.unacknowledged

    assert (arrived, taken, finished) == ((3, 3), (0, 3), (0, 0))


async def test_a_name_that_paho_itself_would_not_read_is_read(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with linked(access_to(mosquitto), topic) as link, device(mosquitto) as sender:
        await sender.publish(topic, b"marked", event_id="\ufeffcamera-7/42", correlation_data=b"\x00")
        await sender.publish(topic, b"plain", event_id="camera-7/43")
        marked, plain = await received(link, 2)

    assert (marked.payload, marked.event_id, marked.correlation_data) == (b"marked", "\ufeffcamera-7/42", b"\x00")
    assert (plain.payload, plain.event_id) == (b"plain", "camera-7/43")


async def test_of_a_payload_longer_than_any_event_only_the_beginning_is_kept(
    mosquitto: EmbeddedBroker, topic: str
) -> None:
    payload = b"x" * 1_000_000
    async with linked(access_to(mosquitto), topic) as link, device(mosquitto) as sender:
        await sender.publish(topic, payload)
        await sender.publish(topic, payload[:MAX_BODY_BYTES])
        long, just_fitting = await received(link, 2)

    assert (long.payload, long.cut_bytes) == (payload[: MAX_BODY_BYTES + 1], 1_000_000 - MAX_BODY_BYTES - 1)
    assert (just_fitting.payload, just_fitting.cut_bytes) == (payload[:MAX_BODY_BYTES], 0)


async def test_a_message_with_a_megabyte_of_properties_holds_up_nobody(mosquitto: EmbeddedBroker, topic: str) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = [("a", "b")] * 150_000 + [("event-id", "camera-7/42")]
    async with linked(access_to(mosquitto), topic) as link, device(mosquitto) as sender:
        sender.client.publish(topic, b"laden", 1, properties=properties)
        await sender.publish(topic, b"plain")
        laden, plain = await received(link, 2)

    assert (laden.payload, laden.event_id, plain.payload) == (b"laden", "camera-7/42", b"plain")


@pytest.mark.parametrize("protocol", ["MQTTv5", "MQTTv311"])
async def test_retained_messages_are_no_events(
    mosquitto: EmbeddedBroker, topic: str, protocol: Literal["MQTTv5", "MQTTv311"]
) -> None:
    access = replace(access_to(mosquitto), protocol=protocol)
    async with device(mosquitto) as sender:
        sender.client.publish(topic, b"kept from yesterday", 1, retain=True)
        await sender.hears("published")
        for _ in range(2):  # a subscription that is made again would bring it again
            async with linked(access, topic) as link:
                await sender.publish(topic, b"now")
                (message,) = await received(link, 1)
                message.acknowledge()
                assert message.payload == b"now"


async def test_what_is_published_to_be_retained_is_an_event_when_it_is_published(
    mosquitto: EmbeddedBroker, topic: str
) -> None:
    async with linked(access_to(mosquitto), topic) as link, device(mosquitto) as sender:
        sender.client.publish(topic, b"now and for later", 1, retain=True)

        assert payloads(await received(link, 1)) == [b"now and for later"]


async def test_says_online_and_offline(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with device(mosquitto) as listener:
        async with linked(access_to(mosquitto, f"service {topic}"), f"{topic}/focus", status_topic=topic):
            await listener.subscribe(topic)
            assert await listener.next_status() == {
                "status": "online",
                "client_id": f"service {topic}",
                "ready": True,
                "problems": {},
                "degraded": {},
            }
        assert await listener.next_status() == {
            "status": "offline",
            "client_id": f"service {topic}",
            "ready": False,
            "problems": {},
            "degraded": {},
        }


async def test_says_what_keeps_it_from_being_ready(mosquitto: EmbeddedBroker, topic: str) -> None:
    states = States()
    async with device(mosquitto) as listener, line_to(mosquitto) as line:
        await listener.subscribe(topic)
        async with linked(line.access, status_topic=topic, states=states) as link:
            ready = await listener.next_status()
            link.announce({"database": "away"})
            away = await listener.next_status()
            line.cut()
            offline = await listener.next_status()
            await states.until_down()
            await states.until_up()
            again = await listener.next_status()

    assert [one["status"] for one in (ready, away, offline, again)] == ["online", "online", "offline", "online"]
    assert [one["ready"] for one in (ready, away, offline, again)] == [True, False, False, False]
    assert away["problems"] == again["problems"] == {"database": "away"}


async def test_says_what_it_does_without_and_is_ready_all_the_same(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with device(mosquitto) as listener, linked(access_to(mosquitto), status_topic=topic) as link:
        await listener.subscribe(topic)
        await listener.next_status()
        link.announce({}, {"drift": "prices have doubled"})
        told = await listener.next_status()

    assert (told["ready"], told["problems"], told["degraded"]) == (True, {}, {"drift": "prices have doubled"})


async def test_who_comes_later_learns_the_status_too(mosquitto: EmbeddedBroker, topic: str) -> None:
    async with linked(access_to(mosquitto), f"{topic}/focus", status_topic=topic), device(mosquitto) as latecomer:
        await latecomer.subscribe(topic)
        assert (await latecomer.next_status())["status"] == "online"
    async with device(mosquitto) as latecomer:
        await latecomer.subscribe(topic)
        assert (await latecomer.next_status())["status"] == "offline"


async def test_a_service_that_is_cut_off_is_offline_until_it_is_back(mosquitto: EmbeddedBroker, topic: str) -> None:
    states = States()
    async with device(mosquitto) as listener, line_to(mosquitto) as line:
        await listener.subscribe(topic)
        async with linked(line.access, status_topic=topic, states=states):
            assert (await listener.next_status())["status"] == "online"
            line.cut()
            assert (await listener.next_status())["status"] == "offline"
            await states.until_down()
            await states.until_up()
            assert (await listener.next_status())["status"] == "online"


async def test_after_a_cut_the_same_link_brings_what_was_not_acknowledged(
    mosquitto: EmbeddedBroker, topic: str
) -> None:
    states = States()
    async with (
        device(mosquitto) as sender,
        line_to(mosquitto) as line,
        linked(line.access, topic, states=states) as link,
    ):
        for number in range(3):
            await sender.publish(topic, b"%d" % number)
        (first,) = await received(link, 1, limit=1)
        line.cut()
        await states.until_down()
        first.acknowledge()
        await states.until_up()

        assert payloads(await received(link, 3)) == [b"0", b"1", b"2"]


async def test_a_connection_lost_with_messages_on_the_way_is_told(own_mosquitto: EmbeddedBroker) -> None:
    states = States()
    async with linked(access_to(own_mosquitto), "shop/focus", states=states) as link:
        os.kill(own_mosquitto.process.pid, signal.SIGSTOP)
        on_the_way = [link.publish(replace(RESULT, topic="shop/prediction")) for _ in range(1500)]
        os.kill(own_mosquitto.process.pid, signal.SIGKILL)

        async with asyncio.timeout(PATIENCE_SECONDS):
            outcomes = await asyncio.gather(*on_the_way, return_exceptions=True)
        await states.until_down()

        assert {type(outcome) for outcome in outcomes} == {BrokerUnavailable}
        with pytest.raises(BrokerUnavailable):
            await done(link.publish(replace(RESULT, topic="shop/prediction")))


async def test_finds_the_broker_again_after_its_restart(own_mosquitto: EmbeddedBroker) -> None:
    states = States()
    async with linked(access_to(own_mosquitto), "shop/focus", states=states) as link:
        async with device(own_mosquitto) as sender:
            await sender.publish("shop/focus", b"before")
        (before,) = await received(link, 1)
        own_mosquitto.stop()
        await states.until_down()
        assert not before.is_live()

        own_mosquitto.start()
        await states.until_up()
        (again,) = await received(link, 1)

        assert (again.payload, again.is_live(), before.is_live()) == (b"before", True, False)


async def test_what_a_lost_connection_brought_is_not_handed_out(own_mosquitto: EmbeddedBroker) -> None:
    states = States()
    async with linked(access_to(own_mosquitto), "shop/focus", states=states) as link:
        async with device(own_mosquitto) as sender:
            await sender.publish("shop/focus", b"first")
            await received(link, 1)
            await sender.publish("shop/focus", b"second")
        own_mosquitto.stop()
        await states.until_down()
        own_mosquitto.start()
        await states.until_up()

        assert payloads(await received(link, 2)) == [b"first", b"second"]


async def test_tries_the_brokers_in_order(mosquitto: EmbeddedBroker, topic: str) -> None:
    states, nowhere = States(), free_port()
    access = replace(access_to(mosquitto), brokers=[("127.0.0.1", nowhere), (mosquitto.host, mosquitto.port)])

    async with linked(access, topic, states=states):
        first, *others = states.said

    assert first is not None
    assert first.startswith(f"127.0.0.1:{nowhere}: ")
    assert others == [None]


async def test_says_who_it_is_to_a_broker_that_asks(own_mosquitto: EmbeddedBroker) -> None:
    passwords, salt = own_mosquitto.data_dir / "passwords", b"twelve bytes"
    key = hashlib.pbkdf2_hmac("sha512", b"s3cret", salt, 101)
    passwords.write_text(f"service:$7$101${b64encode(salt).decode()}${b64encode(key).decode()}\n")
    passwords.chmod(0o700)
    restart_with(own_mosquitto, "allow_anonymous false", f"password_file {passwords}")
    known, states = replace(access_to(own_mosquitto), username="service", password="s3cret"), States()

    async with linked(known, "shop/focus") as link:
        await done(link.publish(replace(RESULT, topic="shop/prediction")))
    stranger = asyncio.create_task(MqttLink(replace(known, password="guess"), [], states).run())
    await states.until_down()
    await stop(stranger)

    assert states.said == [f"127.0.0.1:{own_mosquitto.port}: the broker refuses the connection: Not authorized"]


async def test_a_topic_that_the_broker_forbids_is_refused(own_mosquitto: EmbeddedBroker) -> None:
    rules = own_mosquitto.data_dir / "acl"
    rules.write_text("topic readwrite shop/#\n")
    rules.chmod(0o700)
    restart_with(own_mosquitto, f"acl_file {rules}")

    async with linked(access_to(own_mosquitto)) as link:
        with pytest.raises(PublishRefused, match="the broker refuses to publish on 'office': Not authorized"):
            await done(link.publish(replace(RESULT, topic="office")))
        await done(link.publish(replace(RESULT, topic="shop/prediction")))


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        pytest.param(
            [b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80"],
            "the broker refuses the subscription to shop/focus (Unspecified error)",
            id="subscription",
        ),
        pytest.param(
            [b"\x20\x02\x00\x00", b"\x90\x02\x00\x01"],
            "the broker answers 1 subscriptions with 0 reason codes",
            id="subscription that is not answered",
        ),
        pytest.param([b"\x20\x02\x00\x05"], "the broker refuses the connection: Not authorized", id="connection"),
        pytest.param([], "connection closed before the broker could accept the connection: ", id="silence"),
        pytest.param(
            [b"\x20\x02\x00\x00"], "connection closed before the broker could grant the subscription: ", id="hang-up"
        ),
    ],
)
async def test_why_there_is_no_link_is_told(answers: Sequence[bytes], problem: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            for one in answers:
                await read_packet(reader)
                writer.write(one)
            await writer.drain()

    states = States()
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        link = MqttLink(BrokerAccess([("127.0.0.1", port)], "service", "MQTTv311"), ["shop/focus"], states)
        running = asyncio.create_task(link.run())
        await states.until_down()
        await stop(running)

    assert states.said[0] is not None
    assert states.said[0].startswith(f"127.0.0.1:{port}: {problem}")


@pytest.mark.parametrize(
    ("protocol", "answers"),
    [
        ("MQTTv5", [b"\x20\x03\x00\x00\x00", b"\x90\x04\x00\x01\x00\x01"]),
        ("MQTTv311", [b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01"]),
    ],
)
async def test_a_broker_that_sends_what_is_no_message_is_left(
    protocol: Literal["MQTTv5", "MQTTv311"], answers: Sequence[bytes]
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            for one in answers:
                await read_packet(reader)
                writer.write(one)
            writer.write(b"\x32\x02\x00\x50")
            await writer.drain()
            await reader.read()

    states = States()
    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        link = MqttLink(BrokerAccess([("127.0.0.1", port)], "service", protocol), ["shop/focus"], states)
        running = asyncio.create_task(link.run())
        await states.until(lambda said: len(said) > 1)
        await stop(running)

    assert states.said[:2] == [None, "connection lost: Protocol error"]


# MQTT 3.1.1


@pytest.fixture(scope="module")
def amqtt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path_factory.mktemp("amqtt"), free_port(), program_folders="")
    assert broker.kind == "amqtt"
    broker.start()
    yield broker
    broker.stop()


async def test_3_1_1_carries_the_payload_alone(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = replace(access_to(mosquitto), protocol="MQTTv311")
    async with device(mosquitto) as other, linked(access, f"{topic}/focus") as link:
        await other.subscribe(f"{topic}/prediction")
        await other.publish(f"{topic}/focus", b"focus", "camera-7/42", b"\x00")
        (event,) = await received(link, 1)
        await done(link.publish(replace(RESULT, topic=f"{topic}/prediction")))
        result = await other.next_message()

    assert (event.payload, event.event_id, event.correlation_data) == (b"focus", None, None)
    assert result.payload == RESULT.payload
    assert result.properties is None or result.properties.isEmpty()


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(b"\x20\x02\x00\x01", id="in words of 3.1.1"),
        pytest.param(b"\x20\x03\x00\x84\x00", id="in words of 5"),
        pytest.param(b"", id="by hanging up"),
    ],
)
async def test_a_broker_that_refuses_version_5_is_spoken_to_in_3_1_1(
    mosquitto: EmbeddedBroker, topic: str, refusal: bytes
) -> None:
    async with (
        device(mosquitto) as other,
        line_to(mosquitto, refusal) as line,
        linked(line.access, f"{topic}/focus", status_topic=f"{topic}/status") as link,
    ):
        await other.subscribe(f"{topic}/prediction")
        await other.publish(f"{topic}/focus", b"focus", "camera-7/42", b"\x00")
        (event,) = await received(link, 1)
        await done(link.publish(replace(RESULT, topic=f"{topic}/prediction")))
        result = await other.next_message()

    assert (event.payload, event.event_id, event.correlation_data) == (b"focus", None, None)
    assert result.payload == RESULT.payload


async def test_where_3_1_1_fails_too_version_5_is_tried_again() -> None:
    spoken: list[int] = []
    has_spoken = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"MQTT")
            spoken.extend(await reader.readexactly(1))
            writer.write(b"\x20\x02\x00\x01")
            await writer.drain()
            has_spoken.set()

    async with await asyncio.start_server(refuse, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        running = asyncio.create_task(MqttLink(BrokerAccess([("127.0.0.1", port)], "service"), [], States()).run())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(spoken) < 3:
                has_spoken.clear()
                await has_spoken.wait()
        await stop(running)

    assert spoken[:3] == [MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5]


async def test_works_with_a_broker_that_knows_3_1_1_alone(amqtt: EmbeddedBroker, topic: str) -> None:
    access, other_access = (replace(access_to(amqtt), protocol="MQTTv311") for _ in range(2))
    focus, prediction = f"{topic}/focus", f"{topic}/prediction"

    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(linked(access, focus, status_topic=f"{topic}/status"))
        other = await stack.enter_async_context(linked(other_access, prediction))
        await done(other.publish(replace(RESULT, topic=focus)))
        (event,) = await received(link, 1)
        event.acknowledge()
        await done(link.publish(replace(RESULT, topic=prediction)))
        (result,) = await received(other, 1)

    assert (event.topic, event.payload, event.event_id, event.correlation_data) == (focus, RESULT.payload, None, None)
    assert (result.topic, result.payload) == (prediction, RESULT.payload)


async def test_in_3_1_1_too_what_was_not_acknowledged_comes_again(mosquitto: EmbeddedBroker, topic: str) -> None:
    access = replace(access_to(mosquitto), protocol="MQTTv311")
    async with linked(access, topic) as link, device(mosquitto) as sender:
        await sender.publish(topic, b"focus")
        await received(link, 1)

    async with linked(access, topic) as link:
        assert payloads(await received(link, 1)) == [b"focus"]
