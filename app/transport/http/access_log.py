"""One line for each request, at DEBUG: the route, as it is declared. Paths and queries may name customers."""

from http import HTTPStatus

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.transport.problem import customer_of

log = structlog.get_logger(__name__)


class AccessLog:
    """Logs each answer of the application inside of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        status = HTTPStatus.INTERNAL_SERVER_ERROR.value  # what is answered outside of here, where nothing was in here

        async def send_and_note(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            if scope["type"] == "http":
                route = getattr(scope.get("route"), "path", "none")
                customer_id = customer_of(scope)
                log.debug("answered", method=scope["method"], route=route, status=status, customer_id=customer_id)
