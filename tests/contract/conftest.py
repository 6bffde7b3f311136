"""The application in memory, for those who ask it over HTTP."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.main import create_app
from app.settings import Settings

IN_MEMORY: dict[str, Any] = {
    "TESTING_NO_MQTT": True,
    "TESTING_NO_POSTGRES": True,
    "TESTING_NO_SCORING_SERVICE": True,
    "CLIENT_CONTEXT_URL": "",
    "LOG_FILENAME": "",
    "LOG_LEVEL": "ERROR",
}


@pytest.fixture(scope="session")
async def app_client() -> AsyncIterator[httpx.AsyncClient]:
    """A client of the started application; logging is put back as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    app = create_app(Settings(**IN_MEMORY))
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client,
        ):
            yield client
    finally:
        logging.basicConfig(handlers=handlers, level=level, force=True)
