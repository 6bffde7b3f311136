"""Hostile inputs to a whole stack: every one is accounted for, and nothing else happens."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.e2e.stack import Stack, running_stack
from tests.hostile import inputs as hostile
from tests.hostile.bodies import MARK, marked
from tests.hostile.campaign import Campaign, CampaignFailed
from tests.hostile.inputs import Input
from tests.hostile.judge import judge, look_around
from tests.hostile.logs import LogWatch
from tests.hostile.oracle import Refused
from tests.hostile.report import attack
from tests.hostile.wire import CORRELATION, EXPIRY, USER_PROPERTY, text

SEED, INPUTS = 20_210_318, 3_000
EVENT = b'{"id":"%b","ts":1,"dep":"Boys"}'


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack for hostile inputs alone."""
    with running_stack(MAX_PRODUCTS_IN_MESSAGE="1", HTTP_RATE_LIMIT="0") as stack:
        yield stack


def over_mqtt(number: int, payload: bytes, properties: bytes = b"") -> Input:
    return Input(number, "mqtt5", "focus", payload, properties=properties)


def user_property(key: bytes, value: bytes) -> bytes:
    return bytes([USER_PROPERTY]) + text(key) + text(value)


BROKEN_ONCE = {
    "a megabyte of properties": over_mqtt(1, EVENT % b"301", user_property(b"a", b"b") * 150_000),
    "a byte order mark in the event id": Input(
        2,
        "rough",
        "focus",
        EVENT % b"302",
        properties=user_property(b"event-id", b"\xef\xbb\xbfx"),
        event_id="\ufeffx",
        may_vanish=True,
    ),
    "a lone surrogate": over_mqtt(3, b'{"id":"303\\ud800","ts":1,"dep":"Boys"}'),
    "a number of 5,000 digits": over_mqtt(4, EVENT.replace(b'"%b"', b"9" * 5_000)),
    "nested 100,000 deep": over_mqtt(5, b"[" * 100_000),
    "ten megabytes": over_mqtt(6, EVENT % b"306" + b" " * 10_000_000),
    "64 KiB of correlation data": Input(
        7,
        "mqtt5",
        "focus",
        EVENT % b"307",
        properties=bytes([CORRELATION]) + text(b"\xff" * 65_535),
        correlation=b"\xff" * 65_535,
    ),
    "a broken body that nobody waits for": Input(
        10,
        "http",
        None,
        b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n",
        may_vanish=True,
    ),
    "the last second of all": over_mqtt(8, b'{"id":"308","ts":"9999-12-31T23:59:59Z","dep":"Boys"}'),
    "a place beyond the horizon": over_mqtt(9, b'{"id":"309","ts":1,"dep":"Boys","x":1.7e308,"y":-5e-324}'),
}


def test_every_hostile_input_is_accounted_for(stack: Stack) -> None:
    report = asyncio.run(attack(stack, (hostile.make(SEED, number) for number in range(INPUTS))))

    assert report["inputs"] == INPUTS
    assert report["dead_letters"] > INPUTS / 4
    assert report["decisions"] > INPUTS / 10


@pytest.mark.parametrize("name", BROKEN_ONCE)
def test_what_broke_something_once_is_accounted_for(stack: Stack, name: str) -> None:
    assert asyncio.run(attack(stack, [BROKEN_ONCE[name]]))["inputs"] == 1


def test_an_input_is_the_same_each_time_and_survives_a_file(tmp_path: Path) -> None:
    made = [hostile.make(SEED, number) for number in range(200)]
    hostile.save(tmp_path / "inputs.json", SEED, made)

    assert hostile.load(tmp_path / "inputs.json") == made == [hostile.make(SEED, number) for number in range(200)]


def test_every_hostile_text_carries_a_marker() -> None:
    assert all(MARK in marked(Random(seed)) for seed in range(500))


# The judge sees what it is to see


def test_an_outcome_that_never_came_is_told_with_the_input_that_lacks_it(stack: Stack) -> None:
    lost = over_mqtt(1, b"lost")

    async def losing() -> None:
        before = await look_around(stack)
        campaign = Campaign(stack, patience_seconds=0.2)
        async with campaign.connected():
            await campaign.send([over_mqtt(0, b"sent")])
            campaign.ledger.expect(Refused(b"a dead letter that never comes"), lost)
            await judge(campaign, before)

    with pytest.raises(CampaignFailed, match="1 dead letters are missing") as failure:
        asyncio.run(losing())
    assert failure.value.inputs == [lost]


def test_an_answer_that_the_contract_does_not_give_is_told(stack: Stack) -> None:
    body = EVENT % b"310"
    head = b"POST /mock_focus HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    refused = Input(1, "http", "focus", head + body, body=b"not what was sent")

    with pytest.raises(CampaignFailed, match="answered with 200 an event that is refused") as failure:
        asyncio.run(attack(stack, [refused]))
    assert failure.value.inputs == [refused]


def test_an_event_that_may_expire_on_the_way_need_have_no_outcome(stack: Stack) -> None:
    expired = replace(over_mqtt(1, EVENT % b"311", bytes([EXPIRY, 0, 0, 0, 0])), may_vanish=True)

    assert asyncio.run(attack(stack, [expired]))["inputs"] == 1


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"event": "event refused", "reason": "zqx7"}', "text from outside"),
        (b'{"event": "event failed"}', "a failure"),
        (b"Traceback (most recent call last):", "a failure"),
        (b"plain text", "no JSON"),
        (b'{"event": "started", "surprise": 1}', "unknown keys"),
        (b"[]", "unknown keys"),
    ],
)
def test_a_line_of_the_log_that_should_not_be_there_is_told(tmp_path: Path, line: bytes, problem: str) -> None:
    log = tmp_path / "service.log"
    log.write_bytes(b'{"event": "started", "level": "info"}\n')
    watch = LogWatch(log)
    assert watch.problems() == []

    with log.open("ab") as growing:
        growing.write(line + b"\n" + b'{"event": "half a li')

    assert [one.split(": ")[1] for one in watch.problems()] == [problem]
    assert watch.problems() == []
