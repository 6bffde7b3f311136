"""Bodies of events, damaged on purpose: each made from a seeded generator, most of them one step away from valid."""

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Literal

Kind = Literal["entry", "focus"]
Fields = list[tuple[str, bytes]]

MARK = "zqx7"  # begins the marker that each hostile text carries; nothing else in a log or on a page may hold it
DEPARTMENTS = ["Boys", "Girls", "Men", "Sports", "Women", "sport", " WOMEN ", "Garden"]
HOSTILE = [
    "a/b/#", "+/+", "$SYS/x", "$share/g/t", "'; DROP TABLE decision; --", '" OR 1=1 --', "%s%n%x", "%", "_",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</pre>", '\n{"level":"error"}', "\r\nSet-Cookie: a=b",
    "\x1b[31m", "\x00", "\x7f", "\x1f", "../../etc/passwd", "..", ".", "/", "\\..\\..", "%2e%2e%2f", "${jndi:ldap://x}",
    "{{7*7}}", "$(id)", "`id`", "\u202e", "\u200b", "\ufeff", "\u2028", "\u0301", "e\u0301", "٣", "Ⅷ", "ﬁ", "ß", "İ",
    "\U0001f600", "\U000e0001", "\ufffe", "\ue000", "nul", "true", "NaN", "-0", "1e5", "\xa0",
]  # fmt: skip
VALUES = [
    b"null", b"true", b"false", b"[]", b"{}", b'""', b"0", b"-0", b"-0.0", b"-1", b"1e400", b"-1e400", b"1e308",
    b"5e-324", b"1.7976931348623157e308", b"NaN", b"Infinity", b"-Infinity", b"9007199254740993",
    b"9223372036854775808",
    b"18446744073709551616", b"1" + b"0" * 70, b"1" + b"0" * 400, b"9" * 5000, b"0." + b"3" * 3000, b"1e-999999999",
    b"1e999999999", b"01", b"+1", b".5", b"1.", b"0x10", b"1_000", b'"1e5"', b'" 7 "', b"7.0", b"7.5", b"'7'",
    b"undefined",
    b'[["127"]]', b'{"$gt":""}', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\xff"',
    b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"', b'"\\x41"', b'"\x01"', b'"tab\t"',
]  # fmt: skip
MOMENTS = [
    b"0", b"1", b"192322800", b"99999999999", b"100000000000", b"253402300799", b"253402300799999", b"253402300800000",
    b"-1", b'"1970-01-01"', b'"9999-12-31T23:59:59Z"', b'"9999-12-31T23:59:59-23:59"', b'"0001-01-01T00:00:00+23:59"',
    b'"2024-02-30"', b'"24:00"', b'"2024-W01-1"', b'"20240101T000000,5Z"', b'"1700000000.9"', b'"1e11"', b'"1e400"',
    b'"' + b"1" * 5000 + b'"', b'"2021-03-18T08:29:02.160Z"', b'"2021-03-18 08:29"', b'"\\u0661"', b"1.5", b"2e9",
]  # fmt: skip
TYPES = [
    b'"focus event"',
    b'"Customer Focus"',
    b'"entry event"',
    b'"customer entry"',
    b'"FOCUS EVENT "',
    b'"x"',
    b"1",
    b"null",
]
TAILS = [b"}", b" x", b"\x00", b"{}", b",", b"//", b"\n\n", b"   ", b"\xef\xbb\xbf", b"NaN"]
HEADS = [b"\xef\xbb\xbf", b"\xff\xfe", b")]}',\n", b" \t\r\n", b"\x00", b"[", b"\x1e", b"data: "]
NESTING = [20, 900, 1_000, 1_100, 1_100, 3_000, 9_000, 9_000, 12_000, 30_000, 30_000, 100_000]
LARGE = [65_535, 65_536, 65_537, 70_000, 300_000]
HUGE = 10_000_000
HUGE_EVERY, LARGE_EVERY = 5_000, 150


def marked(rng: Random) -> str:
    """Hostile text with a marker, often about as long as the contract allows."""
    mark = f"{MARK}{rng.randrange(16**6):06x}"
    text = rng.choice(HOSTILE)
    shapes = [text + mark, mark + text, mark, f"{text}{mark}{text}"]
    shapes += [(mark + text).ljust(length, rng.choice("xüé\U0001f600")) for length in (63, 64, 65, 128)]
    return rng.choice(shapes)


def known_customer(rng: Random) -> str:
    """One of the demo shop."""
    return str(rng.randrange(1, 900))


def body(rng: Random, kind: Kind) -> bytes:
    """A body for a topic or endpoint of this kind."""
    if rng.randrange(HUGE_EVERY) == 0:
        return _huge(rng)
    fields = _envelope(rng, kind) if rng.random() < 0.35 else _flat(rng, kind)
    damage = _large if rng.randrange(LARGE_EVERY) == 0 else rng.choice(DAMAGES)
    return damage(rng, fields)


def _flat(rng: Random, kind: Kind) -> Fields:
    fields: Fields = [("id", _customer(rng)), ("ts", _moment(rng))]
    if kind == "focus" or rng.random() < 0.1:
        fields += [("dep", _department(rng)), *_place(rng)]
    return fields


def _envelope(rng: Random, kind: Kind) -> Fields:
    inner: Fields = [("customer_id", _customer(rng))]
    if kind == "focus" or rng.random() < 0.1:
        inner += [("category", _department(rng)), *_place(rng)]
    if rng.random() < 0.2:
        inner = [(key, rng.choice(VALUES)) if rng.random() < 0.4 else (key, value) for key, value in inner]
    fields: Fields = [("payload", _object(inner))]
    if rng.random() < 0.8:
        fields.append(("event_timestamp", _moment(rng)))
    if rng.random() < 0.8:
        usual = b'"focus event"' if kind == "focus" else b'"entry event"'
        fields.append(("event_type", rng.choice(TYPES) if rng.random() < 0.2 else usual))
    rng.shuffle(fields)
    return fields


def _customer(rng: Random) -> bytes:
    if rng.random() < 0.75:
        known = known_customer(rng).encode()
        return rng.choice([b"%b", b'"%b"', b'" %b "', b"%b.0"]) % known
    return _text(rng, marked(rng))


def _department(rng: Random) -> bytes:
    return _text(rng, rng.choice(DEPARTMENTS) if rng.random() < 0.8 else marked(rng))


def _moment(rng: Random) -> bytes:
    if rng.random() < 0.7:
        return b"%d" % rng.randrange(1, 2**31)
    return rng.choice(MOMENTS)


def _place(rng: Random) -> Fields:
    if rng.random() < 0.6:
        return []
    numbers = [b"1", b"1.5", b"-0.0", b"1e308", b"-1e308", b"5e-324", b"null", b"0"]
    return [(key, rng.choice(numbers)) for key in ("x", "y")]


def _text(rng: Random, text: str) -> bytes:
    return json.dumps(text, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _object(fields: Fields) -> bytes:
    return b"{%b}" % b",".join(json.dumps(key).encode() + b":" + value for key, value in fields)


def _huge(rng: Random) -> bytes:
    start = _object(_flat(rng, "focus"))
    return rng.choice([start + b" " * HUGE, b"[" * HUGE, start[:-1] + b',"a":"' + b"x" * HUGE + b'"}', b"\xff" * HUGE])


def _as_it_is(rng: Random, fields: Fields) -> bytes:
    return _object(fields)


def _without_a_field(rng: Random, fields: Fields) -> bytes:
    return _object(rng.sample(fields, len(fields) - 1))


def _with_a_field_twice(rng: Random, fields: Fields) -> bytes:
    key, value = rng.choice(fields)
    return _object([*fields, (key, rng.choice([value, rng.choice(VALUES), _customer(rng)]))])


def _with_a_wrong_value(rng: Random, fields: Fields) -> bytes:
    wrong = rng.randrange(len(fields))
    return _object([(key, rng.choice(VALUES) if n == wrong else value) for n, (key, value) in enumerate(fields)])


def _with_hostile_extras(rng: Random, fields: Fields) -> bytes:
    keys = ["__proto__", "constructor", "payload", "a", "ID", "id ", "deployment", "seed", marked(rng)]
    extras = [(rng.choice(keys), rng.choice(VALUES)) for _ in range(rng.choice([1, 1, 1, 5, 2_000]))]
    return _object([*fields, *extras])


def _deep(rng: Random, fields: Fields) -> bytes:
    depth = rng.choice(NESTING)
    start, end = rng.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"":', b"}]")])
    nest = start * depth + rng.choice([b"", b"1"]) + rng.choice([b"", end * depth])
    return nest if rng.random() < 0.3 else _object([*fields, (rng.choice(["a", "id", "dep", "payload"]), nest)])


def _cut_short(rng: Random, fields: Fields) -> bytes:
    whole = _object(fields)
    return whole[: rng.randrange(len(whole))]


def _with_more_around(rng: Random, fields: Fields) -> bytes:
    if rng.random() < 0.5:
        return rng.choice(HEADS) + _object(fields)
    return _object(fields) + rng.choice(TAILS)


def _with_flipped_bits(rng: Random, fields: Fields) -> bytes:
    damaged = bytearray(_object(fields))
    for _ in range(rng.choice([1, 1, 2, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _in_another_encoding(rng: Random, fields: Fields) -> bytes:
    text = _object(fields).decode("utf-8", "replace")
    return text.encode(rng.choice(["utf-16", "utf-16-le", "utf-32", "utf-7", "utf-8-sig", "latin-1"]), "replace")


def _large(rng: Random, fields: Fields) -> bytes:
    whole, size = _object(fields), rng.choice(LARGE)
    return whole + b" " * (size - len(whole))


def _no_event(rng: Random, fields: Fields) -> bytes:
    whole = _object(fields)
    noise = struct.pack(">QQ", rng.getrandbits(64), rng.getrandbits(64))
    others = [
        b"",
        b"\x00",
        b"null",
        b"[]",
        b'""',
        b"NaN",
        b"id=127&ts=1&dep=Boys",
        b"<event/>",
        b"\x80\x04K\x01.",
        b"1\n" * 50,
    ]
    return rng.choice([*others, noise, b"[%b]" % whole, json.dumps(whole.decode("utf-8", "replace")).encode()])


DAMAGES: list[Callable[[Random, Fields], bytes]] = [
    *[_as_it_is] * 14,
    *[_with_a_wrong_value] * 5,
    *[_with_flipped_bits] * 4,
    *[_without_a_field, _with_a_field_twice, _with_hostile_extras, _cut_short, _with_more_around, _no_event] * 2,
    _in_another_encoding,
    _deep,
]
