"""The message that the service sends to itself, against a real mosquitto."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest

from app.adapters.canary import Canary
from app.adapters.mqtt import MqttLink
from app.embedded.broker import EmbeddedBroker
from tests.builders import running
from tests.contract.broker import States, access_to, device, linked, payloads, received, restart_with

TOPIC = "shop/focus"


def with_rules(broker: EmbeddedBroker, *rules: str) -> None:
    """Start the broker anew, with these access rules."""
    path = broker.data_dir / "acl"
    path.write_text("\n".join([*rules, ""]))
    path.chmod(0o700)
    restart_with(broker, f"acl_file {path}")


def canary(topic: str = TOPIC, on_refusal: Callable[[str | None], None] | None = None) -> Canary:
    return Canary(topic, "service-1", on_refusal or States())


async def test_the_link_is_up_when_its_canary_has_come_back(own_mosquitto: EmbeddedBroker) -> None:
    states = States()
    async with device(own_mosquitto) as other:
        await other.subscribe(TOPIC)
        async with linked(access_to(own_mosquitto), TOPIC, canary=canary(), states=states):
            sent = await other.next_message()

    assert sent.payload == b'{"canary":"service-1"}'
    assert states.said[-1:] == [None]


async def test_canaries_are_no_events_whoever_sends_them(own_mosquitto: EmbeddedBroker) -> None:
    left_out: list[str] = []
    async with (
        device(own_mosquitto) as sender,
        linked(access_to(own_mosquitto), TOPIC, canary=canary(), left_out=left_out) as link,
    ):
        for body in (b'{"canary":"another"}', b'{"canary":"x","id":"7"}', b'{"canary":', b"{}"):
            await sender.publish(TOPIC, body)

        assert payloads(await received(link, 3)) == [b'{"canary":"x","id":"7"}', b'{"canary":', b"{}"]
    assert left_out == ["canary", "canary"]


@pytest.mark.parametrize("protocol", ["MQTTv5", "MQTTv311"])
async def test_a_granted_subscription_that_delivers_nothing_is_told(
    own_mosquitto: EmbeddedBroker, protocol: Literal["MQTTv5", "MQTTv311"]
) -> None:
    with_rules(own_mosquitto, "topic write shop/#")
    states = States()
    access = access_to(own_mosquitto)
    link = MqttLink(replace(access, protocol=protocol), [TOPIC], states, canary=canary())

    async with running(link.run()):
        await states.until(lambda said: "nothing that is published on 'shop/focus' arrives here" in str(said[-1:]))

    assert None not in states.said


async def test_an_event_proves_as_much_as_a_canary(own_mosquitto: EmbeddedBroker) -> None:
    with_rules(own_mosquitto, "topic read shop/focus", "topic write shop/#")
    states = States()
    link = MqttLink(access_to(own_mosquitto), ["shop/#"], states, canary=canary("shop/elsewhere"))
    async with running(link.run()):
        await states.until(lambda said: "arrives here" in str(said[-1:]))
        async with device(own_mosquitto) as sender:
            await sender.publish(TOPIC, b"event")
        await states.until_up()

        assert payloads(await received(link, 1)) == [b"event"]


async def test_a_canary_that_the_broker_refuses_proves_nothing_and_is_told(own_mosquitto: EmbeddedBroker) -> None:
    with_rules(own_mosquitto, "topic read shop/#")
    refusals, states = States(), States()

    async with linked(access_to(own_mosquitto), TOPIC, canary=canary(on_refusal=refusals), states=states):
        await refusals.until_down()

    assert refusals.said == [
        "whether events arrive is not known: the broker refuses to publish on 'shop/focus': Not authorized"
    ]
    assert states.said[-1:] == [None]


async def test_after_a_cut_the_link_is_proven_anew(own_mosquitto: EmbeddedBroker) -> None:
    states = States()
    async with linked(access_to(own_mosquitto), TOPIC, canary=canary(), states=states):
        own_mosquitto.stop()
        await states.until_down()
        own_mosquitto.start()
        await states.until_up()

    assert states.said[0] is states.said[-1] is None
    assert len(states.said) > 2
