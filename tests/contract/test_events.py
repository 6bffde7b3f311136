"""The wire contract: every form of an event, every refusal, and the bytes of what goes out."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from app.domain.coupon import Coupon, CouponType
from app.domain.department import DepartmentNames
from app.domain.event import EntryEvent, FocusEvent
from app.errors import EventRefused, FieldProblem
from app.events import MAX_BODY_BYTES, MILLISECONDS_FROM, parse_entry, parse_focus
from app.results import IdType, ResultEncoder, encode_dead_letter
from tests.builders import COUPON, FOCUS, NOW, PRODUCT

NAMES = DepartmentNames.with_aliases({})
NOW_TS = int(NOW.timestamp())
CASES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text())["cases"]
RESULT_SCHEMA = Path(__file__).parents[2] / "schema" / "prediction_result.schema.json"

fuzz = settings(deadline=None)


def name_of(case: dict[str, Any]) -> str:
    return str(case["name"])


def focus(body: bytes | dict[str, Any]) -> FocusEvent:
    return parse_focus(body if isinstance(body, bytes) else json.dumps(body).encode(), NOW, NAMES)


def entry(body: bytes | dict[str, Any]) -> EntryEvent:
    return parse_entry(body if isinstance(body, bytes) else json.dumps(body).encode(), NOW)


def codes(refusal: pytest.ExceptionInfo[EventRefused]) -> list[tuple[str, str]]:
    return [(problem.field, problem.code) for problem in refusal.value.problems]


# The contract's vectors


def read(case: dict[str, Any]) -> EntryEvent | FocusEvent:
    body = case["raw"].encode() if "raw" in case else json.dumps(case["input"]).encode()
    return entry(body) if case["kind"] == "entry" else focus(body)


@pytest.mark.parametrize("case", [case for case in CASES if "error" not in case], ids=name_of)
def test_reads(case: dict[str, Any]) -> None:
    event = read(case)
    expected = case["expect"] | ({"ts": NOW_TS} if case["expect"].get("ts", 0) is None else {})

    assert {name: getattr(event, name) for name in expected} == expected


@pytest.mark.parametrize("case", [case for case in CASES if "error" in case], ids=name_of)
def test_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(EventRefused) as refusal:
        read(case)

    assert refusal.value.code == case["error"]


# What else is read


def flat(**changes: Any) -> dict[str, Any]:
    return {"id": "127", "ts": 192322800, "dep": "Boys"} | changes


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(flat(x=-0.0, y=0), {"x": 0.0, "y": 0.0}, id="minus zero is zero"),
        pytest.param(flat(x=None, y=None), {"x": None, "y": None}, id="null coordinates are none"),
        pytest.param(flat(x=1e308, y=-1e308), {"x": 1e308, "y": -1e308}, id="far away"),
        pytest.param(flat(id=" 127 "), {"customer_id": "127"}, id="id with spaces around it"),
        pytest.param(flat(id="007"), {"customer_id": "007"}, id="leading zeros belong to an id"),
        pytest.param(flat(id=-7), {"customer_id": "-7"}, id="negative id"),
        pytest.param(flat(id=7.0), {"customer_id": "7"}, id="integral float id"),
        pytest.param(flat(id=2**63), {"customer_id": "9223372036854775808"}, id="id beyond 63 bits"),
        pytest.param(flat(id="ü" * 64), {"customer_id": "ü" * 64}, id="id of 64 characters"),
        pytest.param(flat(dep="D" * 64), {"department": "D" * 64}, id="department of 64 characters"),
        pytest.param(flat(ts=99999999999), {"ts": 99999999999}, id="last second that is no millisecond"),
        pytest.param(flat(ts=1e11), {"ts": 100000000}, id="first millisecond"),
        pytest.param(flat(ts=1618323771999), {"ts": 1618323771}, id="milliseconds are cut"),
        pytest.param(flat(ts=" 1700000000.9 "), {"ts": 1700000000}, id="numeric string with spaces and a fraction"),
        pytest.param(flat(ts="1.7e9"), {"ts": 1700000000}, id="numeric string with an exponent"),
        pytest.param(flat(ts="2021-03-18T08:29:02+02:00"), {"ts": 1616048942}, id="ISO with a zone"),
        pytest.param(flat(ts="1970-01-01"), {"ts": 0}, id="ISO day"),
        pytest.param(flat(ts="9999-12-31T23:59:59Z"), {"ts": 253402300799}, id="last second of all"),
        pytest.param(flat(payload=1), {"customer_id": "127"}, id="a flat event may have a field called payload"),
        pytest.param(
            {"event_timestamp": None, "payload": {"customer_id": 8, "category": "Men"}}, {"ts": NOW_TS}, id="null time"
        ),
        pytest.param(
            {"event_type": None, "payload": {"customer_id": 8, "category": "Men"}}, {"department": "Men"}, id="no type"
        ),
        pytest.param(
            {"event_type": " Focus Event ", "payload": {"customer_id": 8, "category": "sport", "x": 1, "y": 2}},
            {"department": "Sports", "department_asked": "sport", "x": 1.0, "y": 2.0},
            id="envelope with coordinates",
        ),
    ],
)
def test_reads_too(body: dict[str, Any], expected: dict[str, Any]) -> None:
    event = focus(body)

    assert {name: getattr(event, name) for name in expected} == expected


def test_a_body_of_just_the_limit_is_read() -> None:
    body = json.dumps(flat()).encode()

    assert focus(body + b" " * (MAX_BODY_BYTES - len(body))) == focus(body)


def test_minus_zero_is_written_as_zero() -> None:
    assert str(focus(flat(x=-0.0)).x) == "0.0"


# What else is refused


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(json.dumps(flat()).encode() + b" " * MAX_BODY_BYTES, "too_large", id="too large"),
        pytest.param(b"", "invalid_json", id="empty"),
        pytest.param(b'{"id": "\xff", "ts": 1, "dep": "Boys"}', "invalid_json", id="invalid UTF-8"),
        pytest.param(json.dumps(flat()).encode("utf-16"), "invalid_json", id="UTF-16"),
        pytest.param(json.dumps(flat()).encode("utf-32"), "invalid_json", id="UTF-32"),
        pytest.param(json.dumps(flat()).encode("utf-8-sig"), "invalid_json", id="byte order mark"),
        pytest.param(b"[" * 60_000, "invalid_json", id="deep nesting"),
        pytest.param(b'{"id": "1", "a": %b1%b}' % (b"[" * 9000, b"]" * 9000), "invalid_json", id="deep field"),
        pytest.param(b'{"id": "1", "ts": 1, "dep": "Boys"', "invalid_json", id="cut short"),
        pytest.param(b'{"id": "1", "ts": 1, "dep": "Boys", "a": NaN}', "invalid_json", id="NaN in any field"),
        pytest.param(b'{"id": "1", "ts": 1, "dep": "Boys", "a": "\\ud800"}', "invalid_json", id="surrogate anywhere"),
        pytest.param(b'{"id": 1%b, "ts": 1, "dep": "Boys"}' % (b"0" * 5000), "invalid_json", id="5000 digits"),
        pytest.param(b"null", "not_an_object", id="null"),
        pytest.param(b'"text"', "not_an_object", id="text"),
        pytest.param(b"NaN", "not_an_object", id="NaN alone"),
        pytest.param(b'{"id": "\\ud800", "ts": 1, "dep": "Boys"}', "invalid_customer_id", id="lone surrogate in id"),
        pytest.param(flat(id="a\x00b"), "invalid_customer_id", id="NUL in id"),
        pytest.param(flat(id="a\x1fb"), "invalid_customer_id", id="separator in id"),
        pytest.param(flat(id="a\nb"), "invalid_customer_id", id="line break in id"),
        pytest.param(flat(id="x" * 65), "invalid_customer_id", id="id too long"),
        pytest.param(flat(id=10**70), "invalid_customer_id", id="huge id"),
        pytest.param(flat(id=2.0**53), "invalid_customer_id", id="float id that may have been rounded"),
        pytest.param(flat(id={"id": 1}), "invalid_customer_id", id="object as id"),
        pytest.param(b'{"id": 1e400, "ts": 1, "dep": "Boys"}', "invalid_customer_id", id="infinite id"),
        pytest.param(b'{"id": NaN, "ts": 1, "dep": "Boys"}', "invalid_customer_id", id="NaN as id"),
        pytest.param(b'{"id": "1", "ts": 1e400, "dep": "Boys"}', "invalid_timestamp", id="infinite ts"),
        pytest.param(flat(ts=None), "invalid_timestamp", id="null ts"),
        pytest.param(flat(ts=10**30), "invalid_timestamp", id="huge ts"),
        pytest.param(flat(ts="1e400"), "invalid_timestamp", id="infinite ts as text"),
        pytest.param(flat(ts="1" * 5000), "invalid_timestamp", id="ts of 5000 digits as text"),
        pytest.param(flat(ts="NaN"), "invalid_timestamp", id="NaN ts as text"),
        pytest.param(flat(ts="1969-12-31T23:59:59Z"), "invalid_timestamp", id="before 1970"),
        pytest.param(flat(ts="0001-01-01T00:00:00+23:59"), "invalid_timestamp", id="before the year 1"),
        pytest.param(flat(ts="9999-12-31T23:59:59-01:00"), "invalid_timestamp", id="after the year 9999"),
        pytest.param(flat(ts=""), "invalid_timestamp", id="empty ts"),
        pytest.param(flat(ts=[1]), "invalid_timestamp", id="array as ts"),
        pytest.param(flat(dep="  "), "invalid_department", id="blank department"),
        pytest.param(flat(dep="D" * 65), "invalid_department", id="department too long"),
        pytest.param(flat(dep="Bo\tys"), "invalid_department", id="control character in department"),
        pytest.param(flat(dep=None), "invalid_department", id="null department"),
        pytest.param(b'{"id": "1", "ts": 1, "dep": "Boys", "x": 1e400}', "invalid_coordinate", id="infinite x"),
        pytest.param(b'{"id": "1", "ts": 1, "dep": "Boys", "y": -Infinity}', "invalid_coordinate", id="-infinite y"),
        pytest.param(flat(x=10**400), "invalid_coordinate", id="huge x"),
        pytest.param(flat(x=True), "invalid_coordinate", id="bool x"),
        pytest.param(flat(y=[1]), "invalid_coordinate", id="array as y"),
        pytest.param({"event_type": 7, "payload": {}}, "wrong_event_type", id="number as event type"),
        pytest.param({"event_type": "focus event"}, "invalid_customer_id", id="a type without a payload"),
        pytest.param({"payload": None}, "invalid_envelope", id="null payload"),
        pytest.param({"payload": {}}, "invalid_customer_id", id="empty payload"),
        pytest.param({"payload": {"customer_id": 8}}, "invalid_department", id="payload without a category"),
    ],
)
def test_refuses_too(body: bytes | dict[str, Any], code: str) -> None:
    with pytest.raises(EventRefused) as refusal:
        focus(body)

    assert refusal.value.code == code


def test_names_all_problems_at_once() -> None:
    with pytest.raises(EventRefused) as refusal:
        focus({"id": True, "ts": "soon", "dep": 7, "x": "left", "y": 1})

    assert codes(refusal) == [
        ("id", "invalid_customer_id"),
        ("ts", "invalid_timestamp"),
        ("dep", "invalid_department"),
        ("x", "invalid_coordinate"),
    ]


def test_names_fields_of_an_envelope_by_their_place() -> None:
    with pytest.raises(EventRefused) as refusal:
        focus({"event_type": "entry event", "event_timestamp": -1, "payload": {"category": ""}})

    assert codes(refusal) == [
        ("event_type", "wrong_event_type"),
        ("event_timestamp", "invalid_timestamp"),
        ("payload.customer_id", "invalid_customer_id"),
        ("payload.category", "invalid_department"),
    ]


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(EventRefused) as refusal:
        focus(flat(id=["secret"], ts="secret", dep="secret\x00", x="secret"))

    assert "secret" not in str(refusal.value)


def test_an_entry_event_needs_no_department() -> None:
    assert entry({"id": 7, "ts": 1, "dep": 7, "x": "left"}) == EntryEvent("7", 1)


@pytest.mark.parametrize("event_id", ["", "x" * 129, "a\nb", "\ud800"])
def test_refuses_an_event_id_that_cannot_be_shown(event_id: str) -> None:
    with pytest.raises(EventRefused) as refusal:
        parse_focus(json.dumps(flat()).encode(), NOW, NAMES, event_id=event_id)

    assert codes(refusal) == [("event-id", "invalid_event_id")]


def test_keeps_the_senders_names_for_the_event() -> None:
    event = parse_focus(json.dumps(flat()).encode(), NOW, NAMES, "camera-7/42", b"\x00\xff")

    assert (event.event_id, event.correlation_data) == ("camera-7/42", b"\x00\xff")


def test_empty_correlation_data_names_nothing() -> None:
    event = parse_focus(json.dumps(flat()).encode(), NOW, NAMES, correlation_data=b"")

    assert event == focus(flat())


# Copies of the same event


@pytest.mark.parametrize(
    "copy",
    [
        flat(id=127, dep="Sports", x=10, y=0),
        flat(id=127.0, dep="sport", x=10.0, y=-0.0),
        flat(ts=192322800000, dep=" SPORTS ", x=10, y=0),
        flat(ts="192322800", dep="Sport", x=1e1, y=0),
        flat(ts="1976-02-04T23:00:00", dep="Sport", x=10, y=0, store="nyc-1"),
        {
            "event_type": "customer focus",
            "event_timestamp": "1976-02-04T23:00:00.900Z",
            "payload": {"customer_id": 127, "category": "Sports", "x": 10, "y": 0},
        },
    ],
)
def test_every_form_of_the_same_event_has_one_decision(copy: dict[str, Any]) -> None:
    assert focus(copy).decision_id == focus(flat(dep="Sports", x=10.0, y=0.0)).decision_id


# Whatever comes

wire_keys = st.sampled_from(
    ["id", "ts", "dep", "x", "y", "payload", "event_type", "event_timestamp", "customer_id", "category"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes().map(datetime.isoformat),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wire_keys | st.text(), inner, max_size=5),
    max_leaves=12,
)
json_objects = st.dictionaries(wire_keys | st.text(), json_values, max_size=8)


def parses_or_refuses(body: bytes) -> None:
    for parse in (entry, focus):
        try:
            parse(body)
        except EventRefused as refusal:
            problems = refusal.problems
        else:
            continue
        letter = json.loads(encode_dead_letter("customer/focus", body, problems))
        assert letter["reason"] == letter["problems"][0]["code"]


@fuzz
@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    parses_or_refuses(body)


@fuzz
@given(json_objects)
def test_any_object_is_read_or_refused(document: dict[str, Any]) -> None:
    parses_or_refuses(json.dumps(document).encode())


@fuzz
@given(json_objects, st.sampled_from(["utf-16", "utf-16-le", "utf-32-be", "utf-7"]))
def test_any_object_in_any_encoding_is_read_or_refused(document: dict[str, Any], encoding: str) -> None:
    parses_or_refuses(json.dumps(document).encode(encoding))


@fuzz
@given(st.builds(flat), st.data())
def test_any_damage_is_read_or_refused(document: dict[str, Any], data: st.DataObject) -> None:
    body = bytearray(json.dumps(document).encode())
    start = data.draw(st.integers(0, len(body)))
    body[start : data.draw(st.integers(start, len(body)))] = data.draw(st.binary(max_size=4))

    parses_or_refuses(bytes(body))


ids = st.text(max_size=70) | st.integers() | st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6).map(float)
moments = (
    st.integers(0, 253402300799)
    | st.floats(0, 2e14)
    | st.integers(0, 10**11).map(str)
    | st.datetimes(datetime(1970, 1, 2)).map(datetime.isoformat)
    | st.datetimes(datetime(1970, 1, 2), timezones=st.just(UTC)).map(datetime.isoformat)
)
departments = st.sampled_from(["Boys", " men", "SPORT", "Sports ", "Garden"]) | st.text(max_size=70)
coordinates = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers()
flat_focus = st.fixed_dictionaries(
    {"id": ids, "ts": moments, "dep": departments}, optional={"x": coordinates, "y": coordinates}
)
enveloped_focus = st.fixed_dictionaries(
    {
        "payload": st.fixed_dictionaries(
            {"customer_id": ids, "category": departments}, optional={"x": coordinates, "y": coordinates}
        )
    },
    optional={"event_type": st.sampled_from(["focus event", "Customer Focus"]), "event_timestamp": moments},
)


@fuzz
@given(flat_focus | enveloped_focus)
def test_an_accepted_event_written_in_flat_form_is_the_same_event(document: dict[str, Any]) -> None:
    try:
        event = focus(document)
    except EventRefused:
        assume(False)
    assume(event.ts < MILLISECONDS_FROM)  # after the year 5138, seconds would be taken for milliseconds
    canonical = {"id": event.customer_id, "ts": event.ts, "dep": event.department_asked, "x": event.x, "y": event.y}

    assert focus(canonical) == event
    assert focus(canonical | {"dep": event.department}).decision_id == event.decision_id


# Results

EXPECTED = (
    b'{"customer":{"id":"127"},"coupon":{"id":"22","type":"buy_more","department":"Men","discount":14.0,"how_many":3,'
    b'"how_many_products_required":3,"start_date":"2026-01-01","end_date":"2026-12-31","products":[{"id":"33",'
    b'"name":"Plain T-shirt","category":"T-shirts","sizes":"S-XL","vendor":"Northmoor","description":"Cotton, plain.",'
    b'"buy_price":7.12,"department":"Men"}]},"ts":1781526600}'
)
THREE_PRODUCTS = tuple(replace(PRODUCT, product_id=str(number)) for number in range(3))


@pytest.fixture(scope="module")
def result_schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads(RESULT_SCHEMA.read_text()))


def offer(coupon: Coupon = COUPON, event: FocusEvent = FOCUS, encoder: ResultEncoder | None = None) -> bytes:
    encoder = encoder or ResultEncoder()
    return encoder.offer(event, encoder.coupon(coupon), NOW_TS)


def test_a_result_is_written_as_the_contract_has_it() -> None:
    assert offer() == EXPECTED


@pytest.mark.parametrize("kind", CouponType)
@pytest.mark.parametrize("id_type", IdType)
@pytest.mark.parametrize("max_products", [0, 1])
def test_every_offer_follows_the_schema(
    result_schema: Draft202012Validator, kind: CouponType, id_type: IdType, max_products: int
) -> None:
    coupon = replace(COUPON, type=kind, products=THREE_PRODUCTS)

    result_schema.validate(json.loads(offer(coupon, encoder=ResultEncoder(id_type, max_products))))


def test_no_offer_says_why(result_schema: Draft202012Validator) -> None:
    result = ResultEncoder().no_offer(FOCUS, "below_threshold", NOW_TS)

    assert result == b'{"customer":{"id":"127"},"coupon":null,"reason":"below_threshold","ts":1781526600}'
    result_schema.validate(json.loads(result))


@pytest.mark.parametrize(
    ("identifier", "written"),
    [
        ("127", 127),
        ("0", 0),
        ("-5", -5),
        ("9007199254740993", 9007199254740993),
        ("007", "007"),
        ("-0", "-0"),
        ("abc-7", "abc-7"),
        ("1.0", "1.0"),
        ("٣", "٣"),
        ("9" * 20, "9" * 20),
        ("9" * 64, "9" * 64),
    ],
)
def test_ids_are_whole_numbers_where_that_is_asked_for_and_says_the_same(identifier: str, written: str | int) -> None:
    event, coupon = replace(FOCUS, customer_id=identifier), replace(COUPON, coupon_id=identifier)
    coupon = replace(coupon, products=(replace(PRODUCT, product_id=identifier),))

    result = json.loads(offer(coupon, event, ResultEncoder(IdType.INTEGER)))

    assert [result["customer"]["id"], result["coupon"]["id"], result["coupon"]["products"][0]["id"]] == [written] * 3


@given(st.text(st.characters(exclude_categories=["C"]), max_size=64) | st.text("0123456789-", max_size=25))
def test_an_id_read_from_a_result_is_the_id(identifier: str) -> None:
    result = json.loads(ResultEncoder(IdType.INTEGER).no_offer(replace(FOCUS, customer_id=identifier), "", 1))

    assert str(result["customer"]["id"]) == identifier


@pytest.mark.parametrize(
    ("max_products", "listed", "total"), [(0, 3, None), (1, 1, 3), (2, 2, 3), (3, 3, None), (4, 3, None)]
)
def test_a_cut_list_of_products_says_how_many_there_are(max_products: int, listed: int, total: int | None) -> None:
    coupon = replace(COUPON, type=CouponType.BUY_ALL, products=THREE_PRODUCTS)

    written = json.loads(offer(coupon, encoder=ResultEncoder(max_products=max_products)))["coupon"]

    assert [product["id"] for product in written["products"]] == ["0", "1", "2"][:listed]
    assert (written.get("products_total"), written["how_many"]) == (total, 3)


AWKWARD = ['say "Men"', 'a,"discount":9', '","department":"', "back\\slash", "Größe", "</script>", "{}"]


@pytest.mark.parametrize("asked", ["men", "MEN", *AWKWARD])
def test_the_department_is_spelled_as_the_event_spelled_it(asked: str) -> None:
    written = json.loads(offer(event=replace(FOCUS, department_asked=asked)))

    assert written == json.loads(EXPECTED) | {"coupon": json.loads(EXPECTED)["coupon"] | {"department": asked}}


@pytest.mark.parametrize("text", AWKWARD)
def test_no_name_of_the_shop_can_break_a_result(text: str) -> None:
    product = replace(PRODUCT, name=text, category=text, sizes=text, vendor=text, description=text, department=text)
    coupon = replace(COUPON, coupon_id=text, department=text, products=(product,))

    written = json.loads(offer(coupon))["coupon"]

    assert (written["id"], written["department"], written["discount"]) == (text, "Men", 14.0)
    assert set(written["products"][0].values()) == {text, "33", 7.12}


def test_the_discount_is_written_as_a_float() -> None:
    assert b'"discount":14.0,' in offer(replace(COUPON, discount=14))


# Dead letters

PROBLEMS = [FieldProblem("ts", "invalid_timestamp", "must be a time"), FieldProblem("dep", "invalid_department", "no")]


def test_a_dead_letter_tells_all() -> None:
    assert json.loads(encode_dead_letter("customer/focus", b'{"id": "1"}', PROBLEMS)) == {
        "reason": "invalid_timestamp",
        "problems": [
            {"field": "ts", "code": "invalid_timestamp", "detail": "must be a time"},
            {"field": "dep", "code": "invalid_department", "detail": "no"},
        ],
        "topic": "customer/focus",
        "payload": '{"id": "1"}',
        "payload_encoding": "utf-8",
        "payload_bytes": 11,
    }


@pytest.mark.parametrize("body", [b"not json", b"\xff\x00", b'{"id": true}', b"[" * 5000, b"x" * 70_000])
def test_every_copy_of_a_refused_event_is_the_same_dead_letter(body: bytes) -> None:
    letters = set()
    for clock in (NOW, NOW.replace(year=2027)):
        with pytest.raises(EventRefused) as refusal:
            parse_focus(body, clock, NAMES)
        letters.add(encode_dead_letter("customer/focus", body, refusal.value.problems))

    assert len(letters) == 1


def test_a_payload_that_is_no_text_is_told_in_hexadecimal() -> None:
    letter = json.loads(encode_dead_letter("customer/focus", b"\xff\x00\x7f", PROBLEMS))

    assert (letter["payload"], letter["payload_encoding"], letter["payload_bytes"]) == ("ff007f", "hex", 3)


def test_a_payload_that_was_cut_on_the_way_is_told_in_its_full_length() -> None:
    payload = b"x" * 100_000

    cut = encode_dead_letter("customer/focus", payload[: MAX_BODY_BYTES + 1], PROBLEMS, 100_000 - MAX_BODY_BYTES - 1)

    assert cut == encode_dead_letter("customer/focus", payload, PROBLEMS)


@pytest.mark.parametrize(("filling", "encoding"), [(b"x", "utf-8"), (b"\xff", "hex"), ("€".encode(), "hex")])
def test_a_payload_that_is_too_long_is_told_by_its_beginning(filling: bytes, encoding: str) -> None:
    payload = filling * 100_000
    letter = json.loads(encode_dead_letter("customer/focus", payload, PROBLEMS))
    told = letter["payload"].encode() if encoding == "utf-8" else bytes.fromhex(letter["payload"])

    assert (letter["payload_encoding"], letter["payload_bytes"]) == (encoding, len(payload))
    assert len(letter["payload"]) <= MAX_BODY_BYTES
    assert payload.startswith(told)


def test_a_long_whole_number_keeps_all_its_digits() -> None:
    event = parse_entry(b'{"id": 99999999999999999999, "ts": 1}', NOW)

    assert event.customer_id == "99999999999999999999"
