"""Which model scores, and when another one takes its place."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from app.active_model import TRY_AGAIN_SECONDS, ActiveModel
from app.adapters.memory import MemoryModelRegistry
from app.adapters.scorer_http import FallbackScorer
from app.adapters.scorer_sklearn import build_scorer
from app.domain.customer import CustomerContext
from app.domain.eligibility import Screening, screen
from app.domain.model_card import ModelCard
from app.domain.registry import Alias, Change
from app.errors import DatabaseUnavailable, ModelRefused, ScorerUnavailable
from app.ports import FALLBACK, ModelFiles, Scores
from tests.builders import ANNA, COUPON, NOW, TODAY
from tests.builders import running as working
from tests.small_models import SmallModel
from tests.transport.eventually import eventually

SCREENING = screen([COUPON], TODAY)


@dataclass(frozen=True)
class Named:
    """Model that says its name; `asked` holds back its answer until it is set."""

    card: ModelCard
    asked: asyncio.Event | None = None
    is_away: bool = False
    closed: list[str] = field(default_factory=list)
    expected: list[CustomerContext] = field(default_factory=list)

    def expect(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> None:
        self.expected.extend(customers)

    def close(self) -> None:
        self.closed.append(self.card.version)

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        if self.asked is not None:
            await self.asked.wait()
        if self.is_away:
            raise ScorerUnavailable("away")
        return [Scores(np.zeros(1), "named", self.card.version, 0.0) for _ in customers]


class Sulking(Named):
    """Named that does not answer the first few times."""

    def __init__(self, card: ModelCard, times: int) -> None:
        super().__init__(card)
        self._left = iter(range(times))

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        for _ in self._left:
            raise ScorerUnavailable("away")
        return await super().score(customers, screenings)


class Registry(MemoryModelRegistry):
    """MemoryModelRegistry that can be away, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_away = False
        self.asked = 0

    async def named(self, at: datetime | None = None) -> Mapping[Alias, str | None]:
        self.asked += 1
        if self.is_away:
            raise DatabaseUnavailable("away")
        return await super().named(at)


class Reports(list[str | None]):
    """What was told of the champion."""

    def __call__(self, problem: str | None) -> None:
        self.append(problem)


def build(version: str, files: ModelFiles) -> Named:
    if files.model == b"broken":
        raise ModelRefused("it is broken")
    return Named(build_scorer(files, Path(version)).card)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def active(registry: Registry, reports: Reports, small_model: SmallModel) -> ActiveModel:
    return ActiveModel(registry, Named(replace(small_model.card, version="shipped", threshold=0.5)), build, reports)


async def promote(registry: Registry, model: SmallModel, files: ModelFiles | None = None) -> None:
    await registry.add(model.card, files or model.files, NOW, "ada")
    await registry.point(Change(Alias.CHAMPION, model.version, "ada", ""))


async def versions(active: ActiveModel, count: int = 1) -> list[str]:
    return [one.model_version for one in await active.score([ANNA] * count, [SCREENING] * count)]


async def test_before_the_registry_was_read_no_model_scores_nor_advises(
    active: ActiveModel, registry: Registry
) -> None:
    registry.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await active.read()

    with pytest.raises(DatabaseUnavailable):
        await versions(active)
    with pytest.raises(DatabaseUnavailable):
        active.threshold  # noqa: B018


async def test_without_a_champion_the_shipped_model_scores(active: ActiveModel, reports: Reports) -> None:
    await active.read()

    assert (await versions(active), active.threshold) == (["shipped"], 0.5)
    assert reports == [None]


async def test_a_champion_takes_over_and_gives_way_again(
    active: ActiveModel, registry: Registry, small_model: SmallModel, other_model: SmallModel
) -> None:
    seen = []
    for model in (small_model, other_model):
        await promote(registry, model)
        await active.read()
        seen += await versions(active)
    await registry.point(Change(Alias.CHAMPION, None, "ada", ""))
    await active.read()

    assert [*seen, *await versions(active)] == [small_model.version, other_model.version, "shipped"]


async def test_a_batch_that_a_swap_meets_is_scored_by_one_model(
    registry: Registry, small_model: SmallModel, other_model: SmallModel
) -> None:
    asked = asyncio.Event()
    active = ActiveModel(registry, Named(small_model.card, asked), build)
    await active.read()
    batch = asyncio.ensure_future(versions(active, 3))
    await promote(registry, other_model)
    await active.read()
    after = await versions(active)
    asked.set()

    assert (await batch, after) == ([small_model.version] * 3, [other_model.version])


async def test_while_the_registry_is_away_the_last_model_goes_on(
    active: ActiveModel, registry: Registry, small_model: SmallModel
) -> None:
    await promote(registry, small_model)
    await active.read()
    registry.is_away = True
    with pytest.raises(DatabaseUnavailable):
        await active.read()

    assert await versions(active) == [small_model.version]


async def test_a_champion_that_cannot_be_built_is_told_of_once_and_the_present_one_goes_on(
    active: ActiveModel, registry: Registry, reports: Reports, small_model: SmallModel, other_model: SmallModel
) -> None:
    await promote(registry, small_model)
    await active.read()
    await promote(registry, other_model, replace(other_model.files, model=b"broken"))
    await active.read()
    await active.read()

    problem = f"the champion {other_model.version} cannot be used, {small_model.version} goes on: it is broken"
    assert reports == [None, problem]
    assert await versions(active) == [small_model.version]
    await registry.point(Change(Alias.CHAMPION, None, "ada", ""))
    await active.read()
    assert reports == [None, problem, None]


async def test_a_champion_that_cannot_be_built_is_tried_again_after_a_minute(
    registry: Registry, reports: Reports, small_model: SmallModel, other_model: SmallModel
) -> None:
    now, broken = 0.0, True

    def at_first_broken(version: str, files: ModelFiles) -> Named:
        if broken:
            raise ModelRefused("no room")
        return build(version, files)

    active = ActiveModel(registry, Named(small_model.card), at_first_broken, reports, lambda: now)
    await promote(registry, other_model)
    await active.read()
    broken = False
    await active.read()
    too_early = await versions(active)
    now = TRY_AGAIN_SECONDS
    await active.read()

    assert (too_early, await versions(active)) == ([small_model.version], [other_model.version])
    assert reports[-1] is None


async def test_a_champion_that_the_registry_has_lost_is_told_of(
    active: ActiveModel, registry: Registry, reports: Reports, small_model: SmallModel
) -> None:
    await promote(registry, small_model)
    registry._models.clear()
    await active.read()

    assert reports == [
        f"the champion {small_model.version} cannot be used, shipped goes on: the registry does not have it"
    ]


async def test_a_model_is_built_once_however_often_the_registry_is_read(
    registry: Registry, small_model: SmallModel
) -> None:
    built = []

    def counting(version: str, files: ModelFiles) -> Named:
        built.append(version)
        return build(version, files)

    active = ActiveModel(registry, Named(small_model.card), counting)
    await promote(registry, small_model)
    await asyncio.gather(*(active.read() for _ in range(5)))

    assert built == [small_model.version]


async def test_it_reads_again_by_itself_and_survives_an_absence_of_the_registry(
    active: ActiveModel, registry: Registry, small_model: SmallModel
) -> None:
    registry.is_away = True
    async with working(active.run()):
        await eventually(lambda: registry.asked > 0)
        registry.is_away = False
        await promote(registry, small_model)
        await eventually(lambda: active._has_been_read)

        assert await versions(active) == [small_model.version]


async def test_where_the_champion_cannot_score_the_shipped_model_does(
    registry: Registry, small_model: SmallModel, other_model: SmallModel
) -> None:
    def away(version: str, files: ModelFiles) -> Named:
        return replace(build(version, files), is_away=True)

    active = ActiveModel(registry, Named(small_model.card), away)
    await promote(registry, other_model)
    await active.read()
    (scores,) = await active.score([ANNA], [SCREENING])

    assert (scores.scorer, scores.model_version) == (FALLBACK, small_model.version)


async def test_that_the_champion_does_not_answer_is_told_until_it_does(
    registry: Registry, reports: Reports, small_model: SmallModel, other_model: SmallModel
) -> None:
    shipped = Named(small_model.card)
    active = ActiveModel(
        registry, shipped, lambda version, files: Sulking(build(version, files).card, times=2), reports
    )
    await promote(registry, other_model)
    await active.read()

    asked = [await active.score([ANNA], [SCREENING]) for _ in range(3)]

    told = f"the champion {other_model.version} does not answer, {small_model.version} speaks for it: away"
    assert [scores.scorer for (scores,) in asked] == [FALLBACK, FALLBACK, "named"]
    assert reports == [None, told, None]


async def test_where_the_shipped_model_cannot_score_nothing_else_does(
    registry: Registry, small_model: SmallModel
) -> None:
    active = ActiveModel(registry, Named(small_model.card, is_away=True), build)
    await active.read()

    with pytest.raises(ScorerUnavailable):
        await versions(active)


async def test_the_champion_is_told_who_has_come_in(
    active: ActiveModel, registry: Registry, small_model: SmallModel
) -> None:
    await promote(registry, small_model)
    await active.read()
    active.expect([ANNA], [SCREENING])

    champion = active.current
    assert isinstance(champion, Named)
    assert champion.expected == [ANNA]


async def test_a_model_out_of_service_is_closed_and_the_shipped_one_at_the_end(
    registry: Registry, small_model: SmallModel, other_model: SmallModel
) -> None:
    closed: list[str] = []
    shipped = Named(replace(small_model.card, version="shipped"), closed=closed)
    active = ActiveModel(registry, shipped, lambda version, files: replace(build(version, files), closed=closed))
    for model in (small_model, other_model):
        await promote(registry, model)
        await active.read()

    assert closed == [small_model.version]
    active.close()
    assert closed == [small_model.version, other_model.version, "shipped"]


class Away:
    """Scorer that does not answer."""

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        raise ScorerUnavailable("away")


async def test_no_model_stands_in_for_an_outside_scorer_before_it_is_known_which(
    active: ActiveModel, registry: Registry, small_model: SmallModel
) -> None:
    scorer = FallbackScorer(Away(), active)
    await promote(registry, small_model)

    with pytest.raises(DatabaseUnavailable):
        await scorer.score([ANNA], [SCREENING])
    await active.read()
    (scores,) = await scorer.score([ANNA], [SCREENING])

    assert (scores.scorer, scores.model_version) == ("fallback", small_model.version)
