"""What all calls to other services have in common."""

import asyncio

import httpx
import pytest

from app.adapters.breaker import Breaker
from app.adapters.http_client import MAX_CALLS, CallFailed, HttpCaller


class Counting:
    """A service that answers when it is told to, and counts who is with it."""

    def __init__(self) -> None:
        self.present = 0
        self.most = 0
        self.is_open = asyncio.Event()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.present += 1
        self.most = max(self.most, self.present)
        await self.is_open.wait()
        self.present -= 1
        return httpx.Response(200, content=request.url.path.encode())


async def test_a_burst_waits_for_its_turn_and_no_call_fails_of_waiting() -> None:
    service, breaker = Counting(), Breaker()
    async with httpx.AsyncClient(transport=httpx.MockTransport(service.answer)) as client:
        caller = HttpCaller(client, 30, 1_000, breaker, lambda problem: None)
        calls = [asyncio.create_task(caller.call("GET", f"http://central/{number}")) for number in range(200)]
        while service.present < MAX_CALLS:
            turn = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(turn.set_result, None)
            await turn
        service.is_open.set()
        answers = await asyncio.gather(*calls)

    assert service.most == MAX_CALLS
    assert answers == [(200, f"/{number}".encode()) for number in range(200)]
    assert not breaker.is_open


async def test_a_service_that_fails_again_and_again_is_reported_and_left_alone_until_it_answers() -> None:
    now, statuses, told = [0.0], [500], list[str | None]()
    transport = httpx.MockTransport(lambda request: httpx.Response(statuses[0]))
    async with httpx.AsyncClient(transport=transport) as client:
        breaker = Breaker(failures=2, rest_seconds=5, clock=lambda: now[0])
        caller = HttpCaller(client, 30, 1_000, breaker, told.append)
        for _ in range(3):
            with pytest.raises(CallFailed):
                await caller.call("GET", "http://central/")
        now[0], statuses[0] = 6.0, 200
        answer = await caller.call("GET", "http://central/")

    assert answer == (200, b"")
    assert told == ["answered with status 500", None]
