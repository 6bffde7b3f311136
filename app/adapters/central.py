"""The central datacentre, over HTTP."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

import httpx
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from app.adapters.breaker import Breaker
from app.adapters.http_client import CallFailed, HttpCaller
from app.domain.customer import CustomerContext, Gender
from app.errors import CentralUnavailable
from app.ports import UnknownCustomer

MAX_ANSWER_BYTES = 64 * 1024
INT_MAX = 2**31 - 1

Count = Annotated[int, Field(ge=0, le=INT_MAX)]
Amount = Annotated[float, Field(ge=0, le=3.4e38, allow_inf_nan=False)]
LooseGender = Annotated[Gender, BeforeValidator(lambda value: value if value in list(Gender) else Gender.UNKNOWN)]


class CentralCustomer(BaseModel):
    """The central's answer: the columns of customer_info. What it leaves out, or null, takes the default."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    customer_id: str | int | None = None
    gender: LooseGender | None = None
    age: Annotated[int, Field(ge=0, le=150)] | None = None
    mean_buy_price: Amount | None = None
    total_coupons_used: Count | None = None
    mean_discount_received: Amount | None = None
    unique_products_bought: Count | None = None
    unique_products_bought_with_coupons: Count | None = None
    total_items_bought: Count | None = None


class HttpCentral:
    """Central at `GET {base_url}/get_context/{id}`; `defaults` fill what the answer leaves out."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        deadline_seconds: float,
        defaults: CustomerContext,
        breaker: Breaker,
        report: Callable[[str | None], None] = lambda problem: None,
    ) -> None:
        self._caller = HttpCaller(client, deadline_seconds, MAX_ANSWER_BYTES, breaker, report)
        self._base_url = base_url.rstrip("/")
        self._defaults = defaults

    async def fetch(self, customer_id: str) -> CustomerContext | UnknownCustomer:
        """See Central."""
        url = f"{self._base_url}/get_context/{_segment(customer_id)}"
        try:
            status, body = await self._caller.call("GET", url)
        except CallFailed as error:
            raise CentralUnavailable(f"the central {error}") from error
        if status == httpx.codes.NOT_FOUND:
            return UnknownCustomer(customer_id)
        if status != httpx.codes.OK:
            raise CentralUnavailable(f"the central answered with status {status}")
        return self._context(customer_id, body)

    def _context(self, customer_id: str, body: bytes) -> CustomerContext:
        try:
            answer = CentralCustomer.model_validate_json(body)
        except ValidationError as error:
            fields = ", ".join(sorted({".".join(map(str, one["loc"])) or "body" for one in error.errors()}))
            raise CentralUnavailable(f"the central's answer cannot be used: {fields}") from None
        if answer.customer_id is not None and str(answer.customer_id) != customer_id:
            raise CentralUnavailable("the central answered about another customer")
        given = answer.model_dump(exclude={"customer_id"}, exclude_none=True)
        defaults = {name: getattr(self._defaults, name) for name in CustomerContext.__slots__}
        return CustomerContext(**defaults | given | {"customer_id": customer_id})


def _segment(customer_id: str) -> str:
    """The id as one segment of a path; a dot segment would climb out of it."""
    quoted = quote(customer_id, safe="")
    return quoted.replace(".", "%2E") if not quoted.strip(".") else quoted
