"""The application in memory, started and stopped as a server would."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import structlog
from fastapi import FastAPI

from app.handlers import Services
from app.main import create_app
from app.settings import Settings
from app.transport.http.running import Running

IN_MEMORY: dict[str, Any] = {
    "TESTING_NO_MQTT": True,
    "TESTING_NO_POSTGRES": True,
    "TESTING_NO_SCORING_SERVICE": True,
    "CLIENT_CONTEXT_URL": "",
    "HTTP_RATE_LIMIT": 0,
    "LOG_FILENAME": "",
    "LOG_LEVEL": "ERROR",
}


@asynccontextmanager
async def logging_untouched() -> AsyncIterator[None]:
    """Whatever sets up the logging in the block, it is put back as it was."""
    root = logging.getLogger()
    handlers, level, config = list(root.handlers), root.level, structlog.get_config()
    try:
        yield
    finally:
        logging.basicConfig(handlers=handlers, level=level, force=True)
        structlog.configure(**config)


@asynccontextmanager
async def running_app(**variables: Any) -> AsyncIterator[FastAPI]:
    """The application, started with these variables of the environment beside those of `IN_MEMORY`."""
    async with logging_untouched():
        app = create_app(Settings(**IN_MEMORY | variables))
        async with app.router.lifespan_context(app):
            yield app


def client_of(app: FastAPI, *, raises: bool = True) -> httpx.AsyncClient:
    """A client; unless it `raises`, it sees a fault of the application as a browser would."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=raises)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


def running_of(app: FastAPI) -> Running:
    """What main has put together."""
    running = app.state.running
    assert isinstance(running, Running)
    return running


@asynccontextmanager
async def with_ports(app: FastAPI, **ports: Any) -> AsyncIterator[Services]:
    """Other ports for the routes while the block lasts."""
    running = running_of(app)
    services = replace(running.services, **ports)
    app.state.running = replace(running, services=services)
    try:
        yield services
    finally:
        app.state.running = running
