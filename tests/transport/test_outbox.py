"""The way out: what is published, what is tried again, and what the log is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import stamina

from app.adapters.memory import MemoryBroker
from app.domain.dead_letter import DeadLetter
from app.domain.decision import Decision
from app.errors import BrokerUnavailable, DatabaseUnavailable, PublishRefused, ScorerUnavailable, Unavailable
from app.handlers import Decided, decide_batch, gather
from app.ports import OutboundMessage, Publisher
from app.transport.consumer import BATCH_LIMIT
from app.transport.metrics import Metrics
from app.transport.outbox import MARK_LIMIT, SWEEP_LIMIT, Outbox, Topics, retried
from tests.builders import COUPON, NOW
from tests.transport.builders import CountingLog, HeldPublisher, Letter, Shop, focus

TOPICS = Topics("shop/prediction", "shop/focus/rejected", timedelta(hours=1))
REFUSED = PublishRefused("shop/prediction", "Not authorized")
DEAD_LETTER = DeadLetter(UUID(int=1), "focus", "invalid_department", "7", b"\x01", b'{"reason":"..."}', NOW)
MINUTE = timedelta(seconds=60)


class SlowLog(CountingLog):
    """DecisionLog that is away for the first `failures` calls of `mark_published`."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._mark_failures = failures
        self.is_marked = asyncio.Event()

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        if self._mark_failures:
            self._mark_failures -= 1
            raise DatabaseUnavailable("away")
        await super().mark_published(decisions)
        self.is_marked.set()


class HeldLog(CountingLog):
    """DecisionLog whose `mark_published` waits to be let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()
        self.may_mark = asyncio.Event()

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        self.is_asked.set()
        await self.may_mark.wait()
        await super().mark_published(decisions)


class PartsLog(SlowLog):
    """DecisionLog that remembers how many decisions were marked at once."""

    def __init__(self, failures: int) -> None:
        super().__init__(failures)
        self.parts: list[int] = []

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        await super().mark_published(decisions)
        self.parts.append(len(decisions))


def outbox_of(
    shop: Shop,
    publisher: Publisher,
    metrics: Metrics | None = None,
    report: Callable[[str | None], None] = lambda problem: None,
    topics: Topics = TOPICS,
) -> Outbox:
    return Outbox(shop.services, publisher, topics, metrics or Metrics(), report, again_seconds=0)


async def unpublished_letters(shop: Shop) -> list[DeadLetter]:
    ever = [limit.replace(tzinfo=UTC) for limit in (datetime.min, datetime.max)]
    async with shop.dead_letters.unpublished(ever[0], ever[1], 1000) as letters:
        return list(letters)


async def decided(shop: Shop, *timestamps: int) -> list[Decided]:
    known, _ = await gather(shop.services, [focus(ts=ts) for ts in timestamps or (1,)])
    return await decide_batch(shop.services, known)


def count(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"recommendation_{name}", labels)


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def turns() -> None:
    """Let everything that is ready to run have its turn."""
    for _ in range(10):
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


async def test_the_event_is_done_when_the_broker_has_its_result_and_not_before() -> None:
    shop, publisher, letter = Shop(), HeldPublisher(), Letter(b"")
    outbox = outbox_of(shop, publisher)
    (answer,) = await decided(shop)

    outbox.publish_result(answer.decision, answer.result, letter.message.acknowledge)
    before = letter.acknowledgements
    publisher.futures[0].set_result(None)
    await outbox.flush()

    assert (before, letter.acknowledgements) == (0, 1)
    assert publisher.payloads == [answer.result]
    assert await shop.log.waiting() == []


async def test_a_result_lost_with_its_connection_leaves_the_event_to_come_again() -> None:
    shop, publisher, letter = Shop(), HeldPublisher(BrokerUnavailable("lost")), Letter(b"", is_live=lambda: False)
    outbox = outbox_of(shop, publisher)
    (answer,) = await decided(shop)

    outbox.publish_result(answer.decision, answer.result, letter.message.acknowledge, letter.message.is_live)
    await outbox.flush()
    await turns()

    assert letter.acknowledgements == 0
    assert len(publisher.published) == 1
    assert await shop.log.waiting() == [answer.decision]


async def test_a_result_that_no_event_waits_for_is_left_to_the_sweeper() -> None:
    shop, publisher = Shop(), HeldPublisher(BrokerUnavailable("away"))
    outbox = outbox_of(shop, publisher)
    (answer,) = await decided(shop)

    outbox.publish_result(answer.decision, answer.result)
    await outbox.flush()
    await turns()

    assert len(publisher.published) == 1
    assert await shop.log.waiting() == [answer.decision]


async def test_what_the_broker_refuses_is_counted_told_and_tried_again() -> None:
    shop, publisher, letter, metrics = Shop(), HeldPublisher(REFUSED, REFUSED, None), Letter(b""), Metrics()
    told: list[str | None] = []
    outbox = outbox_of(shop, publisher, metrics, told.append)
    (answer,) = await decided(shop)

    outbox.publish_result(answer.decision, answer.result, letter.message.acknowledge, letter.message.is_live)
    async with asyncio.timeout(5):
        await letter.is_acknowledged.wait()

    assert publisher.payloads == [answer.result] * 3
    assert letter.acknowledgements == 1
    assert count(metrics, "publish_failures_total", topic="shop/prediction") == 2
    assert told == [str(REFUSED), str(REFUSED), None]


@pytest.mark.parametrize("error", [REFUSED, ZeroDivisionError("unforeseen")], ids=["refused", "unforeseen"])
async def test_a_result_that_is_refused_for_good_stays_in_the_log_and_its_event_is_done(error: Exception) -> None:
    shop, publisher, letter = Shop(), HeldPublisher(error, error, error), Letter(b"")
    outbox = outbox_of(shop, publisher)
    (answer,) = await decided(shop)

    outbox.publish_result(answer.decision, answer.result, letter.message.acknowledge, letter.message.is_live)
    async with asyncio.timeout(5):
        await letter.is_acknowledged.wait()
    await outbox.flush()
    await turns()

    assert letter.acknowledgements == 1
    assert len(publisher.published) == 3
    assert await shop.log.waiting() == [answer.decision]


async def test_what_was_refused_is_not_tried_again_when_its_event_comes_again() -> None:
    shop, publisher, letter = Shop(), HeldPublisher(REFUSED), Letter(b"")
    liveness = [True, False]
    outbox = outbox_of(shop, publisher)
    (answer,) = await decided(shop)

    outbox.publish_result(answer.decision, answer.result, letter.message.acknowledge, lambda: liveness.pop(0))
    async with asyncio.timeout(5):
        while liveness:
            await turns()

    assert len(publisher.published) == 1
    assert letter.acknowledgements == 0


async def test_a_broker_that_refuses_dead_letters_does_not_stop_the_events() -> None:
    shop, publisher, letter = Shop(), HeldPublisher(REFUSED, REFUSED, REFUSED), Letter(b"not json")
    outbox = outbox_of(shop, publisher)
    (refused,) = await shop.dead_letters.record([DEAD_LETTER])

    outbox.publish_dead_letter(refused, letter.message.acknowledge, letter.message.is_live)
    async with asyncio.timeout(5):
        await letter.is_acknowledged.wait()
    await outbox.flush()

    assert letter.acknowledgements == 1
    assert len(publisher.published) == 3
    assert await unpublished_letters(shop) == [DEAD_LETTER]


async def test_a_dead_letter_acknowledges_its_message_when_the_broker_has_it() -> None:
    shop, publisher, letter = Shop(), HeldPublisher(), Letter(b"")
    outbox = outbox_of(shop, publisher)
    await shop.dead_letters.record([DEAD_LETTER])

    outbox.publish_dead_letter(DEAD_LETTER, letter.message.acknowledge, letter.message.is_live)
    before = letter.acknowledgements
    publisher.futures[0].set_result(None)
    await outbox.flush()

    assert publisher.published == [
        OutboundMessage(TOPICS.dead_letter, DEAD_LETTER.body, {"reason": "invalid_department"}, b"\x01", TOPICS.expiry)
    ]
    assert (before, letter.acknowledgements) == (0, 1)
    assert await unpublished_letters(shop) == []


async def test_the_sweeper_publishes_dead_letters_that_the_broker_never_had() -> None:
    shop, broker, metrics = Shop(), MemoryBroker(), Metrics()
    young = replace(DEAD_LETTER, dead_letter_id=UUID(int=2), received_at=NOW + MINUTE)
    await shop.dead_letters.record([DEAD_LETTER, young])
    shop.clock.now = NOW + MINUTE + timedelta(seconds=1)

    await outbox_of(shop, broker, metrics).sweep_once()

    assert [message.payload for message in broker.published] == [DEAD_LETTER.body]
    assert await unpublished_letters(shop) == [young]
    assert count(metrics, "outcomes_swept_total") == 1


async def test_what_was_swept_is_marked_although_the_sweep_was_broken_off() -> None:
    shop, publisher = Shop(), HeldPublisher(None)
    outbox = outbox_of(shop, publisher)
    first, second = await decided(shop, 1, 2)
    shop.clock.now = NOW + MINUTE + timedelta(seconds=1)

    sweep = asyncio.create_task(outbox.sweep_once())
    await turns()
    sweep.cancel()
    await asyncio.wait([sweep])
    await outbox.flush()

    assert publisher.payloads == [first.result, second.result]
    assert shop.log.marked == [first.decision]


async def test_a_broker_that_takes_what_is_swept_refuses_no_more() -> None:
    shop, publisher = Shop(), HeldPublisher(REFUSED, None)
    told: list[str | None] = []
    outbox = outbox_of(shop, publisher, report=told.append)
    await decided(shop)
    shop.clock.now = NOW + MINUTE + timedelta(seconds=1)

    await outbox.sweep_once()
    await outbox.sweep_once()

    assert told == [str(REFUSED), None]


async def test_a_decision_that_is_not_to_be_published_is_done_at_once() -> None:
    shop, publisher, letter = Shop(coupons=[]), HeldPublisher(), Letter(b"")
    (answer,) = await decided(shop)

    outbox_of(shop, publisher).publish_result(answer.decision, answer.result, letter.message.acknowledge)

    assert letter.acknowledgements == 1
    assert publisher.published == []


async def test_draining_waits_for_what_is_on_the_way() -> None:
    shop, publisher = Shop(), HeldPublisher()
    outbox = outbox_of(shop, publisher)
    for answer in await decided(shop, 1, 2):
        outbox.publish_result(answer.decision, answer.result, lambda: None)
    draining = asyncio.create_task(outbox.flush())

    publisher.futures[0].set_result(None)
    await turns()
    is_done_early = draining.done()
    publisher.futures[1].set_result(None)
    async with asyncio.timeout(5):
        await draining

    assert not is_done_early
    assert await shop.log.waiting() == []


async def test_draining_waits_for_what_is_being_marked() -> None:
    log = HeldLog()
    shop = Shop(log=log)
    outbox = outbox_of(shop, MemoryBroker())
    (answer,) = await decided(shop)
    async with running(outbox), asyncio.timeout(5):
        outbox.publish_result(answer.decision, answer.result)
        await log.is_asked.wait()
        draining = asyncio.create_task(outbox.flush())
        await turns()
        is_done_early = draining.done()
        log.may_mark.set()
        await draining

    assert not is_done_early
    assert log.marked == [answer.decision]


async def test_what_is_published_while_others_are_marked_is_marked_too() -> None:
    log = HeldLog()
    shop = Shop(log=log)
    outbox = outbox_of(shop, MemoryBroker())
    first, second = await decided(shop, 1, 2)
    async with running(outbox), asyncio.timeout(5):
        outbox.publish_result(first.decision, first.result)
        await log.is_asked.wait()
        outbox.publish_result(second.decision, second.result)
        await turns()
        log.may_mark.set()
        await outbox.flush()

    assert log.marked == [first.decision, second.decision]


async def test_published_results_are_marked_although_the_database_was_away() -> None:
    log = SlowLog(failures=2)
    shop = Shop(log=log)
    metrics = Metrics()
    outbox = outbox_of(shop, MemoryBroker(), metrics)
    (answer,) = await decided(shop)

    with stamina.set_testing(True, attempts=5, cap=True):
        async with running(outbox), asyncio.timeout(5):
            outbox.publish_result(answer.decision, answer.result, lambda: None)
            await log.is_marked.wait()

    assert await log.waiting() == []
    assert count(metrics, "batch_retries_total", cause="database") == 2


async def test_many_results_are_marked_by_parts() -> None:
    log = PartsLog(failures=1)
    shop = Shop(log=log)
    outbox = outbox_of(shop, MemoryBroker())
    for answer in await decided(shop, *range(MARK_LIMIT + 3)):
        outbox.publish_result(answer.decision, answer.result)

    with pytest.raises(DatabaseUnavailable):
        await outbox.flush()
    await outbox.flush()

    assert log.parts == [MARK_LIMIT, 3]
    assert await log.waiting() == []


async def test_a_published_result_is_marked_once() -> None:
    shop, broker = Shop(), MemoryBroker()
    outbox = outbox_of(shop, broker)
    first, second = await decided(shop, 1, 2)

    outbox.publish_result(first.decision, first.result)
    await outbox.flush()
    outbox.publish_result(second.decision, second.result)
    await outbox.flush()
    await outbox.flush()

    assert shop.log.marked == [first.decision, second.decision]


@pytest.mark.parametrize(("error", "cause"), [(DatabaseUnavailable, "database"), (ScorerUnavailable, "scorer")])
async def test_work_is_tried_until_the_database_and_the_model_are_there(error: type[Unavailable], cause: str) -> None:
    failures, metrics = [error("away")] * 3, Metrics()

    async def work() -> str:
        if failures:
            raise failures.pop()
        return "done"

    with stamina.set_testing(True, attempts=10, cap=True):
        assert await retried(work, metrics) == "done"
    assert count(metrics, "batch_retries_total", cause=cause) == 3


async def test_a_database_that_fails_again_and_again_is_told_until_it_does_not() -> None:
    failures, told = [DatabaseUnavailable("no room")] * 4, list[str | None]()

    async def work() -> None:
        if failures:
            raise failures.pop()

    with stamina.set_testing(True, attempts=10, cap=True):
        await retried(work, Metrics(), told.append)

    assert told == ["no room", "no room", None]


async def test_the_sweeper_publishes_the_same_bytes_a_minute_after_the_decision() -> None:
    shop, broker, metrics = Shop(), MemoryBroker(), Metrics()
    old, *_ = await decided(shop, 1)
    shop.clock.now += timedelta(seconds=1)
    await decided(shop, 2)
    shop.put_on_sale(replace(COUPON, discount=99))
    shop.clock.now = NOW + MINUTE + timedelta(seconds=1)

    await outbox_of(shop, broker, metrics).sweep_once()

    assert [message.payload for message in broker.published] == [old.result]
    assert broker.published[0].properties["decision-id"] == str(old.decision.decision_id)
    assert [one.event.ts for one in await shop.log.waiting()] == [2]
    assert count(metrics, "outcomes_swept_total") == 1


async def test_nothing_is_swept_that_the_broker_has() -> None:
    shop, broker = Shop(), MemoryBroker()
    outbox = outbox_of(shop, broker)
    (answer,) = await decided(shop)
    outbox.publish_result(answer.decision, answer.result, lambda: None)
    await outbox.flush()
    shop.clock.now += 2 * MINUTE

    await outbox.sweep_once()

    assert [message.payload for message in broker.published] == [answer.result]


async def test_a_result_that_the_broker_refuses_does_not_hold_up_the_sweep_of_the_others() -> None:
    shop, metrics = Shop(), Metrics()
    publisher = HeldPublisher(REFUSED, None)
    first, second = await decided(shop, 1, 2)
    shop.clock.now += 2 * MINUTE

    await outbox_of(shop, publisher, metrics).sweep_once()

    assert publisher.payloads == [first.result, second.result]
    assert await shop.log.waiting() == [first.decision]
    assert count(metrics, "publish_failures_total", topic="shop/prediction") == 1
    assert count(metrics, "outcomes_swept_total") == 1


def test_a_sweep_gets_past_a_whole_batch() -> None:
    assert SWEEP_LIMIT > BATCH_LIMIT  # whose decisions are all of one time, from which the next sweep goes on


async def test_results_that_are_refused_for_good_do_not_keep_the_sweep_from_younger_ones() -> None:
    shop = Shop()
    for second in range(SWEEP_LIMIT + 1):
        await decided(shop, second)
        shop.clock.now += timedelta(milliseconds=1)
    shop.clock.now += 2 * MINUTE
    outbox = outbox_of(shop, HeldPublisher(*[REFUSED] * SWEEP_LIMIT, *[REFUSED, None]))

    await outbox.sweep_once()
    await outbox.sweep_once()

    assert SWEEP_LIMIT not in [one.event.ts for one in await shop.log.waiting()]


async def test_dead_letters_that_are_refused_for_good_do_not_keep_the_sweep_from_younger_ones() -> None:
    shop = Shop()
    letters = [
        replace(DEAD_LETTER, dead_letter_id=UUID(int=number), received_at=NOW + timedelta(milliseconds=number))
        for number in range(SWEEP_LIMIT + 1)
    ]
    await shop.dead_letters.record(letters)
    shop.clock.now += 2 * MINUTE
    outbox = outbox_of(shop, HeldPublisher(*[REFUSED] * SWEEP_LIMIT, *[REFUSED, None]))

    await outbox.sweep_once()
    await outbox.sweep_once()

    assert letters[-1] not in await unpublished_letters(shop)


async def test_a_sweep_that_was_broken_off_begins_again_where_it_began() -> None:
    shop = Shop()
    for second in range(SWEEP_LIMIT):
        await decided(shop, second)
        shop.clock.now += timedelta(milliseconds=1)
    shop.clock.now += 2 * MINUTE
    outbox = outbox_of(shop, HeldPublisher(None, BrokerUnavailable("away"), *[None] * SWEEP_LIMIT))

    await outbox.sweep_once()
    await outbox.sweep_once()

    assert await shop.log.waiting() == []


async def test_a_result_older_than_its_expiry_is_not_swept() -> None:
    shop, broker = Shop(), MemoryBroker()
    (answer,) = await decided(shop)
    shop.clock.now = NOW + timedelta(hours=1, seconds=1)

    await outbox_of(shop, broker).sweep_once()

    assert list(broker.published) == []
    assert await shop.log.waiting() == [answer.decision]


async def test_results_that_never_expire_are_swept_however_old() -> None:
    shop, broker = Shop(), MemoryBroker()
    (answer,) = await decided(shop)
    shop.clock.now = NOW + timedelta(days=400)

    await outbox_of(shop, broker, topics=replace(TOPICS, expiry=None)).sweep_once()

    assert [message.payload for message in broker.published] == [answer.result]


async def test_the_sweeper_stops_at_a_broker_that_is_away_and_keeps_what_it_has_not_sent() -> None:
    shop, publisher = Shop(), HeldPublisher(None, BrokerUnavailable("away"))
    first, second, third = await decided(shop, 1, 2, 3)
    shop.clock.now += 2 * MINUTE

    await outbox_of(shop, publisher).sweep_once()

    assert publisher.payloads == [first.result, second.result]
    assert await shop.log.waiting() == [second.decision, third.decision]


async def test_the_sweeper_goes_on_after_broker_and_database_were_away() -> None:
    log = SlowLog(failures=2)
    shop = Shop(log=log)
    (answer,) = await decided(shop)
    shop.clock.now += 2 * MINUTE
    publisher = HeldPublisher(BrokerUnavailable("away"), None, None, None)

    sweeping = asyncio.create_task(outbox_of(shop, publisher).sweep(every_seconds=0))
    async with asyncio.timeout(5):
        await eventually_marked(log)
    sweeping.cancel()
    await asyncio.wait([sweeping])

    assert set(publisher.payloads) == {answer.result}
    assert await log.waiting() == []


async def eventually_marked(log: SlowLog) -> None:
    while await log.waiting():
        await turns()
