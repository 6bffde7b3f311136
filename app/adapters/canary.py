"""A message that the service sends to itself: a broker may grant a subscription and then deliver nothing."""

import asyncio
from asyncio import Future
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import orjson

from app.errors import BrokerUnavailable, PublishRefused
from app.ports import InboundMessage, OutboundMessage

ANSWER_SECONDS = 1.0
PATIENT_SECONDS = 10.0
EVERY_SECONDS = 30.0
EXPIRY = timedelta(seconds=30)
HURRIED = 10
TOLERATED = 2
MOST_AT_ONCE = 16
MAX_BYTES = 1_024
START = b'{"canary":'


class Canary:
    """Proves that what is published on `topic` arrives here: any message that arrives proves it, else one of its own.

    With `is_alone`, nobody else takes messages of this subscription, and the proof is asked for again and again.
    `on_refusal` is told when the broker refuses the canary, so that nothing can be proven, and None when it does not.
    """

    def __init__(
        self, topic: str, client_id: str, on_refusal: Callable[[str | None], None], *, is_alone: bool = True
    ) -> None:
        self._message = OutboundMessage(topic, orjson.dumps({"canary": client_id}), properties={}, expiry=EXPIRY)
        self._on_refusal = on_refusal
        self._is_alone = is_alone
        self._heard = asyncio.Event()

    def is_canary(self, message: InboundMessage) -> bool:
        """Take notice of a message that has arrived, and tell whether it is a canary, of this client or another."""
        self._heard.set()
        if not message.payload.startswith(START) or len(message.payload) > MAX_BYTES:
            return False
        with suppress(orjson.JSONDecodeError):
            return list(orjson.loads(message.payload)) == ["canary"]
        return False

    async def watch(
        self, publish: Callable[[OutboundMessage], Future[None]], on_state: Callable[[str | None], None]
    ) -> None:
        """Ask for the proof on one connection; `on_state` is told None when there is one, else what is missing."""
        self._heard.clear()
        is_proven = False
        with suppress(BrokerUnavailable):  # the next connection starts anew
            while self._is_alone or not is_proven:
                try:
                    await self._prove(publish, on_state)
                    is_proven = True
                except PublishRefused as error:
                    self._on_refusal(f"whether events arrive is not known: {error}")
                    on_state(None)
                self._heard.clear()
                await asyncio.sleep(EVERY_SECONDS)

    async def _prove(
        self, publish: Callable[[OutboundMessage], Future[None]], on_state: Callable[[str | None], None]
    ) -> None:
        missed = 0
        while not self._heard.is_set():
            for _ in range(1 if self._is_alone else min(missed + 1, MOST_AT_ONCE)):  # others take most of them
                await publish(self._message)
            self._on_refusal(None)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_SECONDS if missed < HURRIED else PATIENT_SECONDS):
                    await self._heard.wait()
            missed += 1
            if missed > TOLERATED and not self._heard.is_set():
                on_state(
                    f"nothing that is published on {self._message.topic!r} arrives here: "
                    "the broker's access rules must let this client read and write it"
                )
        on_state(None)
