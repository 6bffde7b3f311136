"""API keys, and the ring of keys that a process knows."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access import ADMIN_KEY_ID, KeyRing, make_key
from app.adapters.memory import MemoryApiKeys
from app.domain.access import ApiKey, Role, digest_of
from app.errors import DatabaseUnavailable
from tests.builders import NOW
from tests.transport.builders import Clock
from tests.transport.eventually import eventually

ADMIN_KEY = "a-key-of-the-environment-0123456789"


class FlakyKeys(MemoryApiKeys):
    """ApiKeys that can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.asked = 0

    async def all(self) -> Sequence[ApiKey]:
        self.asked += 1
        if self.is_away:
            raise DatabaseUnavailable("away")
        return await super().all()


class Opened(list[bool]):
    """What a ring has told of its being open."""


def ring_of(store: MemoryApiKeys, admin_key: str | None = None, clock: Clock | None = None) -> KeyRing:
    return KeyRing(store, admin_key, clock or Clock(), Opened().append)


async def made(store: MemoryApiKeys, role: Role = Role.READ, expires_days: int | None = None) -> tuple[ApiKey, str]:
    key, text = make_key(role, "", NOW, expires_days)
    await store.add(key)
    return key, text


@pytest.mark.parametrize(
    ("role", "covered"),
    [
        (Role.READ, [Role.READ]),
        (Role.OPERATE, [Role.READ, Role.OPERATE]),
        (Role.ADMIN, [Role.READ, Role.OPERATE, Role.ADMIN]),
    ],
)
def test_a_role_covers_itself_and_those_before_it(role: Role, covered: list[Role]) -> None:
    assert [wanted for wanted in Role if role.covers(wanted)] == covered


def test_a_key_is_its_id_and_256_random_bits_of_which_the_digest_is_kept() -> None:
    key, text = make_key(Role.OPERATE, "till 7", NOW, expires_days=2)

    key_id, _, secret = text.partition(".")
    assert key == ApiKey(key_id, digest_of(secret), Role.OPERATE, "till 7", NOW, NOW + timedelta(days=2))
    assert key_id.startswith("rk_")
    assert len(secret) == 43
    assert make_key(Role.OPERATE, "till 7", NOW)[1] != text


def test_a_key_shows_nothing_of_its_digest() -> None:
    key, _ = make_key(Role.READ, "", NOW)

    assert "digest" not in repr(key)


async def test_the_right_key_is_found_and_no_other() -> None:
    store = MemoryApiKeys()
    (key, text), (other, other_text) = await made(store), await made(store)
    ring = ring_of(store)
    await ring.read()

    mixed = f"{key.key_id}.{other_text.partition('.')[2]}"
    wrong = ("", ".", text[:-1], text + "x", key.key_id, f"{key.key_id}.", mixed, text.upper(), f" {text}")
    assert (ring.find(text), ring.find(other_text)) == (key, other)
    assert [one for one in wrong if ring.find(one) is not None] == []


@given(st.text())
def test_whatever_is_presented_is_no_key_and_no_fault(text: str) -> None:
    assert ring_of(MemoryApiKeys(), ADMIN_KEY).find(text) is None


async def test_a_key_ends_when_it_expires() -> None:
    store, clock = MemoryApiKeys(), Clock()
    key, text = await made(store, expires_days=1)
    ring = ring_of(store, clock=clock)
    await ring.read()

    clock.now = NOW + timedelta(days=1) - timedelta(microseconds=1)
    before = ring.find(text)
    clock.now = NOW + timedelta(days=1)
    assert (before, ring.find(text)) == (key, None)


async def test_a_store_whose_keys_are_all_revoked_is_not_open() -> None:
    store = MemoryApiKeys()
    key, text = await made(store)
    await store.revoke(key.key_id, NOW)
    ring = ring_of(store)
    await ring.read()

    assert (ring.find(text), ring.is_open, ring.has_been_read) == (None, False, True)


async def test_a_store_that_was_never_read_is_not_open() -> None:
    store = FlakyKeys()
    store.is_away = True
    ring = ring_of(store)
    with pytest.raises(DatabaseUnavailable):
        await ring.read()

    assert (ring.is_open, ring.has_been_read) == (False, False)


async def test_while_the_store_is_away_the_keys_read_last_serve() -> None:
    store = FlakyKeys()
    key, text = await made(store)
    ring = ring_of(store)
    await ring.read()
    store.is_away = True
    with suppress(DatabaseUnavailable):
        await ring.read()

    assert (ring.find(text), ring.is_open) == (key, False)


async def test_the_admin_key_of_the_environment_serves_before_the_store_was_read_and_closes_what_is_open() -> None:
    ring = ring_of(MemoryApiKeys(), ADMIN_KEY)
    found = ring.find(ADMIN_KEY)
    await ring.read()

    assert found is not None
    assert (found.key_id, found.role, ring.is_open) == (ADMIN_KEY_ID, Role.ADMIN, False)
    assert ring.find(f"{ADMIN_KEY_ID}.{ADMIN_KEY}") is None


async def test_each_change_of_being_open_is_told_once() -> None:
    store, told = MemoryApiKeys(), Opened()
    ring = KeyRing(store, None, Clock(), told.append)
    await ring.read()
    await ring.read()
    await made(store)
    await ring.read()
    await ring.read()

    assert told == [True, False]


async def test_keys_are_read_again_and_again_though_the_store_is_away_at_first() -> None:
    store = FlakyKeys()
    store.is_away = True
    ring = ring_of(store)
    task = asyncio.create_task(ring.run())
    try:
        await eventually(lambda: store.asked > 1)
        store.is_away = False
        _, text = await made(store)
        await eventually(lambda: ring.find(text) is not None)
        key, _, _ = text.partition(".")
        await store.revoke(key, datetime.now(NOW.tzinfo))
        await eventually(lambda: ring.find(text) is None)
    finally:
        task.cancel()
        await asyncio.wait((task,))
