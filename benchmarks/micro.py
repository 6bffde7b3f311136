"""The steps of the focus path, each alone: `pytest benchmarks/micro.py`. Times are of a whole batch."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from app.adapters.csv_files import catalogue_coupons, customer_contexts, read_folder
from app.adapters.memory import MemoryCache, MemoryCatalogue, MemoryDeadLetterLog, MemoryDecisionLog
from app.adapters.mqtt_packets import read_publish, write_publish
from app.adapters.postgres import migrations
from app.adapters.postgres.database import Database
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.scorer_sklearn import load_model
from app.domain.coupon import Coupon
from app.domain.decision import Decision
from app.domain.event import FocusEvent
from app.embedded.ports import free_port
from app.embedded.postgres import EmbeddedPostgres
from app.events import MAX_BODY_BYTES, parse_focus
from app.handlers import Decided, Gathered, Services, decide_batch, gather, outbound
from app.results import ResultEncoder
from app.transport.metrics import Metrics
from tests.chaos import wire
from tests.postgres import open_directory
from tests.transport.builders import DEFAULTS, NAMES, TERMS

PROJECT = Path(__file__).parents[1]
MODEL = PROJECT / "app" / "models" / "default"
NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
DEPARTMENTS = (b"Boys", b"Girls", b"Men", b"Sports", b"Women")
SIZES = (1, 16, 256)
CANDIDATES = 190

Run = Callable[[Awaitable[Any]], Any]


class ForgetfulLog(MemoryDecisionLog):
    """DecisionLog that takes every decision for a new one."""

    async def record(self, decisions: Sequence[Decision], coupon_bodies: Any) -> Sequence[tuple[Decision, bool]]:
        return [(decision, True) for decision in decisions]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with asyncio.Runner() as runner:
        yield runner.get_loop().run_until_complete


@pytest.fixture(scope="module")
def services() -> Services:
    shop = read_folder(PROJECT / "data4db")
    return Services(
        cache=MemoryCache(customer_contexts(shop, DEFAULTS)),
        central=None,
        catalogue=MemoryCatalogue(with_candidates(catalogue_coupons(shop, NAMES))),
        scorer=load_model(MODEL),
        log=ForgetfulLog(),
        dead_letters=MemoryDeadLetterLog(),
        encoder=ResultEncoder(max_products=5),
        terms=replace(TERMS, threshold=0.0),
        clock=lambda: NOW,
    )


def with_candidates(coupons: Sequence[Coupon]) -> list[Coupon]:
    """190 of each department's 200 coupons valid and in stock, the others expired."""
    seen: Counter[str] = Counter()
    made = []
    for coupon in coupons:
        seen[coupon.department] += 1
        last_day = NOW.date() if seen[coupon.department] <= CANDIDATES else NOW.date() - timedelta(days=1)
        made.append(replace(coupon, start_date=date(2026, 1, 1), end_date=last_day, products_available=1))
    return made


def body(number: int) -> bytes:
    department = DEPARTMENTS[number % len(DEPARTMENTS)]
    return b'{"id":"%d","ts":1781524800,"dep":"%b","x":%d,"y":34}' % (number % 1000 + 1, department, number)


def events(size: int, first: int = 0) -> list[FocusEvent]:
    return [parse_focus(body(first + number), NOW, NAMES) for number in range(size)]


def gathered(run: Run, services: Services, size: int, first: int = 0) -> list[Gathered]:
    known: list[Gathered] = run(gather(services, events(size, first)))[0]
    return known


def decided(run: Run, services: Services, size: int, first: int = 0) -> list[Decided]:
    made: list[Decided] = run(decide_batch(services, gathered(run, services, size, first)))
    return made


def test_read_packet(benchmark: BenchmarkFixture) -> None:
    packet = wire.publish("customer/focus", 7, wire.message_properties("camera-7/42"), body(7))[2:]

    benchmark(read_publish, 0x32, packet, MAX_BODY_BYTES, has_properties=True)


def test_parse(benchmark: BenchmarkFixture) -> None:
    benchmark(parse_focus, body(7), NOW, NAMES)


@pytest.mark.parametrize("size", SIZES)
def test_score(benchmark: BenchmarkFixture, run: Run, services: Services, size: int) -> None:
    batch = gathered(run, services, size)
    screenings = [services.catalogue.current.screening(one.event.department, NOW.date()) for one in batch]
    contexts = [one.context for one in batch]

    benchmark(lambda: run(services.scorer.score(contexts, screenings)))


@pytest.mark.parametrize("size", SIZES)
def test_decide(benchmark: BenchmarkFixture, run: Run, services: Services, size: int) -> None:
    batch = gathered(run, services, size)

    benchmark(lambda: run(decide_batch(services, batch)))


@pytest.mark.parametrize("size", SIZES)
def test_metrics(benchmark: BenchmarkFixture, size: int) -> None:
    """All that is counted and timed for a batch."""
    metrics = Metrics()

    def observe() -> None:
        metrics.events.labels("focus").inc(size)
        metrics.batch_size.observe(size)
        for stage in ("context", "score", "decide", "record"):
            metrics.stage_seconds.labels(stage).observe(0.001)
        metrics.decisions.labels("offered", "false").inc(size)
        for _ in range(size):
            metrics.focus_seconds.observe(0.003)

    benchmark(observe)


def test_encode(benchmark: BenchmarkFixture, run: Run, services: Services) -> None:
    (one,) = decided(run, services, 1)

    def encode() -> bytes:
        result = services.encoder.offer(one.decision.event, coupon, 1)
        return write_publish(outbound(one.decision, result, "customer/prediction", None), 7, has_properties=True)

    offered = services.catalogue.current.coupons[str(getattr(one.decision.outcome, "coupon_id", ""))]
    coupon = services.encoder.coupon(offered)
    benchmark(encode)


@asynccontextmanager
async def log_at(url: str) -> AsyncIterator[PostgresDecisionLog]:
    await migrations.upgrade(url)
    async with Database.open(url, size=2) as database:
        yield PostgresDecisionLog(database)


@pytest.fixture(scope="module")
def log(run: Run) -> Iterator[PostgresDecisionLog]:
    """On a server that waits for its disk."""
    with open_directory() as folder, ExitStack() as undo:
        server = EmbeddedPostgres(folder / "postgres", free_port(), password="bench")
        undo.callback(server.stop)
        opened = log_at(server.start())
        undo.callback(lambda: run(opened.__aexit__(None, None, None)))
        yield run(opened.__aenter__())


@pytest.mark.parametrize("size", SIZES)
def test_record(benchmark: Any, run: Run, services: Services, log: PostgresDecisionLog, size: int) -> None:
    firsts = count(1_000_000 * size, size)

    def fresh() -> tuple[tuple[list[Decision]], dict[str, Any]]:
        return ([one.decision for one in decided(run, services, size, next(firsts))],), {}

    benchmark.pedantic(lambda decisions: run(log.record(decisions, {})), setup=fresh, rounds=100, warmup_rounds=5)
