"""Sensors that publish events at a rate, and a till that hears the outcomes, both beside the line that is disturbed."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar
from uuid import UUID, uuid4

from tests.chaos import wire
from tests.chaos.client import Client
from tests.chaos.ledger import Ledger
from tests.chaos.loop import LoopThread
from tests.chaos.shop import Shop, ShopEvent, entry_payload
from tests.e2e.stack import ENTRY, FOCUS, PREDICTION, REJECTED

Answer = TypeVar("Answer")

TICK_SECONDS = 0.005
LATER_SECONDS = 2.0
MAX_PACKET_ID = 0xFFFF
STATUS = f"{PREDICTION}/status"


@dataclass(frozen=True, slots=True)
class Copy:
    """One sending of an event; `number` is None for entry events."""

    number: int | None
    topic: str
    properties: bytes
    payload: bytes
    customer_id: str = ""


class Sensors(Client):
    """Publishes at QoS 1; what the broker has not acknowledged is sent again on the next connection."""

    def __init__(self, port: int, ledger: Ledger) -> None:
        super().__init__(port, f"sensors-{uuid4().hex[:8]}", takes_session=False)
        self.entered: set[str] = set()
        self._ledger = ledger
        self._queue: deque[Copy] = deque()
        self._in_flight: dict[int, Copy] = {}
        self._window = 0
        self._packet_id = 0

    @property
    def unacknowledged(self) -> int:
        """Copies that the broker does not have yet, as far as the sensors know."""
        return len(self._queue) + len(self._in_flight)

    def put(self, copy: Copy) -> None:
        """Send as soon as the broker takes it."""
        self._queue.append(copy)

    def flush(self) -> None:
        """Send what may be in flight."""
        out = []
        while self._queue and self.is_connected and len(self._in_flight) < self._window:
            copy = self._queue.popleft()
            packet_id = self._free_id()
            self._in_flight[packet_id] = copy
            if copy.number is not None:
                self._ledger.send(copy.number)
            out.append(wire.publish(copy.topic, packet_id, copy.properties, copy.payload))
        if out:
            self.write(b"".join(out))

    def on_connected(self, window: int) -> None:
        """Send again what has not been acknowledged."""
        self._window = min(window, MAX_PACKET_ID - 1)
        self._queue.extendleft(reversed(self._in_flight.values()))
        self._in_flight.clear()
        self.flush()

    def on_packet(self, first: int, body: bytes) -> None:
        """Note what the broker has."""
        if first >> 4 != wire.PUBACK:
            return
        copy = self._in_flight.pop(int.from_bytes(body[:2]), None)
        if copy is not None and copy.number is not None:
            self._ledger.acknowledge(copy.number, monotonic())
        elif copy is not None:
            self.entered.add(copy.customer_id)

    def on_read(self) -> None:
        """There may be room again."""
        self.flush()

    def _free_id(self) -> int:
        self._packet_id = self._packet_id % MAX_PACKET_ID + 1
        while self._packet_id in self._in_flight:
            self._packet_id = self._packet_id % MAX_PACKET_ID + 1
        return self._packet_id


class Till(Client):
    """Hears results, dead letters and the service's status, in a session that outlives the broker's restarts."""

    def __init__(self, port: int, ledger: Ledger) -> None:
        super().__init__(port, f"till-{uuid4().hex[:8]}", takes_session=True)
        self.statuses: list[tuple[float, str]] = []
        self.is_subscribed = asyncio.Event()
        self._ledger = ledger
        self._acknowledgements = bytearray()

    def on_connected(self, window: int) -> None:
        """Subscribe, again too: a broker that was killed may have forgotten."""
        self.write(wire.subscribe(1, [PREDICTION, REJECTED, STATUS]))

    def on_packet(self, first: int, body: bytes) -> None:
        """Enter outcomes in the ledger."""
        if first >> 4 == wire.SUBACK:
            self.is_subscribed.set()
        elif first >> 4 == wire.PUBLISH:
            message = wire.read_publish(first, body)
            self._hear(message)
            if message.packet_id:
                self._acknowledgements += wire.puback(message.packet_id)

    def on_read(self) -> None:
        """Acknowledge what was heard."""
        if self._acknowledgements:
            self.write(bytes(self._acknowledgements))
            self._acknowledgements.clear()

    def _hear(self, message: wire.Received) -> None:
        now = monotonic()
        if message.topic == PREDICTION:
            name = UUID(message.names["decision-id"]).bytes
            self._ledger.hear(name, "result", message.payload, now, message.is_again)
        elif message.topic == REJECTED:
            self._ledger.hear(message.correlation_data, "dead letter", message.payload, now, message.is_again)
        else:
            self.statuses.append((now, message.payload.decode()))


class Load:
    """Sensors and till on one loop: `begin` a rate, `end` it, and see what came of it."""

    def __init__(self, port: int, shop: Shop) -> None:
        self.ledger = Ledger()
        self.shop = shop
        self._loop = LoopThread("load")
        self.sensors, self.till = self._loop.ask(lambda: (Sensors(port, self.ledger), Till(port, self.ledger)))
        self._rate = 0.0
        self._next_at = 0.0
        self._most = 0
        self._owed_entries = 0.0
        for work in (self.till.run(), self.sensors.run(), self._produce()):
            self._loop.spawn(work)
        self._loop.run(asyncio.wait_for(self.till.is_subscribed.wait(), 30))

    def begin(self, rate: float, most: int = 0) -> None:
        """From now on so many events a second, `most` in all (0: until told otherwise)."""
        self._loop.ask(lambda: self._set(rate, most))

    def end(self) -> None:
        """No more events."""
        self.begin(0)

    def ask(self, question: Callable[[Ledger], Answer]) -> Answer:
        """Ask the ledger while nothing is entered in it."""
        return self._loop.ask(lambda: question(self.ledger))

    @property
    def sent(self) -> int:
        """Events so far."""
        return len(self.ledger.entries)

    @property
    def has_sent_all(self) -> bool:
        """Whether `most` has been reached."""
        return self._rate == 0

    @property
    def is_settled(self) -> bool:
        """Whether the broker has everything, and everything has an outcome."""
        return self.sensors.unacknowledged == 0 and self.ledger.open == 0

    def close(self) -> None:
        """Leave the broker."""
        self._loop.close()

    def _set(self, rate: float, most: int) -> None:
        self._rate, self._next_at = rate, monotonic()
        self._most = self.sent + most if most else 0

    async def _produce(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = monotonic()
            while self._rate and self._next_at <= now:
                self._happen(self.shop.next(), self._next_at)
                self._next_at += 1 / self._rate
                if self._most and self.sent >= self._most:
                    self._rate = 0.0
            self.sensors.flush()

    def _happen(self, event: ShopEvent, at: float) -> None:
        self._owed_entries += self.shop.entry_share
        if self._owed_entries >= 1:
            self._owed_entries -= 1
            customer_id = self.shop.central_customer()
            self.sensors.put(Copy(None, ENTRY, wire.NOTHING, entry_payload(customer_id), customer_id))
        copy = Copy(event.number, FOCUS, event.properties, event.payload)
        self.ledger.plan(event.number, event.name, event.expected, at)
        self.sensors.put(copy)
        if self.shop.is_sent_twice(event):
            if event.number % 2:
                self.sensors.put(copy)
            else:
                asyncio.get_running_loop().call_later(LATER_SECONDS, self.sensors.put, copy)
