"""The wire contract, what goes out: prediction results, dead letters, and the status of the service.

The pydantic models are the contract's one definition, as in `events`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

import orjson
from pydantic import WithJsonSchema

from app.domain.coupon import Coupon, CouponType, Product
from app.domain.event import FocusEvent
from app.errors import FieldProblem
from app.events import MAX_BODY_BYTES, Wire

WRITABLE_INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)  # within 64 bits


class IdType(StrEnum):
    """How ids are written in results."""

    STRING = "str"
    INTEGER = "int"

    def write(self, identifier: str) -> str | int:
        """The id for the wire; one that a 64-bit integer cannot tell apart ('007' from '7') stays a string."""
        if self is IdType.INTEGER and WRITABLE_INTEGER.fullmatch(identifier):
            return int(identifier)
        return identifier


Id = Annotated[str, WithJsonSchema({"type": ["string", "integer"]})]


class ResultCustomer(Wire):
    """Whom the result is for."""

    id: Id


class ResultProduct(Wire):
    """A product that the coupon is good for."""

    id: Id
    name: str
    category: str
    sizes: str
    vendor: str
    description: str
    buy_price: float
    department: str


class ResultCoupon(Wire):
    """The coupon; `discount` in percent; `products_total` only where the list of products is cut short."""

    id: Id
    type: CouponType
    department: str
    discount: float
    how_many: int
    how_many_products_required: int
    start_date: date
    end_date: date
    products: list[ResultProduct]
    products_total: int | None = None


class PredictionResult(Wire):
    """What is published for a focus event; `reason` only where there is no coupon. `ts` in unix seconds."""

    customer: ResultCustomer
    coupon: ResultCoupon | None
    reason: str | None = None
    ts: int


@dataclass(frozen=True, slots=True)
class ResultEncoder:
    """Writes prediction results.

    A coupon is encoded once, and spliced into the results of all events: a department coupon may hold 600 products.
    """

    id_type: IdType = IdType.STRING
    max_products: int = 0

    def coupon(self, coupon: Coupon) -> bytes:
        """The coupon as JSON, with all products, or the first `max_products` if that is not 0."""
        products = coupon.products[: self.max_products] if self.max_products else coupon.products
        document = {
            "id": self.id_type.write(coupon.coupon_id),
            "type": coupon.type.value,
            "department": coupon.department,
            "discount": float(coupon.discount),
            "how_many": coupon.how_many,
            "how_many_products_required": coupon.how_many_products_required,
            "start_date": coupon.start_date.isoformat(),
            "end_date": coupon.end_date.isoformat(),
            "products": [self._product(product) for product in products],
        }
        if len(products) < len(coupon.products):
            document["products_total"] = len(coupon.products)
        return orjson.dumps(document)

    def offer(self, event: FocusEvent, coupon_body: bytes, ts: int) -> bytes:
        """The result that offers an encoded coupon, its department spelled as the event spelled it."""
        head, _, tail = coupon_body.partition(b',"discount":')
        head = head[: head.index(b',"department":')]
        return b'{"customer":{"id":%b},"coupon":%b,"department":%b,"discount":%b,"ts":%d}' % (
            self._customer_id(event),
            head,
            orjson.dumps(event.department_asked),
            tail,
            ts,
        )

    def no_offer(self, event: FocusEvent, reason: str, ts: int) -> bytes:
        """The result that says why there is no coupon."""
        return b'{"customer":{"id":%b},"coupon":null,"reason":%b,"ts":%d}' % (
            self._customer_id(event),
            orjson.dumps(reason),
            ts,
        )

    def _customer_id(self, event: FocusEvent) -> bytes:
        return orjson.dumps(self.id_type.write(event.customer_id))

    def _product(self, product: Product) -> dict[str, object]:
        return {
            "id": self.id_type.write(product.product_id),
            "name": product.name,
            "category": product.category,
            "sizes": product.sizes,
            "vendor": product.vendor,
            "description": product.description,
            "buy_price": product.buy_price,
            "department": product.department,
        }


class DeadLetterProblem(Wire):
    """One field that the contract refuses."""

    field: str
    code: str
    detail: str


class DeadLetterMessage(Wire):
    """A refused message: the reason code, every problem, and the payload as it came (in UTF-8, or in hexadecimal)."""

    reason: str
    problems: list[DeadLetterProblem]
    topic: str
    payload: str
    payload_encoding: Literal["utf-8", "hex"]
    payload_bytes: int


class Status(Wire):
    """Whether a service instance is at the broker, and ready; retained, and, offline, its last will.

    `problems` name what keeps it from being ready, `degraded` what else is not as it should be, as `/readyz` does: each
    part with a sentence.
    """

    status: Literal["online", "offline"]
    client_id: str
    ready: bool
    problems: dict[str, str]
    degraded: dict[str, str]


def encode_dead_letter(topic: str, payload: bytes, problems: Sequence[FieldProblem], cut_bytes: int = 0) -> bytes:
    """The dead letter for a refused message: the same for every copy of it.

    A payload that is not UTF-8 is told in hexadecimal; of a long one, the first bytes. `cut_bytes` are missing already.
    """
    encoding: Literal["utf-8", "hex"] = "utf-8"
    try:
        text = payload[:MAX_BODY_BYTES].decode()
    except UnicodeDecodeError:
        text, encoding = payload[: MAX_BODY_BYTES // 2].hex(), "hex"
    letter = DeadLetterMessage(
        reason=problems[0].code,
        problems=[DeadLetterProblem(field=one.field, code=one.code, detail=one.detail) for one in problems],
        topic=topic,
        payload=text,
        payload_encoding=encoding,
        payload_bytes=len(payload) + cut_bytes,
    )
    return letter.model_dump_json().encode()
