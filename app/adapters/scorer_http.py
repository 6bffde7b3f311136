"""An outside prediction service, with the model in the process to fall back on."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import httpx
import numpy as np
import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from app.adapters.breaker import Breaker
from app.adapters.http_client import CallFailed, HttpCaller
from app.domain.customer import CustomerContext
from app.domain.eligibility import Screening
from app.errors import ScorerUnavailable
from app.ports import FALLBACK, Scorer, Scores

MAX_ANSWER_BYTES = 1024 * 1024  # of 10,000 candidates; of every call under way at a time
REMOTE = "remote"


class Prediction(BaseModel):
    """One line of the answer: the probability that the customer redeems the coupon."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    coupon_id: Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
    prediction: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]


ANSWER = TypeAdapter(list[Prediction])


class HttpScorer:
    """Scorer at one URL, one request for each customer, all at once.

    The service says nothing of a threshold: `advised_threshold` does, of the model in the process.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        deadline_seconds: float,
        breaker: Breaker,
        advised_threshold: Callable[[], float],
        report: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        self._advised_threshold = advised_threshold
        self._caller = HttpCaller(client, deadline_seconds, MAX_ANSWER_BYTES, breaker, report)
        self._url = url

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        """See Scorer."""
        pairs = zip(customers, screenings, strict=True)
        return await asyncio.gather(*(self._score(customer, screening) for customer, screening in pairs))

    async def _score(self, customer: CustomerContext, screening: Screening) -> Scores:
        values = np.full(len(screening.candidates), math.nan)
        if len(values):
            predictions = await self._ask(customer, screening)
            for index, coupon in enumerate(screening.candidates):
                values[index] = predictions.get(coupon.coupon_id, math.nan)
            if np.isnan(values).all():
                raise ScorerUnavailable("the prediction service scored none of the coupons")
        return Scores(values, REMOTE, REMOTE, self._advised_threshold())

    async def _ask(self, customer: CustomerContext, screening: Screening) -> dict[str, float]:
        try:
            status, body = await self._caller.call("POST", self._url, _request(customer, screening))
        except CallFailed as error:
            raise ScorerUnavailable(f"the prediction service {error}") from error
        if status != httpx.codes.OK:
            raise ScorerUnavailable(f"the prediction service answered with status {status}")
        try:
            answer = ANSWER.validate_json(body)
        except ValidationError as error:
            first = ".".join(map(str, error.errors()[0]["loc"])) or "body"
            raise ScorerUnavailable(f"the prediction service's answer cannot be used: {first}") from None
        return {line.coupon_id: line.prediction for line in answer}


class FallbackScorer:
    """Asks the first scorer, and the second when the first is away; the scores say who spoke."""

    def __init__(self, first: Scorer, second: Scorer) -> None:
        self._first = first
        self._second = second

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        """See Scorer."""
        pairs = zip(customers, screenings, strict=True)
        return await asyncio.gather(*(self._score(customer, screening) for customer, screening in pairs))

    async def _score(self, customer: CustomerContext, screening: Screening) -> Scores:
        try:
            (scores,) = await self._first.score([customer], [screening])
        except ScorerUnavailable:
            (scores,) = await self._second.score([customer], [screening])
            return replace(scores, scorer=FALLBACK)
        return scores


def _request(customer: CustomerContext, screening: Screening) -> bytes:
    coupons = [
        {
            "coupon_id": coupon.coupon_id,
            "coupon_type": coupon.type.value,
            "department": coupon.department,
            "discount": coupon.discount,
            "how_many_products_required": coupon.how_many_products_required,
            "product_mean_price": coupon.product_mean_price,
            "products_available": coupon.products_available,
            "start_date": coupon.start_date.isoformat(),
            "end_date": coupon.end_date.isoformat(),
        }
        for coupon in screening.candidates
    ]
    return orjson.dumps({"customer": customer, "coupons": coupons})
