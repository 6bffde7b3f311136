"""Work that goes on beside the answering of requests."""

import asyncio
from asyncio import Task
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import structlog

from app.transport.health import Health

log = structlog.get_logger(__name__)

CANCEL_AGAIN_SECONDS = 1.0


class Background:
    """Starts work; what crashes is told in the log and in `health`, since only a restart helps."""

    def __init__(self, stack: AsyncExitStack, health: Health) -> None:
        self._stack = stack
        self._health = health

    def run(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run it until the stack is closed."""
        self._stack.push_async_callback(_cancel, self.start(name, work))

    def start(self, name: str, work: Coroutine[Any, Any, None]) -> Task[None]:
        """Start it; whoever started it also sees to its end."""

        def ended(task: Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                log.critical("background work has crashed", work=name, exc_info=task.exception())
                self._health.crashed.append(name)

        task = asyncio.create_task(work, name=name)
        task.add_done_callback(ended)
        return task


async def _cancel(task: Task[None]) -> None:
    while not task.done():  # wait_for of Python 3.11, which libraries use, may swallow a cancellation
        task.cancel()
        await asyncio.wait((task,), timeout=CANCEL_AGAIN_SECONDS)
