"""Asking another service over HTTP: a deadline, one retry within it, a size limit, and a breaker."""

import asyncio
import random
from collections.abc import Callable

import httpx

from app.adapters.breaker import Breaker

AGAIN_SECONDS = (0.02, 0.07)
MAX_CALLS = 32


class CallFailed(Exception):
    """The other side did not answer as agreed; the message says what it did, and lacks a subject."""


class HttpCaller:
    """One other service, asked through the process's one pooled client, by 32 calls at a time.

    `report` is told what is wrong when the breaker opens, and None when a call has gone well.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        deadline_seconds: float,
        max_bytes: int,
        breaker: Breaker,
        report: Callable[[str | None], None],
    ) -> None:
        self._client = client
        self._deadline_seconds = deadline_seconds
        self._max_bytes = max_bytes
        self._breaker = breaker
        self._report = report
        self._slots = asyncio.Semaphore(MAX_CALLS)

    async def call(self, method: str, url: str, content: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of the answer; statuses from 500 on, and whatever goes wrong on the way, raise CallFailed."""
        async with self._slots:  # waiting for a slot is not the other side's failure: the deadline begins after it
            return await self._call(method, url, content)

    async def _call(self, method: str, url: str, content: bytes | None) -> tuple[int, bytes]:
        if not self._breaker.allows():
            raise CallFailed("was not asked: it has failed again and again, and is given a rest")
        try:
            async with asyncio.timeout(self._deadline_seconds):
                answer = await self._attempts(method, url, content)
        except TimeoutError:
            raise self._failed(f"gave no answer within {self._deadline_seconds:g} s") from None
        except CallFailed as error:
            raise self._failed(str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._failed(f"could not be asked: {_without_values(error)}") from error
        self._breaker.succeeded()
        self._report(None)
        return answer

    def _failed(self, problem: str) -> CallFailed:
        self._breaker.failed()
        if self._breaker.is_open:
            self._report(problem)
        return CallFailed(problem)

    async def _attempts(self, method: str, url: str, content: bytes | None) -> tuple[int, bytes]:
        try:
            return await self._once(method, url, content)
        except (httpx.TransportError, CallFailed):
            await asyncio.sleep(random.uniform(*AGAIN_SECONDS))  # noqa: S311 - so that many do not come again at once
        return await self._once(method, url, content)

    async def _once(self, method: str, url: str, content: bytes | None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if content is not None else {}
        async with self._client.stream(method, url, content=content, headers=headers) as response:
            if response.status_code >= 500:
                raise CallFailed(f"answered with status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_bytes:
                    raise CallFailed(f"answered with more than {self._max_bytes} bytes")
            return response.status_code, bytes(body)


def _without_values(error: Exception) -> str:
    """What is wrong: of sockets in full, else only its name, since the rest may quote the URL or the answer."""
    return (str(error) if isinstance(error, httpx.NetworkError) else "") or type(error).__name__
