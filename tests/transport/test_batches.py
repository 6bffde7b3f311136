"""How events fall into batches has no part in what is decided: with the shipped model, on the shipped data."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.adapters.csv_files import catalogue_coupons, customer_contexts, read_folder
from app.adapters.memory import MemoryCache, MemoryCatalogue, MemoryDeadLetterLog, MemoryDecisionLog
from app.adapters.scorer_sklearn import SklearnScorer, load_model
from app.domain.coupon import Coupon
from app.domain.customer import CustomerContext
from app.domain.event import FocusEvent
from app.handlers import Decided, Services, decide_batch, gather
from app.results import ResultEncoder
from tests.transport.builders import DEFAULTS, NAMES, TERMS

PROJECT = Path(__file__).parents[2]
MODEL = PROJECT / "app" / "models" / "default"
DEPARTMENTS = ("Boys", "Girls", "Men", "Sports", "Women", "Garden")


@pytest.fixture(scope="module")
def model() -> SklearnScorer:
    return load_model(MODEL)


@pytest.fixture(scope="module")
def contexts() -> dict[str, CustomerContext]:
    return customer_contexts(read_folder(PROJECT / "data4db"), DEFAULTS)


@pytest.fixture(scope="module")
def coupons() -> list[Coupon]:
    return catalogue_coupons(read_folder(PROJECT / "data4db"), NAMES)


def some_events(seed: int) -> list[FocusEvent]:
    """Of every department and of one without coupons; every tenth is a copy of the one before."""
    draw, events = random.Random(seed), list[FocusEvent]()
    for number in range(60):
        department = draw.choice(DEPARTMENTS)
        fresh = FocusEvent(str(draw.randint(1, 1000)), 1_781_000_000 + number, department, department)
        events.append(events[-1] if number % 10 == 9 else fresh)
    return events


def slices(events: Sequence[FocusEvent], sizes: Sequence[int]) -> Iterator[Sequence[FocusEvent]]:
    start = 0
    for size in (*sizes, len(events)):
        if start < len(events):
            yield events[start : start + size]
        start += size


@given(st.integers(0, 2**32), st.lists(st.integers(1, 50), max_size=8))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_batch_is_decided_as_its_events_are_one_by_one(
    model: SklearnScorer, contexts: dict[str, CustomerContext], coupons: list[Coupon], seed: int, sizes: list[int]
) -> None:
    def fresh_services() -> Services:
        return Services(
            cache=MemoryCache(contexts),
            central=None,
            catalogue=MemoryCatalogue(coupons),
            scorer=model,
            log=MemoryDecisionLog(),
            dead_letters=MemoryDeadLetterLog(),
            encoder=ResultEncoder(),
            terms=TERMS,
            clock=lambda: datetime(2026, 6, 15, 12, tzinfo=UTC),
        )

    async def decided(services: Services, events: Sequence[FocusEvent]) -> list[Decided]:
        known, _ = await gather(services, events)
        return await decide_batch(services, known)

    events, together, alone = some_events(seed), fresh_services(), fresh_services()
    in_batches = [one for part in slices(events, sizes) for one in await decided(together, part)]
    one_by_one = [one for event in events for one in await decided(alone, [event])]

    assert [(one.decision, one.result, one.is_repeated) for one in in_batches] == [
        (one.decision, one.result, one.is_repeated) for one in one_by_one
    ]
    assert sum(one.is_repeated for one in in_batches) == 6
