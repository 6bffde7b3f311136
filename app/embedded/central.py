"""A stand-in for the central datacentre, serving the customers it is given."""

from collections.abc import Mapping
from dataclasses import asdict

from fastapi import FastAPI
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from app.domain.customer import CustomerContext


def create_central(contexts: Mapping[str, CustomerContext]) -> FastAPI:
    """The central's documented reads, of the contexts by customer id; it changes nothing."""
    central = FastAPI(title="Stand-in central", docs_url=None, redoc_url=None)

    @central.get("/get_context/{customer_id:path}")
    async def get_context(customer_id: str) -> Response:
        context = contexts.get(customer_id)
        return _unknown(customer_id) if context is None else JSONResponse(asdict(context))

    @central.get("/healthcheck")
    async def healthcheck() -> Response:
        return PlainTextResponse("OK")

    return central


def _unknown(customer_id: str) -> Response:
    problem = {
        "type": "about:blank",
        "title": "Unknown customer",
        "status": 404,
        "detail": f"there is no customer {customer_id!r}",
    }
    return JSONResponse(problem, status_code=404, media_type="application/problem+json")
