"""An event loop in a thread of its own: faults are injected by plain code beside it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")
CALL_SECONDS = 60.0


class LoopThread:
    """Runs coroutines, and functions on what they work with."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run to its end, and answer."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_SECONDS)

    def ask(self, work: Callable[[], Answer]) -> Answer:
        """Call between the steps of the coroutines, and answer."""

        async def call() -> Answer:
            return work()

        return self.run(call())

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run in the background until the loop is closed."""
        self.ask(lambda: self._keep(self._loop.create_task(work)))

    def close(self) -> None:
        """Cancel everything, and end the thread."""
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.append(task)


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=5)
