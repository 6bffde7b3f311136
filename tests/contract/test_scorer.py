"""What every Scorer does: the model in the process, and a prediction service; and what is made of a bad one."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from jsonschema import Draft202012Validator

from app.adapters.breaker import Breaker
from app.adapters.http_client import MAX_CALLS
from app.adapters.scorer_http import MAX_ANSWER_BYTES, REMOTE, FallbackScorer, HttpScorer
from app.adapters.scorer_sklearn import SCORER, SklearnScorer, load_model
from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.eligibility import Screening, screen
from app.errors import ScorerUnavailable
from app.ports import FALLBACK, Scorer, Scores
from app.settings import BUILT_IN_MODEL
from tests.builders import ANNA, COUPON, TODAY

URL = "http://service/score"
DEADLINE_SECONDS = 5.0
SCHEMA = Path(__file__).parents[2] / "schema" / "prediction.schema.json"

NEWCOMER = CustomerContext("abc", Gender.UNKNOWN, 0, 0.0, 0, 0.0, 0, 0, 0)
BERT = CustomerContext("9" * 64, Gender.MALE, 61, 70.25, 0, 0.0, 12, 0, 15)
CUSTOMERS = (ANNA, BERT, NEWCOMER)
SHELF = [
    replace(COUPON, coupon_id=str(index), type=kind, department=department, discount=discount, products=())
    for index, (kind, department, discount) in enumerate(
        (kind, department, discount)
        for kind in CouponType
        for department in ("Boys", "Women", "Garden")
        for discount in (0.0, 12.5, 100.0)
    )
]
EXPIRED = replace(COUPON, coupon_id="expired", end_date=TODAY - timedelta(days=1))
SCREENING = screen([*SHELF, EXPIRED], TODAY)
NOTHING = screen([EXPIRED], TODAY)


@pytest.fixture(scope="module")
def model() -> SklearnScorer:
    return load_model(BUILT_IN_MODEL)


@pytest.fixture
def http_scorer(app_client: httpx.AsyncClient) -> HttpScorer:
    return HttpScorer(app_client, URL, DEADLINE_SECONDS, Breaker(), lambda: 0.1)


@pytest.fixture(params=["model", "http_scorer"])
def scorer(request: pytest.FixtureRequest) -> Scorer:
    chosen: Scorer = request.getfixturevalue(request.param)
    return chosen


async def test_scores_every_candidate_and_no_other(scorer: Scorer) -> None:
    (scores,) = await scorer.score([ANNA], [SCREENING])

    assert scores.values.shape == (len(SHELF),)
    assert ((scores.values >= 0) & (scores.values <= 1)).all()


async def test_scores_in_the_order_of_the_candidates(scorer: Scorer) -> None:
    (scores,) = await scorer.score([ANNA], [SCREENING])
    (reversed_scores,) = await scorer.score([ANNA], [screen(SHELF[::-1], TODAY)])

    np.testing.assert_allclose(scores.values, reversed_scores.values[::-1], rtol=0, atol=1e-12)


async def test_scores_many_customers_at_once_as_one_by_one(scorer: Scorer) -> None:
    screenings = [SCREENING, NOTHING, screen(SHELF[3:5], TODAY)]

    together = await scorer.score(CUSTOMERS, screenings)
    alone = [await scorer.score([one], [screening]) for one, screening in zip(CUSTOMERS, screenings, strict=True)]

    assert [len(scores.values) for scores in together] == [len(SHELF), 0, 2]
    for scores, (expected,) in zip(together, alone, strict=True):
        np.testing.assert_array_equal(scores.values, expected.values)


async def test_gives_no_score_where_there_is_no_candidate(scorer: Scorer) -> None:
    (scores,) = await scorer.score([ANNA], [NOTHING])

    assert scores.values.shape == (0,)


async def test_has_nothing_to_say_of_nobody(scorer: Scorer) -> None:
    assert list(await scorer.score([], [])) == []


async def test_tells_customers_apart(scorer: Scorer) -> None:
    anna, bert = await scorer.score([ANNA, BERT], [SCREENING, SCREENING])

    assert not np.array_equal(anna.values, bert.values)


async def test_the_service_scores_as_the_model_does(model: SklearnScorer, http_scorer: HttpScorer) -> None:
    local = await model.score(CUSTOMERS, [SCREENING] * 3)
    remote = await http_scorer.score(CUSTOMERS, [SCREENING] * 3)

    for one, other in zip(local, remote, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-9)


async def test_the_scores_say_who_spoke(model: SklearnScorer, http_scorer: HttpScorer) -> None:
    (local,) = await model.score([ANNA], [SCREENING])
    (remote,) = await http_scorer.score([ANNA], [SCREENING])

    assert (local.scorer, local.model_version) == (SCORER, model.version)
    assert (remote.scorer, remote.model_version) == (REMOTE, REMOTE)


# A prediction service that answers as it is told

TWO = screen(SHELF[:2], TODAY)


class Predictions:
    """A prediction service that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda request: httpx.Response(500)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        return self.answer(request)

    def with_body(self, body: bytes, status: int = 200) -> None:
        self.answer = lambda request: httpx.Response(status, content=body)

    def with_lines(self, *lines: object) -> None:
        self.with_body(json.dumps(lines).encode())


@pytest.fixture
def predictions() -> Predictions:
    return Predictions()


@pytest.fixture
async def asking(predictions: Predictions) -> AsyncIterator[HttpScorer]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(predictions)) as client:
        yield HttpScorer(client, URL, DEADLINE_SECONDS, Breaker(failures=3, clock=lambda: 0.0), lambda: 0.1)


def line(coupon_id: object, prediction: object) -> dict[str, object]:
    return {"coupon_id": coupon_id, "customer_id": "127", "prediction": prediction}


async def values_of(scorer: Scorer, screening: Screening = TWO) -> list[float]:
    (scores,) = await scorer.score([ANNA], [screening])
    return [float(value) for value in scores.values]


async def failing(scorer: Scorer) -> str:
    with pytest.raises(ScorerUnavailable) as error:
        await scorer.score([ANNA], [TWO])
    return str(error.value)


async def test_asks_as_the_contract_has_it(asking: HttpScorer, predictions: Predictions) -> None:
    predictions.with_lines(line("22", 0.5))

    await asking.score([ANNA], [screen([COUPON], TODAY)])

    assert predictions.asked == [
        {
            "customer": {
                "customer_id": "127",
                "gender": "F",
                "age": 34,
                "mean_buy_price": 28.5,
                "total_coupons_used": 11,
                "mean_discount_received": 22.25,
                "unique_products_bought": 60,
                "unique_products_bought_with_coupons": 9,
                "total_items_bought": 90,
            },
            "coupons": [
                {
                    "coupon_id": "22",
                    "coupon_type": "buy_more",
                    "department": "Men",
                    "discount": 14.0,
                    "how_many_products_required": 3,
                    "product_mean_price": 7.12,
                    "products_available": 40,
                    "start_date": "2026-01-01",
                    "end_date": "2026-12-31",
                }
            ],
        }
    ]


async def test_the_answer_comes_in_any_order(asking: HttpScorer, predictions: Predictions) -> None:
    predictions.with_lines(line("1", 0.75), line("0", 0.25))

    assert await values_of(asking) == [0.25, 0.75]


@pytest.mark.parametrize("prediction", [0, 1, 0.0, 1.0, 0.6108783426])
async def test_a_probability_may_be_a_whole_number(
    asking: HttpScorer, predictions: Predictions, prediction: float
) -> None:
    predictions.with_lines(line(0, prediction), line(1, 0.5))

    assert await values_of(asking) == [prediction, 0.5]


async def test_ids_that_nobody_asked_for_are_ignored(asking: HttpScorer, predictions: Predictions) -> None:
    predictions.with_lines(line("0", 0.25), line("77", 0.9), line("1", 0.5), line("", 0.9))

    assert await values_of(asking) == [0.25, 0.5]


async def test_a_coupon_that_is_missing_has_no_score(asking: HttpScorer, predictions: Predictions) -> None:
    predictions.with_lines(line("1", 0.5))

    first, second = await values_of(asking)

    assert math.isnan(first)
    assert second == 0.5


@pytest.mark.parametrize("lines", [[], [line("77", 0.9)]])
async def test_an_answer_without_any_of_the_coupons_is_refused(
    asking: HttpScorer, predictions: Predictions, lines: Sequence[object]
) -> None:
    predictions.with_lines(*lines)

    assert await failing(asking) == "the prediction service scored none of the coupons"


@pytest.mark.parametrize("prediction", [-0.01, 1.01, 1e400, math.nan, -math.inf, None, "0.5", True, [0.5]])
async def test_what_is_no_probability_is_refused(
    asking: HttpScorer, predictions: Predictions, prediction: object
) -> None:
    predictions.with_lines(line("0", 0.5), line("1", prediction))

    assert await failing(asking) == "the prediction service's answer cannot be used: 1.prediction"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"{}",
        b"null",
        b"[1]",
        b"[[]]",
        b"[" * 10_000,
        b'[{"prediction": 0.5}]',
        b'[{"coupon_id": "0"}]',
        b'[{"coupon_id": null, "prediction": 0.5}]',
        b'[{"coupon_id": {}, "prediction": 0.5}]',
        b'[{"coupon_id": "\xff", "prediction": 0.5}]',
    ],
)
async def test_an_answer_that_is_no_list_of_predictions_is_refused(
    asking: HttpScorer, predictions: Predictions, body: bytes
) -> None:
    predictions.with_body(body)

    assert (await failing(asking)).startswith("the prediction service's answer cannot be used: ")


async def test_an_answer_without_end_is_refused(asking: HttpScorer, predictions: Predictions) -> None:
    predictions.with_body(b" " * (MAX_ANSWER_BYTES + 1))

    assert "answered with more than" in await failing(asking)


def test_the_answers_of_all_calls_at_a_time_take_little_memory() -> None:
    assert MAX_CALLS * MAX_ANSWER_BYTES <= 64 * 1024 * 1024


@pytest.mark.parametrize(("status", "times"), [(500, 2), (503, 2), (404, 1), (422, 1), (302, 1)])
async def test_any_other_status_is_refused(
    asking: HttpScorer, predictions: Predictions, status: int, times: int
) -> None:
    predictions.with_body(b"[]", status)

    assert await failing(asking) == f"the prediction service answered with status {status}"
    assert len(predictions.asked) == times


async def test_a_service_that_hangs_has_a_deadline() -> None:
    async def hang(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(hang), timeout=None) as client:
        assert "no answer within 0.05 s" in await failing(HttpScorer(client, URL, 0.05, Breaker(), lambda: 0.1))


async def test_a_service_that_fails_again_and_again_is_given_a_rest(
    asking: HttpScorer, predictions: Predictions
) -> None:
    for _ in range(3):
        await failing(asking)
    predictions.asked.clear()

    assert "is given a rest" in await failing(asking)
    assert predictions.asked == []


async def test_a_service_that_is_away_is_not_missed_where_there_is_nothing_to_score(
    asking: HttpScorer, predictions: Predictions
) -> None:
    assert await values_of(asking, NOTHING) == []
    assert predictions.asked == []


# With the model to fall back on


async def test_the_service_speaks_first(asking: HttpScorer, predictions: Predictions, model: SklearnScorer) -> None:
    predictions.with_lines(line("0", 0.25), line("1", 0.5))

    (scores,) = await FallbackScorer(asking, model).score([ANNA], [TWO])

    assert (scores.values.tolist(), scores.scorer, scores.model_version) == ([0.25, 0.5], REMOTE, REMOTE)


async def test_the_model_speaks_for_a_service_that_is_away_and_says_so(
    asking: HttpScorer, model: SklearnScorer
) -> None:
    (expected,) = await model.score([ANNA], [TWO])

    (scores,) = await FallbackScorer(asking, model).score([ANNA], [TWO])

    assert (scores.values.tolist(), scores.scorer, scores.model_version) == (
        expected.values.tolist(),
        FALLBACK,
        model.version,
    )


async def test_the_model_speaks_only_for_those_whom_the_service_failed(
    asking: HttpScorer, predictions: Predictions, model: SklearnScorer
) -> None:
    def for_anna_alone(request: httpx.Request) -> httpx.Response:
        is_anna = json.loads(request.content)["customer"]["customer_id"] == ANNA.customer_id
        return httpx.Response(200, json=[line("0", 0.25)]) if is_anna else httpx.Response(404)

    predictions.answer = for_anna_alone

    scores = await FallbackScorer(asking, model).score([BERT, ANNA], [TWO, TWO])

    assert [one.scorer for one in scores] == [FALLBACK, REMOTE]


async def test_without_a_model_either_the_failure_is_told(asking: HttpScorer) -> None:
    class Away:
        async def score(
            self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]
        ) -> Sequence[Scores]:
            raise ScorerUnavailable("away too")

    assert await failing(FallbackScorer(asking, Away())) == "away too"


# The service's own contract


async def test_the_documented_schema_describes_request_and_answer(
    app_client: httpx.AsyncClient, asking: HttpScorer, predictions: Predictions
) -> None:
    await failing(asking)
    request = predictions.asked[0]
    answer = (await app_client.post("/score", json=request)).json()
    schema = json.loads(SCHEMA.read_text())

    validator_of(schema, "PredictionRequest").validate(request)
    validator_of(schema, "PredictionAnswer").validate(answer)
    assert [one["coupon_id"] for one in answer] == [
        one["coupon_id"] for one in sorted(answer, key=lambda one: -one["prediction"])
    ]


def validator_of(schema: dict[str, Any], name: str) -> Draft202012Validator:
    return Draft202012Validator({"$defs": schema["$defs"], "$ref": f"#/$defs/{name}"})


async def test_the_service_takes_ids_and_discounts_as_whole_numbers(app_client: httpx.AsyncClient) -> None:
    customer = {name: getattr(ANNA, name) for name in CustomerContext.__slots__} | {"customer_id": 127}
    names = set(Coupon.__slots__) - {"type", "products", "start_date", "end_date"}
    coupon = {name: getattr(COUPON, name) for name in names} | {
        "coupon_id": 8,
        "discount": 14,
        "coupon_type": COUPON.type,
    }

    answer = await app_client.post("/score", json={"customer": customer, "coupons": [coupon]})

    assert [(one["coupon_id"], one["customer_id"]) for one in answer.json()] == [("8", "127")]
