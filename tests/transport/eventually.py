"""Waiting for what others do in their own time."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

PATIENCE_SECONDS = 30.0
LOOK_AGAIN_SECONDS = 0.02


async def eventually(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until the condition holds. Raises TimeoutError when it does not in time."""
    never = asyncio.Event()
    async with asyncio.timeout(seconds):
        while not condition():
            with suppress(TimeoutError):
                await asyncio.wait_for(never.wait(), LOOK_AGAIN_SECONDS)
