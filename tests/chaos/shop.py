"""The events of a shop: of customers known here, at the central alone, or to nobody; some of them to be refused."""

import json
import random
import time
from dataclasses import dataclass, field
from uuid import uuid4

from app.domain.department import DepartmentNames
from app.domain.event import FocusEvent
from tests.chaos import wire
from tests.chaos.ledger import Kind

KNOWN_CUSTOMERS = 1000
UNKNOWN_SHARE = 0.03
DEPARTMENTS = ("Boys", "Girls", "Men", "Sports", "Women", "Sport", "boys")
CENTRAL_PREFIX, UNKNOWN_PREFIX = "cent-7f3a-", "cust-7f3a-"
NAMES = DepartmentNames.with_aliases({})
EVENTS_PER_CENTRAL_CUSTOMER = 4
LONG_AGO, LONG_AGO_SHARE = (80, 200), 0.3


@dataclass(frozen=True, slots=True)
class ShopEvent:
    """A focus event as it goes on the wire, and the name that its outcome will bear."""

    number: int
    name: bytes
    expected: Kind
    properties: bytes
    payload: bytes


@dataclass
class Shop:
    """Makes events in turn, the same ones for the same seed; `run` tells the events of this run from all others.

    For each focus event there are `entry_share` entry events. Customers whom the central alone knows are rare, since
    entry events make them known here, and those whom nobody knows are rarer.
    """

    seed: int
    entry_share: float = 0.05
    central_share: float = 0.06
    run: str = field(default_factory=lambda: uuid4().hex[:8])

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._place = float(int(self.run, 16))
        self._number = 0

    def next(self) -> ShopEvent:
        """One focus event: every 25th is to be refused, every 20th is of an unknown department."""
        self._number += 1
        if self._number % 25 == 0:
            return self._refused(self._number)
        department = "Garden" if self._number % 20 == 0 else self._random.choice(DEPARTMENTS)
        return self._focus(self._number, self._customer(), department)

    def central_customer(self) -> str:
        """A customer whom the central alone knows: a new one after a few events, or one of some time ago."""
        latest = self._number // EVENTS_PER_CENTRAL_CUSTOMER
        age = self._random.randint(*LONG_AGO) if self._random.random() < LONG_AGO_SHARE else 0
        return f"{CENTRAL_PREFIX}{self.run}-{max(0, latest - age):06d}"

    def is_sent_twice(self, event: ShopEvent) -> bool:
        """Whether it is one of the 2 % that are sent twice on purpose."""
        return self._random.random() < 0.02

    def _customer(self) -> str:
        kind = self._random.random()
        if kind < self.central_share:
            return self.central_customer()
        if kind < self.central_share + UNKNOWN_SHARE:
            return f"{UNKNOWN_PREFIX}{self.run}-{self._number:06d}"
        return str(self._random.randint(1, KNOWN_CUSTOMERS))

    def _focus(self, number: int, customer_id: str, department: str) -> ShopEvent:
        ts, x = int(time.time()), float(number)
        event_id = f"{self.run}-{number}" if number % 2 else ""
        payload = json.dumps({"id": customer_id, "ts": ts, "dep": department, "x": x, "y": self._place})
        canonical = NAMES.canonical(department)
        event = FocusEvent(customer_id, ts, canonical, department, x, self._place, event_id or None)
        properties = wire.message_properties(event_id)
        return ShopEvent(number, event.decision_id.bytes, "result", properties, payload.encode())

    def _refused(self, number: int) -> ShopEvent:
        name = f"{self.run}-{number}".encode()
        customer_id = f"{UNKNOWN_PREFIX}{self.run}-{number:06d}"
        bodies = (
            json.dumps({"id": customer_id, "ts": 1, "dep": number}),
            json.dumps({"id": customer_id, "ts": -number, "dep": "Boys"}),
            json.dumps({"ts": 1, "dep": "Boys", "n": number}),
            f"no JSON {number}",
        )
        body = self._random.choice(bodies).encode()
        return ShopEvent(number, name, "dead letter", wire.message_properties("", name), body)


def entry_payload(customer_id: str) -> bytes:
    """An entry event."""
    return json.dumps({"id": customer_id, "ts": int(time.time())}).encode()
