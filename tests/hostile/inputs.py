"""Hostile inputs: made from a seed and a number, the same each time, and written to a file to be sent again."""

import base64
import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Literal

from tests.hostile import requests, wire
from tests.hostile.bodies import Kind, body, marked

Way = Literal["mqtt5", "mqtt311", "rough", "http"]
Transport = Literal["mqtt", "http", "both"]

RETAINED_SHARE, QOS_0_SHARE, COPY_SHARE = 0.02, 0.02, 0.02
HTTP_SHARE, OLD_SHARE, ROUGH_SHARE = 0.15, 0.1, 0.003
MANY_PROPERTIES = [2, 20, 300, 3_000, 50_000]
MAX_TEXT = 65_535


@dataclass(frozen=True, slots=True)
class Input:
    """One input. Over HTTP, `payload` is the whole request, and `body` what it carries to the route of `kind`.

    `rough` is MQTT 5 over a connection of its own, since the broker may hang up on it. `event_id` and `correlation`
    are in `properties` too. What `may_vanish`, the broker or the server may drop without breaking a promise.
    """

    number: int
    way: Way
    kind: Kind | None
    payload: bytes
    body: bytes = b""
    qos: int = 1
    is_retained: bool = False
    properties: bytes = b""
    event_id: str | None = None
    correlation: bytes | None = None
    may_vanish: bool = False
    is_dry_run: bool = False
    copies: int = 1


def make(seed: int, number: int, transport: Transport = "both") -> Input:
    """The input of this number."""
    rng = Random(f"{seed}:{number}")
    if transport == "http" or (transport == "both" and rng.random() < HTTP_SHARE):
        return _over_http(rng, number)
    return _over_mqtt(rng, number)


def _over_http(rng: Random, number: int) -> Input:
    made = requests.make(rng)
    return Input(
        number,
        "http",
        made.kind,
        made.raw,
        body=made.body,
        may_vanish=made.may_be_cut,
        is_dry_run=made.is_dry_run,
    )


def _over_mqtt(rng: Random, number: int) -> Input:
    kind: Kind = "focus" if rng.random() < 0.8 else "entry"
    payload = body(rng, kind)
    if kind == "focus" and rng.random() < 0.05:
        kind = "entry"  # an event of the wrong kind
    copies = 2 if rng.random() < COPY_SHARE and len(payload) < 100_000 else 1
    is_retained = rng.random() < RETAINED_SHARE
    if rng.random() < OLD_SHARE:
        return Input(
            number, "mqtt311", kind, payload, qos=rng.choice([1, 1, 2]), is_retained=is_retained, copies=copies
        )
    if rng.random() < ROUGH_SHARE:
        return Input(number, "rough", kind, payload, qos=1, properties=_rough(rng), may_vanish=True)
    qos = 0 if rng.random() < QOS_0_SHARE else rng.choice([1, 1, 1, 2])
    properties, event_id, correlation, may_expire = _properties(rng)
    return Input(
        number,
        "mqtt5",
        kind,
        payload,
        qos=qos,
        is_retained=is_retained,
        properties=properties,
        event_id=event_id,
        correlation=correlation,
        may_vanish=qos == 0 or may_expire,
        copies=copies,
    )


def _properties(rng: Random) -> tuple[bytes, str | None, bytes | None, bool]:
    """Properties that the broker lets pass: encoded, the names of the event in them, and whether it may expire."""
    parts: list[bytes] = []
    event_id = correlation = None
    may_expire = False
    if rng.random() < 0.25:
        event_id = _passable(rng.choice([marked(rng), marked(rng) * 2, str(rng.randrange(50)), ""]))
        parts.append(_pair(b"event-id", event_id.encode()))
    if rng.random() < 0.2:
        size = rng.choice([0, 1, 8, 16, 16, 16, 1_000]) if rng.random() < 0.98 else MAX_TEXT
        correlation = rng.randbytes(size)
        parts.append(bytes([wire.CORRELATION]) + wire.text(correlation))
    if rng.random() < 0.1:
        parts.append(
            bytes([wire.RESPONSE_TOPIC]) + wire.text(rng.choice([b"customer/focus", b"$SYS/x", b"a" * 60_000]))
        )
    if rng.random() < 0.1:
        kinds = [
            "application/json",
            "text/html",
            "application/x-www-form-urlencoded",
            _passable(marked(rng)),
            "x" * 60_000,
        ]
        parts.append(bytes([wire.CONTENT_TYPE]) + wire.text(rng.choice(kinds).encode()))
    if rng.random() < 0.1:
        seconds = rng.choice([0, 1, 600, 2**32 - 1])
        may_expire = seconds < 600
        parts.append(bytes([wire.EXPIRY]) + struct.pack(">I", seconds))
    if rng.random() < 0.05:
        parts.append(bytes([wire.PAYLOAD_FORMAT, rng.randrange(2)]))
    if rng.random() < 0.1:
        parts.append(bytes([wire.TOPIC_ALIAS]) + struct.pack(">H", rng.randrange(1, 11)))
    rng.shuffle(parts)
    if rng.random() < 0.05:
        count = rng.choice(MANY_PROPERTIES[:3]) if rng.random() < 0.98 else rng.choice(MANY_PROPERTIES)
        parts.append(_pair(_passable(marked(rng)).encode(), b"x") * count)
    return b"".join(parts), event_id, correlation or None, may_expire


def _passable(text: str) -> str:
    """Without what mosquitto does not let pass: control characters, and those that are no characters."""
    return "".join(c for c in text if c >= " " and not "\x7f" <= c <= "\x9f" and c not in "\ufffe\uffff")


def _rough(rng: Random) -> bytes:
    """Properties that are wrong in themselves."""
    wrong = [
        _pair(b"event-id", rng.choice([b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"a\x00b", b"a\nb"])),
        bytes([wire.TOPIC_ALIAS, 0, 0]),
        bytes([wire.TOPIC_ALIAS, 255, 255]),
        bytes([wire.PAYLOAD_FORMAT, 2]),
        bytes([wire.CORRELATION]) + wire.text(b"a") + bytes([wire.CORRELATION]) + wire.text(b"b"),
        bytes([wire.RESPONSE_TOPIC]) + wire.text(b"a/#"),
        bytes([0x7E, 0]),
        bytes([wire.CONTENT_TYPE, 255, 255]),
    ]
    return rng.choice(wrong)


def _pair(key: bytes, value: bytes) -> bytes:
    return bytes([wire.USER_PROPERTY]) + wire.text(key[:MAX_TEXT]) + wire.text(value[:MAX_TEXT])


def save(path: Path, seed: int, inputs: Sequence[Input]) -> None:
    """Write inputs to a file, to be sent again."""
    path.write_text(json.dumps({"seed": seed, "inputs": [_document(one) for one in inputs]}, indent=1))


def load(path: Path) -> list[Input]:
    """Read such a file."""
    return [_input(one) for one in json.loads(path.read_text())["inputs"]]


def _document(one: Input) -> dict[str, Any]:
    return {name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
            for name, value in asdict(one).items()}  # fmt: skip


def _input(document: dict[str, Any]) -> Input:
    read: dict[str, Any] = {
        name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value
        for name, value in document.items()
    }
    return Input(**read)
