"""What every Central does: the one in memory, and the one over HTTP; and what the latter makes of bad answers."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

import httpx
import pytest

from app.adapters.breaker import Breaker
from app.adapters.central import MAX_ANSWER_BYTES, HttpCentral
from app.adapters.memory import MemoryCentral
from app.domain.customer import CustomerContext, Gender
from app.embedded.central import create_central
from app.errors import CentralUnavailable
from app.ports import Central, UnknownCustomer
from tests.builders import ANNA

BASE_URL = "http://central/api/"
DEADLINE_SECONDS = 5.0
DEFAULTS = CustomerContext("", Gender.MALE, 38, 30.0, 5, 10.0, 30, 4, 50)
AWKWARD_IDS = ["007", "-7", "a/b", "../7", "..", ".", "a b", "ü", "100%", "%2e%2e", "a?b=c", "a#b", "x" * 64]
CONTEXTS = {key: replace(ANNA, customer_id=key) for key in ("127", "abc", *AWKWARD_IDS)}

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def memory_central() -> Central:
    return MemoryCentral(CONTEXTS)


@pytest.fixture
async def http_central() -> AsyncIterator[Central]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_central(CONTEXTS))) as client:
        yield HttpCentral(client, "http://central", DEADLINE_SECONDS, DEFAULTS, Breaker())


@pytest.fixture(params=["memory_central", "http_central"])
def central(request: pytest.FixtureRequest) -> Central:
    chosen: Central = request.getfixturevalue(request.param)
    return chosen


@pytest.mark.parametrize("customer_id", CONTEXTS)
async def test_tells_what_it_knows_of_a_customer(central: Central, customer_id: str) -> None:
    assert await central.fetch(customer_id) == CONTEXTS[customer_id]


@pytest.mark.parametrize("customer_id", ["128", "0127", "ABC", "127/", "..."])
async def test_says_whom_it_does_not_know(central: Central, customer_id: str) -> None:
    assert await central.fetch(customer_id) == UnknownCustomer(customer_id)


async def test_answers_many_at_once(central: Central) -> None:
    answers = await asyncio.gather(*(central.fetch(key) for key in CONTEXTS))

    assert answers == list(CONTEXTS.values())


# Over HTTP


class Answers:
    """A central that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answer: Handler = lambda request: httpx.Response(200, json=asdict(ANNA))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer(request)

    def with_status(self, status: int, content: bytes = b"") -> None:
        self.answer = lambda request: httpx.Response(status, content=content)

    def with_body(self, **changes: Any) -> None:
        body = json.dumps(asdict(ANNA) | changes)
        self.answer = lambda request: httpx.Response(200, content=body)

    def once(self, first: Handler) -> None:
        """Answer the next request this way, and the others as told."""
        usual = self.answer

        def answer(request: httpx.Request) -> httpx.Response:
            self.answer = usual
            return first(request)

        self.answer = answer


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports() -> list[str | None]:
    return []


@pytest.fixture
async def asking(answers: Answers, clock: Clock, reports: list[str | None]) -> AsyncIterator[HttpCentral]:
    breaker = Breaker(failures=3, rest_seconds=10.0, clock=clock)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answers)) as client:
        yield HttpCentral(client, BASE_URL, DEADLINE_SECONDS, DEFAULTS, breaker, reports.append)


async def failing(central: HttpCentral) -> str:
    with pytest.raises(CentralUnavailable) as error:
        await central.fetch("127")
    return str(error.value)


def breaks(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection refused", request=request)


async def test_asks_below_the_base_url(asking: HttpCentral, answers: Answers) -> None:
    await asking.fetch("127")

    assert [(one.method, str(one.url)) for one in answers.asked] == [("GET", "http://central/api/get_context/127")]


@pytest.mark.parametrize(
    ("customer_id", "segment"),
    [
        ("../x", b"..%2Fx"),
        ("..", b"%2E%2E"),
        (".", b"%2E"),
        ("...", b"%2E%2E%2E"),
        ("a/b", b"a%2Fb"),
        ("ü", b"%C3%BC"),
        ("a b", b"a%20b"),
        ("a?b=c#d", b"a%3Fb%3Dc%23d"),
        ("100%", b"100%25"),
        ("%2e%2e", b"%252e%252e"),
        ("7;v=1", b"7%3Bv%3D1"),
        ("\\..\\", b"%5C..%5C"),
    ],
)
async def test_an_id_stays_one_segment_of_the_path(
    asking: HttpCentral, answers: Answers, customer_id: str, segment: bytes
) -> None:
    answers.with_status(404)

    assert await asking.fetch(customer_id) == UnknownCustomer(customer_id)
    assert [one.url.raw_path for one in answers.asked] == [b"/api/get_context/" + segment]


@pytest.mark.parametrize("customer_id", [127, "127", None])
async def test_the_answer_may_name_the_customer_as_number_or_text_or_not(
    asking: HttpCentral, answers: Answers, customer_id: object
) -> None:
    answers.with_body(customer_id=customer_id)

    assert await asking.fetch("127") == ANNA


async def test_what_the_answer_leaves_out_takes_the_default(asking: HttpCentral, answers: Answers) -> None:
    answers.with_status(200, b'{"age": 34, "gender": null, "mean_buy_price": 12, "loyalty": [1]}')

    assert await asking.fetch("127") == replace(DEFAULTS, customer_id="127", age=34, mean_buy_price=12.0)


@pytest.mark.parametrize("gender", ["", "X", "f", 1, True, [], {"F": 1}])
async def test_a_gender_it_does_not_know_is_unknown(asking: HttpCentral, answers: Answers, gender: object) -> None:
    answers.with_body(gender=gender)

    assert await asking.fetch("127") == replace(ANNA, gender=Gender.UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"<html>",
        b"null",
        b"[]",
        b"[" * 10_000,
        b'{"age": 34',
        b'{"gender": "\xff"}',
        b'{"customer_id": {}}',
    ],
)
async def test_an_answer_that_is_no_context_is_refused(asking: HttpCentral, answers: Answers, body: bytes) -> None:
    answers.with_status(200, body)

    assert (await failing(asking)).startswith("the central's answer cannot be used: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("age", -1),
        ("age", 151),
        ("age", "old"),
        ("age", 3.5),
        ("mean_buy_price", float("nan")),
        ("mean_buy_price", float("inf")),
        ("mean_buy_price", -0.5),
        ("mean_buy_price", 1e39),
        ("mean_discount_received", float("-inf")),
        ("total_coupons_used", 2**31),
        ("total_items_bought", -1),
        ("unique_products_bought", [1]),
        ("unique_products_bought_with_coupons", 10**400),
    ],
)
async def test_a_figure_that_cannot_be_is_refused(
    asking: HttpCentral, answers: Answers, field: str, value: object
) -> None:
    answers.with_body(**{field: value})

    assert field in await failing(asking)


async def test_an_answer_about_another_customer_is_refused(asking: HttpCentral, answers: Answers) -> None:
    answers.with_body(customer_id="128")

    assert await failing(asking) == "the central answered about another customer"


async def test_an_answer_without_end_is_refused(asking: HttpCentral, answers: Answers) -> None:
    answers.with_status(200, b'{"age": 34}' + b" " * MAX_ANSWER_BYTES)

    assert await failing(asking) == f"the central answered with more than {MAX_ANSWER_BYTES} bytes"


@pytest.mark.parametrize("status", [204, 301, 302, 400, 401, 403, 429])
async def test_any_other_status_is_refused_at_once(asking: HttpCentral, answers: Answers, status: int) -> None:
    answers.with_status(status)

    assert await failing(asking) == f"the central answered with status {status}"
    assert len(answers.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_failing_central_is_asked_twice(asking: HttpCentral, answers: Answers, status: int) -> None:
    answers.with_status(status)

    assert await failing(asking) == f"the central answered with status {status}"
    assert len(answers.asked) == 2


async def test_a_central_that_fails_once_is_forgiven(asking: HttpCentral, answers: Answers) -> None:
    for failure in (lambda request: httpx.Response(503), breaks):
        answers.once(failure)

        assert await asking.fetch("127") == ANNA

    assert len(answers.asked) == 4


async def test_a_central_that_is_away_is_asked_twice(asking: HttpCentral, answers: Answers) -> None:
    answers.answer = breaks

    assert "connection refused" in await failing(asking)
    assert len(answers.asked) == 2


async def test_a_central_that_hangs_has_a_deadline() -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang), timeout=None) as client:
        assert "no answer within 0.05 s" in await failing(HttpCentral(client, BASE_URL, 0.05, DEFAULTS, Breaker()))


async def test_a_central_that_fails_again_and_again_is_given_a_rest(
    asking: HttpCentral, answers: Answers, clock: Clock
) -> None:
    answers.with_status(500)
    for _ in range(3):
        await failing(asking)
    answers.asked.clear()

    assert "is given a rest" in await failing(asking)
    clock.seconds = 9.9
    assert "is given a rest" in await failing(asking)
    assert answers.asked == []


async def test_after_the_rest_one_call_tries_and_opens_the_way(
    asking: HttpCentral, answers: Answers, clock: Clock
) -> None:
    answers.with_status(500)
    for _ in range(3):
        await failing(asking)
    clock.seconds = 10.0
    answers.with_body()

    assert [await asking.fetch("127") for _ in range(3)] == [ANNA] * 3


async def test_a_try_that_fails_is_followed_by_another_rest(
    asking: HttpCentral, answers: Answers, clock: Clock
) -> None:
    answers.with_status(500)
    for _ in range(3):
        await failing(asking)
    clock.seconds = 10.0
    assert await failing(asking) == "the central answered with status 500"
    clock.seconds = 19.9
    answers.with_body()

    assert "is given a rest" in await failing(asking)
    clock.seconds = 20.0
    assert await asking.fetch("127") == ANNA


async def test_while_one_call_tries_the_others_are_left_out(clock: Clock) -> None:
    breaker = Breaker(failures=1, rest_seconds=10.0, clock=clock)
    breaker.failed()
    clock.seconds = 10.0

    assert [breaker.allows() for _ in range(3)] == [True, False, False]


async def test_failures_between_successes_give_no_rest(asking: HttpCentral, answers: Answers) -> None:
    for _ in range(3):
        answers.with_status(500)
        await failing(asking)
        await failing(asking)
        answers.with_status(404)
        assert await asking.fetch("127") == UnknownCustomer("127")


async def test_reports_what_is_wrong_from_the_first_rest_to_the_next_success(
    asking: HttpCentral, answers: Answers, clock: Clock, reports: list[str | None]
) -> None:
    answers.with_status(500)
    for _ in range(4):
        await failing(asking)
    assert reports == ["answered with status 500"]

    clock.seconds = 10.0
    answers.with_body()
    await asking.fetch("127")

    assert reports == ["answered with status 500", None]
