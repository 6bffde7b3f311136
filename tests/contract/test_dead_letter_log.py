"""What every DeadLetterLog does: the one in memory, and the one in PostgreSQL."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from app.adapters.memory import MAX_DEAD_LETTERS, MemoryDeadLetterLog
from app.adapters.postgres.database import Database
from app.adapters.postgres.dead_letters import PostgresDeadLetterLog
from app.domain.dead_letter import DeadLetter, dead_letter_id
from app.ports import DeadLetterLog
from tests.builders import NOW

LETTER = DeadLetter(UUID(int=1), "focus", "invalid_department", "7", b"\x00\xff", b'{"reason":"\xc3\xbc"}', NOW)
BARE = DeadLetter(UUID(int=2), "entry", "invalid_json", None, None, b"{}", NOW + timedelta(seconds=1))
LONG_AGO, LATER = NOW - timedelta(days=9000), NOW + timedelta(days=1)
EVERYTHING = 1000


async def waiting(
    log: DeadLetterLog, since: datetime = LONG_AGO, before: datetime = LATER, limit: int = EVERYTHING
) -> list[DeadLetter]:
    async with log.unpublished(since, before, limit) as letters:
        return list(letters)


@pytest.fixture
def memory_logs() -> tuple[DeadLetterLog, DeadLetterLog]:
    log = MemoryDeadLetterLog()
    return log, log


@pytest.fixture
async def postgres_logs(database_url: str) -> AsyncIterator[tuple[DeadLetterLog, DeadLetterLog]]:
    async with Database.open(database_url, size=3) as one, Database.open(database_url, size=3) as other:
        yield PostgresDeadLetterLog(one), PostgresDeadLetterLog(other)


@pytest.fixture(params=["memory_logs", "postgres_logs"])
def logs(request: pytest.FixtureRequest) -> tuple[DeadLetterLog, DeadLetterLog]:
    """The same log, as two instances of the service see it."""
    both: tuple[DeadLetterLog, DeadLetterLog] = request.getfixturevalue(request.param)
    return both


async def test_what_is_recorded_comes_back_whole_and_in_order(logs: tuple[DeadLetterLog, DeadLetterLog]) -> None:
    assert await logs[0].record([BARE, LETTER, BARE]) == [BARE, LETTER, BARE]
    assert await waiting(logs[1]) == [LETTER, BARE]


async def test_a_copy_finds_what_the_first_one_left(logs: tuple[DeadLetterLog, DeadLetterLog]) -> None:
    await logs[0].record([LETTER])

    copy = replace(LETTER, body=b"another version", reason="other", received_at=LATER)

    assert await logs[1].record([copy]) == [LETTER]
    assert await waiting(logs[0]) == [LETTER]


async def test_what_is_published_waits_no_longer(logs: tuple[DeadLetterLog, DeadLetterLog]) -> None:
    await logs[0].record([LETTER, BARE])
    await logs[0].mark_published([LETTER])
    await logs[1].mark_published([LETTER])

    assert await waiting(logs[1]) == [BARE]


async def test_waiting_are_those_of_the_asked_time_oldest_first(logs: tuple[DeadLetterLog, DeadLetterLog]) -> None:
    letters = [replace(LETTER, dead_letter_id=UUID(int=n), received_at=NOW - timedelta(hours=n)) for n in range(5)]
    await logs[0].record(letters)

    assert await waiting(logs[1], NOW - timedelta(hours=3), NOW) == letters[3:0:-1]
    assert await waiting(logs[1], limit=2) == letters[4:2:-1]


async def test_one_instance_at_a_time_sees_what_waits(
    postgres_logs: tuple[DeadLetterLog, DeadLetterLog],
) -> None:
    await postgres_logs[0].record([LETTER])

    async with postgres_logs[0].unpublished(LONG_AGO, LATER, EVERYTHING) as ours:
        theirs = await waiting(postgres_logs[1])

    assert (list(ours), theirs) == ([LETTER], [])
    assert await waiting(postgres_logs[1]) == [LETTER]


async def test_memory_keeps_the_last_thousand() -> None:
    log = MemoryDeadLetterLog()
    letters = [replace(LETTER, dead_letter_id=UUID(int=n)) for n in range(MAX_DEAD_LETTERS + 3)]

    await log.record(letters)
    await log.mark_published(letters[:5])

    assert await waiting(log) == letters[5 : 5 + EVERYTHING]


def test_copies_of_a_message_have_one_id_and_other_messages_others() -> None:
    topics = "shop/focus", "shop/entry"
    names: list[tuple[str | None, bytes | None]] = [(None, None), ("1", None), (None, b"1")]
    messages = [(topic, body, *name) for topic in topics for body in (b"", b"{}") for name in names]

    ids = {dead_letter_id(*message) for message in messages}

    assert len(ids) == len(messages)
    assert ids == {dead_letter_id(*message) for message in messages}
