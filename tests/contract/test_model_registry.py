"""What every registry of models does: the one in memory, and the one in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import asyncpg
import pytest

from app.adapters.memory import MemoryModelRegistry
from app.adapters.postgres.database import Database
from app.adapters.postgres.models import PostgresModelRegistry
from app.domain.registry import Alias, Change, RegisteredModel, before
from app.errors import DatabaseUnavailable
from app.ports import ModelFiles, ModelRegistry
from tests.builders import NOW
from tests.small_models import SmallModel

CONNECTIONS = 4
NOBODY = dict.fromkeys(Alias)


def champion(version: str | None, reason: str = "better") -> Change:
    return Change(Alias.CHAMPION, version, "ada", reason)


@pytest.fixture
def memory_registry() -> ModelRegistry:
    return MemoryModelRegistry()


@pytest.fixture
async def postgres_registry(database_url: str) -> AsyncIterator[ModelRegistry]:
    async with Database.open(database_url, size=CONNECTIONS) as database:
        yield PostgresModelRegistry(database)


@pytest.fixture(params=["memory_registry", "postgres_registry"])
def registry(request: pytest.FixtureRequest) -> ModelRegistry:
    store: ModelRegistry = request.getfixturevalue(request.param)
    return store


async def add(registry: ModelRegistry, model: SmallModel) -> str:
    await registry.add(model.card, model.files, NOW, "ada")
    return model.version


async def test_a_new_registry_is_empty(registry: ModelRegistry) -> None:
    assert list(await registry.models()) == []
    assert list(await registry.changes()) == []
    assert await registry.named() == NOBODY
    assert await registry.files("logistic-000000000000") is None


async def test_models_are_kept_whole_in_the_order_of_their_registration(
    registry: ModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    trees = replace(other_model.files, trees=b"\x00\xff")

    assert await registry.add(other_model.card, trees, NOW, "ada")
    assert await registry.add(small_model.card, small_model.files, NOW + timedelta(seconds=1), "bob")

    assert list(await registry.models()) == [
        RegisteredModel(other_model.version, other_model.card, NOW, "ada", len(trees.model) + 2),
        RegisteredModel(
            small_model.version, small_model.card, NOW + timedelta(seconds=1), "bob", len(small_model.files.model)
        ),
    ]
    assert await registry.files(other_model.version) == trees
    assert await registry.files(small_model.version) == small_model.files


async def test_a_version_that_is_there_is_not_replaced(registry: ModelRegistry, small_model: SmallModel) -> None:
    await add(registry, small_model)

    assert not await registry.add(small_model.card, ModelFiles(b"{}", b"another"), NOW, "bob")
    assert await registry.files(small_model.version) == small_model.files


async def test_an_alias_names_what_it_was_pointed_at_last(
    registry: ModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    one, other = await add(registry, small_model), await add(registry, other_model)

    await registry.point(champion(one))
    await registry.point(Change(Alias.SHADOW, one, "ada", "to be watched"))
    done = await registry.point(champion(other))

    assert done is not None
    assert done.change == champion(other)
    assert await registry.named() == {Alias.CHAMPION: other, Alias.CHALLENGER: None, Alias.SHADOW: one}


async def test_an_alias_may_name_the_model_that_the_service_was_started_with(
    registry: ModelRegistry, small_model: SmallModel
) -> None:
    await registry.point(champion(await add(registry, small_model)))
    await registry.point(champion(None))

    assert await registry.named() == NOBODY


async def test_nothing_points_at_a_model_that_is_not_there(registry: ModelRegistry) -> None:
    assert await registry.point(champion("logistic-000000000000")) is None
    assert list(await registry.changes()) == []


async def test_the_history_tells_every_change_and_what_ran_at_any_time(
    registry: ModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    one, other = await add(registry, small_model), await add(registry, other_model)
    wanted = [
        champion(one),
        Change(Alias.CHAMPION, other, "bob", "Kraków, for a while", is_forced=True),
        Change(Alias.CHAMPION, one, "bob", "", is_rollback=True),
    ]
    for change in wanted:
        await registry.point(change)

    changes = await registry.changes()
    times = [one.since for one in changes]
    at_the_time = [(await registry.named(since))[Alias.CHAMPION] for since in times]
    just_before = [(await registry.named(since - timedelta(microseconds=1)))[Alias.CHAMPION] for since in times]
    assert [one.change for one in changes] == wanted
    assert times == sorted(set(times))
    assert at_the_time == [one, other, one]
    assert just_before == [None, one, other]


async def test_two_roll_backs_go_two_back(
    registry: ModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    one, other = await add(registry, small_model), await add(registry, other_model)
    await registry.point(champion(one))
    await registry.point(champion(other))

    for expected in (one, None):
        version = before(await registry.changes(), Alias.CHAMPION)
        assert version == expected
        await registry.point(Change(Alias.CHAMPION, version, "ada", "", is_rollback=True))
    with pytest.raises(LookupError):
        before(await registry.changes(), Alias.CHAMPION)


async def test_only_a_model_that_no_alias_names_is_removed(
    registry: ModelRegistry, small_model: SmallModel, other_model: SmallModel
) -> None:
    one, other = await add(registry, small_model), await add(registry, other_model)
    await registry.point(Change(Alias.SHADOW, one, "ada", ""))

    assert not await registry.remove(one)
    assert await registry.remove(other)
    assert not await registry.remove(other)
    assert [model.version for model in await registry.models()] == [one]


async def test_what_was_named_once_can_be_removed_and_stays_in_the_history(
    registry: ModelRegistry, small_model: SmallModel
) -> None:
    version = await add(registry, small_model)
    await registry.point(champion(version))
    await registry.point(champion(None))

    assert await registry.remove(version)
    assert [one.change.version for one in await registry.changes()] == [version, None]


async def test_whoever_comes_first_what_is_named_is_there(registry: ModelRegistry, small_model: SmallModel) -> None:
    for _ in range(10):
        version = await add(registry, small_model)
        removed, pointed = await asyncio.gather(registry.remove(version), registry.point(champion(version)))

        is_there = await registry.files(version) is not None
        assert (removed, is_there) == (pointed is None, pointed is not None)
        await registry.point(champion(None))


async def test_changes_at_the_same_moment_all_count_one_after_the_other(
    registry: ModelRegistry, small_model: SmallModel
) -> None:
    version = await add(registry, small_model)

    await asyncio.gather(*(registry.point(champion(version, str(number))) for number in range(8)))

    changes = await registry.changes()
    assert sorted(one.change.reason for one in changes) == [str(number) for number in range(8)]
    assert len({one.since for one in changes}) == 8


async def test_a_clock_that_was_set_back_changes_nothing_of_the_order(
    database_url: str, postgres_registry: ModelRegistry, small_model: SmallModel
) -> None:
    version = await add(postgres_registry, small_model)
    await postgres_registry.point(champion(None))
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("UPDATE model_alias SET since = since + interval '1 day'")
    finally:
        await connection.close()

    await postgres_registry.point(champion(version))

    assert (await postgres_registry.named())[Alias.CHAMPION] == version


async def test_a_card_of_another_version_of_the_service_is_listed_without_what_it_says(
    database_url: str, postgres_registry: ModelRegistry
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("INSERT INTO model VALUES ('logistic-0', '{\"name\": 1}', '', NULL, $1, 'ada')", NOW)
    finally:
        await connection.close()

    assert list(await postgres_registry.models()) == [RegisteredModel("logistic-0", None, NOW, "ada", 0)]


async def test_a_database_without_the_tables_is_one_that_is_away(empty_database_url: str) -> None:
    async with Database.open(empty_database_url, size=1) as database:
        with pytest.raises(DatabaseUnavailable):
            await PostgresModelRegistry(database).named()
