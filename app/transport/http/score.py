"""The prediction service: customer and coupons in, probabilities out, best first."""

from datetime import date
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import CustomerContext, Gender
from app.domain.eligibility import Screening
from app.domain.features import coupon_matrix
from app.transport.http.openapi import body_of
from app.transport.http.running import FromRunning, read_body

router = APIRouter(tags=["prediction"])

MAX_COUPONS = 10_000
MAX_REQUEST_BYTES = 4 * 1024 * 1024

Id = Annotated[
    str,
    Field(min_length=1, max_length=64),
    BeforeValidator(
        lambda value: str(value) if isinstance(value, int) and not isinstance(value, bool) else value,
        json_schema_input_type=Annotated[str, Field(min_length=1, max_length=64)] | int,
    ),
]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Amount = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]


class ScoredCustomer(BaseModel):
    """The customer's context, as the cache holds it. `mean_discount_received` in percent."""

    model_config = ConfigDict(extra="ignore")

    customer_id: Id
    gender: Gender
    age: Annotated[int, Field(ge=0, le=150)]
    mean_buy_price: Amount
    total_coupons_used: Count
    mean_discount_received: Amount
    unique_products_bought: Count
    unique_products_bought_with_coupons: Count
    total_items_bought: Count


class ScoredCoupon(BaseModel):
    """A coupon, as the cache holds it. `discount` in percent."""

    model_config = ConfigDict(extra="ignore")

    coupon_id: Id
    coupon_type: CouponType
    department: Annotated[str, Field(min_length=1, max_length=64)]
    discount: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
    how_many_products_required: Annotated[int, Field(ge=-1, le=2**31 - 1)]
    product_mean_price: Amount
    products_available: Count
    start_date: date | None = None
    end_date: date | None = None


class PredictionRequest(BaseModel):
    """Whom to score, and for which coupons."""

    customer: ScoredCustomer
    coupons: Annotated[list[ScoredCoupon], Field(max_length=MAX_COUPONS)]


class Prediction(BaseModel):
    """The probability that the customer redeems the coupon."""

    coupon_id: str
    customer_id: str
    prediction: Annotated[float, Field(ge=0, le=1)]


@router.post("/score", response_model=list[Prediction], openapi_extra=body_of(PredictionRequest))
async def score(http_request: Request, running: FromRunning) -> list[Prediction]:
    """Score every coupon, whatever its dates and stock: rules are the caller's. Sorted by probability, descending."""
    try:
        request = PredictionRequest.model_validate_json(await read_body(http_request, MAX_REQUEST_BYTES))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_input=False)) from None
    http_request.state.customer_id = customer_id = request.customer.customer_id
    coupons = tuple(_coupon(one, running) for one in request.coupons)
    screening = Screening(coupons, coupon_matrix(coupons), ())
    (scores,) = await running.active.score([CustomerContext(**request.customer.model_dump())], [screening])
    order = np.argsort(-scores.values, kind="stable")
    return [
        Prediction(coupon_id=coupons[i].coupon_id, customer_id=customer_id, prediction=float(scores.values[i]))
        for i in order
    ]


def _coupon(scored: ScoredCoupon, running: FromRunning) -> Coupon:
    return Coupon(
        coupon_id=scored.coupon_id,
        type=scored.coupon_type,
        department=running.names.canonical(scored.department),
        discount=scored.discount,
        how_many_products_required=scored.how_many_products_required,
        start_date=scored.start_date or date.min,
        end_date=scored.end_date or date.max,
        product_mean_price=scored.product_mean_price,
        products_available=scored.products_available,
    )
