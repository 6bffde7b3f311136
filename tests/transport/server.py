"""The application behind a real HTTP server, in a thread, with the options of `python -m app serve`."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from app.embedded.ports import LOOPBACK, free_port
from app.main import create_app
from app.settings import Settings
from app.transport.http.server import SERVER_OPTIONS, BoundedProtocol
from tests.transport.application import IN_MEMORY, logging_untouched

PATIENCE_SECONDS = 30.0


class _Server(uvicorn.Server):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.has_started = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.has_started.set()


@contextmanager
def served(protocol: type[BoundedProtocol] = BoundedProtocol, **variables: Any) -> Iterator[tuple[str, int]]:
    """Host and port of a service in memory, with these variables of the environment."""
    port = free_port()
    app = create_app(Settings(**IN_MEMORY | variables))
    server = _Server(uvicorn.Config(app, LOOPBACK, port, log_config=None, **SERVER_OPTIONS | {"http": protocol}))

    async def serve() -> None:
        async with logging_untouched():
            await server.serve()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert server.has_started.wait(PATIENCE_SECONDS)
        yield LOOPBACK, port
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
