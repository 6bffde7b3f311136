"""The stand-in central, over HTTP."""

import httpx
import pytest

from app.domain.customer import CustomerContext, Gender
from app.embedded.central import create_central

ANNA = CustomerContext(
    customer_id="11",
    gender=Gender.FEMALE,
    age=31,
    mean_buy_price=25.5,
    total_coupons_used=4,
    mean_discount_received=12.25,
    unique_products_bought=20,
    unique_products_bought_with_coupons=3,
    total_items_bought=40,
)


async def get(path: str) -> httpx.Response:
    central = create_central({"11": ANNA, "a/b": ANNA})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(central), base_url="http://central") as client:
        return await client.get(path)


async def test_tells_the_nine_columns_of_a_customer() -> None:
    answer = await get("/get_context/11")

    assert answer.status_code == 200
    assert answer.json() == {
        "customer_id": "11",
        "gender": "F",
        "age": 31,
        "mean_buy_price": 25.5,
        "total_coupons_used": 4,
        "mean_discount_received": 12.25,
        "unique_products_bought": 20,
        "unique_products_bought_with_coupons": 3,
        "total_items_bought": 40,
    }


async def test_an_id_may_hold_a_slash() -> None:
    answer = await get("/get_context/a%2Fb")

    assert answer.status_code == 200


async def test_an_unknown_customer_is_a_problem() -> None:
    answer = await get("/get_context/12")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Unknown customer",
        "status": 404,
        "detail": "there is no customer '12'",
    }


async def test_says_that_it_is_there() -> None:
    answer = await get("/healthcheck")

    assert (answer.status_code, answer.text) == (200, "OK")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_takes_no_changes(method: str) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_central({"11": ANNA})), base_url="http://central"
    ) as client:
        answer = await client.request(method, "/get_context/11")

    assert answer.status_code == 405
