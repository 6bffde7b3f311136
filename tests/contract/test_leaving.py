"""Scale-in: a client that leaves the broker for good takes with it nothing that was meant for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Literal

import pytest

from app.adapters.mqtt import MqttLink
from app.embedded.broker import EmbeddedBroker
from tests.builders import running
from tests.contract.broker import (
    PATIENCE_SECONDS,
    States,
    access_to,
    device,
    line_to,
    linked,
    payloads,
    received,
)

PROTOCOLS = pytest.mark.parametrize("protocol", ["MQTTv5", "MQTTv311"])
Protocol = Literal["MQTTv5", "MQTTv311"]
EVENTS = [b"%d" % number for number in range(20)]


@asynccontextmanager
async def reading(link: MqttLink) -> AsyncIterator[list[bytes]]:
    """All that arrives is acknowledged; gives what that was."""
    read: list[bytes] = []

    async def read_on() -> None:
        while messages := await link.receive(3):
            read.extend(payloads(messages))
            for message in messages:
                message.acknowledge()

    task = asyncio.create_task(read_on())
    try:
        yield read
    finally:
        link.close_inbox()
        await task


async def left(link: MqttLink) -> bool:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await link.leave()


@PROTOCOLS
async def test_who_leaves_finishes_what_the_broker_has_for_it_and_gets_nothing_more(
    mosquitto: EmbeddedBroker, topic: str, protocol: Protocol
) -> None:
    access = replace(access_to(mosquitto), protocol=protocol, receive_maximum=2)
    states = States()
    async with device(mosquitto) as sender, linked(access, topic, states=states) as link:
        for event in EVENTS:
            await sender.publish(topic, event)
        leaving = asyncio.create_task(left(link))
        await states.until_down()
        async with reading(link) as read:
            await leaving
        await states.until(lambda said: "can be stopped" in str(said[-1]))
        await sender.publish(topic, b"later")
    link = MqttLink(access, [topic], States())
    async with running(link.run()), reading(link) as later:
        await left(link)

    assert read == EVENTS
    assert later == []


@PROTOCOLS
async def test_who_takes_over_a_lost_client_finishes_its_queue_and_ends_its_session(
    mosquitto: EmbeddedBroker, topic: str, protocol: Protocol
) -> None:
    access = replace(access_to(mosquitto), protocol=protocol)
    async with device(mosquitto) as sender:
        async with linked(access, topic):
            pass
        for event in EVENTS:
            await sender.publish(topic, event)
        link = MqttLink(access, [topic], States())
        async with running(link.run()), reading(link) as read:
            had_session = await left(link)
        await sender.publish(topic, b"later")
        link = MqttLink(access, [topic], States())
        async with running(link.run()), reading(link) as later:
            has_session = await left(link)

    assert (read, later) == (EVENTS, [])
    if protocol == "MQTTv5":
        assert (had_session, has_session) == (True, False)


async def test_who_is_cut_off_while_leaving_goes_on_where_it_was(mosquitto: EmbeddedBroker, topic: str) -> None:
    states = States()
    async with device(mosquitto) as sender, line_to(mosquitto) as line:
        access = replace(line.access, receive_maximum=2)
        async with linked(access, topic, states=states) as link:
            for event in EVENTS:
                await sender.publish(topic, event)
            leaving = asyncio.create_task(left(link))
            await received(link, 2)
            line.cut()
            async with reading(link) as read:
                assert await leaving

    assert read == EVENTS
