"""From message to outcome: a result, a decision without one, or a dead letter."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import orjson
import stamina
from structlog.testing import capture_logs

from app.adapters.memory import MemoryBroker, MemoryDeadLetterLog
from app.domain.customer import CustomerContext
from app.domain.dead_letter import DeadLetter, dead_letter_id
from app.domain.decision import Decision, Reason
from app.errors import BrokerUnavailable, DatabaseUnavailable
from app.ports import Inbox, OutboundMessage, Publisher
from app.transport.consumer import EntryConsumer, FocusConsumer
from app.transport.metrics import Metrics
from app.transport.outbox import Outbox, Topics
from tests.builders import COUPON, NOW
from tests.transport.builders import (
    NAMES,
    TERMS,
    AskedCentral,
    CountingLog,
    FailingCache,
    FullInbox,
    HeldPublisher,
    Letter,
    ScoresByCoupon,
    Shop,
    context,
)

TOPICS = Topics("shop/prediction", "shop/focus/rejected", timedelta(hours=1))


class Bench:
    """A consumer at work: what it reads from, what it publishes to, what it counts."""

    def __init__(self, shop: Shop, publisher: Publisher) -> None:
        self._services = shop.services
        self.metrics = Metrics()
        self.outbox = Outbox(self._services, publisher, TOPICS, self.metrics, lambda problem: None, again_seconds=0)

    async def read_focus(self, inbox: Inbox) -> None:
        """Until the inbox is closed."""
        async with asyncio.timeout(5):
            await FocusConsumer(self._services, inbox, self.outbox, NAMES, self.metrics).run()

    async def read_entries(self, inbox: Inbox) -> None:
        """Until the inbox is closed."""
        async with asyncio.timeout(5):
            await EntryConsumer(self._services, inbox, self.outbox, self.metrics).run()

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"recommendation_{name}", labels)


class BrokenLog(CountingLog):
    """DecisionLog that cannot take the decisions on one customer's events."""

    async def record(
        self, decisions: Sequence[Decision], coupon_bodies: Mapping[bytes, bytes]
    ) -> Sequence[tuple[Decision, bool]]:
        if any(decision.event.customer_id == "8" for decision in decisions):
            raise ZeroDivisionError("8")
        return await super().record(decisions, coupon_bodies)


class AwayDeadLetterLog(MemoryDeadLetterLog):
    """DeadLetterLog that is away for the first `failures` of `record`."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._failures = failures

    async def record(self, letters: Sequence[DeadLetter]) -> Sequence[DeadLetter]:
        if self._failures:
            self._failures -= 1
            raise DatabaseUnavailable("away")
        return await super().record(letters)


def dead_letter_id_of(letter: Letter) -> UUID:
    message = letter.message
    return dead_letter_id(message.topic, message.payload, message.event_id, message.correlation_data)


def body(customer_id: str = "7", department: str = "Men", ts: int = 1) -> bytes:
    return orjson.dumps({"id": customer_id, "ts": ts, "dep": department})


def entry(customer_id: str) -> bytes:
    return orjson.dumps({"id": customer_id, "ts": 1})


def by_topic(published: Iterable[OutboundMessage], topic: str) -> list[bytes]:
    return [message.payload for message in published if message.topic == topic]


async def test_a_refused_event_becomes_one_dead_letter_and_is_acknowledged() -> None:
    broker = MemoryBroker()
    bench = Bench(Shop(), broker)
    broker.deliver("shop/focus", b"not json")
    broker.deliver("shop/focus", body())
    broker.close_inbox()

    await bench.read_focus(broker)
    await bench.outbox.flush()

    letter, result = broker.published
    assert (letter.topic, orjson.loads(letter.payload)["reason"]) == (TOPICS.dead_letter, "invalid_json")
    assert (result.topic, orjson.loads(result.payload)["coupon"]["id"]) == (TOPICS.prediction, "22")
    assert broker.acknowledged == [b"not json", body()]
    assert bench.count("events_total", kind="focus") == 2
    assert bench.count("dead_letters_total", reason="invalid_json") == 1
    assert bench.count("decisions_total", reason="offered", repeated="false") == 1


async def test_a_refused_event_is_in_the_log_with_all_that_its_dead_letter_says() -> None:
    shop, publisher = Shop(), HeldPublisher()
    letter = Letter(b'{"id": 7, "ts": 1}', correlation_data=b"\x01")

    await Bench(shop, publisher).read_focus(FullInbox(letter))

    (kept,) = await shop.dead_letters.record([DeadLetter(dead_letter_id_of(letter), "", "", None, None, b"", NOW)])
    assert replace(kept, body=b"") == DeadLetter(
        dead_letter_id_of(letter), "focus", "invalid_department", "7", b"\x01", b"", NOW
    )
    assert publisher.payloads == [kept.body]
    assert orjson.loads(kept.body) == {
        "reason": "invalid_department",
        "problems": [{"field": "dep", "code": "invalid_department", "detail": "is missing"}],
        "topic": "shop/focus",
        "payload": '{"id": 7, "ts": 1}',
        "payload_encoding": "utf-8",
        "payload_bytes": 18,
    }
    assert letter.acknowledgements == 0


async def test_refused_events_wait_for_the_database() -> None:
    shop, broker, letter = Shop(dead_letters=AwayDeadLetterLog(failures=3)), MemoryBroker(), Letter(b"not json")
    bench = Bench(shop, broker)

    with stamina.set_testing(True, attempts=10, cap=True):
        await bench.read_focus(FullInbox(letter))
        await bench.outbox.flush()

    assert letter.acknowledgements == 1
    assert len(broker.published) == 1
    assert bench.count("batch_retries_total", cause="database") == 3


async def test_a_refused_event_whose_connection_is_gone_is_left_to_come_again() -> None:
    shop, broker, letter = Shop(), MemoryBroker(), Letter(b"not json", is_live=lambda: False)

    await Bench(shop, broker).read_focus(FullInbox(letter))

    assert list(broker.published) == []
    assert letter.acknowledgements == 0


async def test_an_event_is_acknowledged_when_its_result_is_and_not_before() -> None:
    publisher, letter = HeldPublisher(), Letter(body())
    bench = Bench(Shop(), publisher)

    await bench.read_focus(FullInbox(letter))
    before = letter.acknowledgements
    publisher.futures[0].set_result(None)
    await bench.outbox.flush()

    assert (before, letter.acknowledgements) == (0, 1)
    assert bench.count("focus_event_seconds_count") == 1


async def test_an_event_whose_connection_was_lost_before_its_result_is_left_to_come_again() -> None:
    is_live = True
    shop, publisher, letter = Shop(), HeldPublisher(), Letter(body(), is_live=lambda: is_live)
    bench = Bench(shop, publisher)

    await bench.read_focus(FullInbox(letter))
    is_live = False
    publisher.futures[0].set_exception(BrokerUnavailable("lost"))
    await bench.outbox.flush()

    assert letter.acknowledgements == 0
    assert len(shop.log.inserted) == 1


async def test_an_event_that_comes_again_gets_the_same_bytes() -> None:
    shop, broker = Shop(), MemoryBroker()
    bench = Bench(shop, broker)
    await bench.read_focus(FullInbox(Letter(body())))
    shop.clock.now += timedelta(days=1)
    again = Letter(body())

    await bench.read_focus(FullInbox(again))
    await bench.outbox.flush()

    first, second = (message.payload for message in broker.published)
    assert first == second
    assert again.acknowledgements == 1
    assert len(shop.log.inserted) == 1
    assert bench.count("decisions_total", reason="offered", repeated="true") == 1


async def test_a_copy_whose_coupon_the_log_has_lost_contradicts_nothing() -> None:
    shop, broker, copy = Shop(), MemoryBroker(), Letter(body())
    await Bench(shop, broker).read_focus(FullInbox(Letter(body())))
    broker.published.clear()
    shop.put_on_sale(replace(COUPON, discount=99))
    shop.log.lose_coupons()

    with capture_logs() as logged:
        await Bench(shop, broker).read_focus(FullInbox(copy))

    assert list(broker.published) == []
    assert copy.acknowledgements == 1
    assert [line["event"] for line in logged] == ["result lost: the log has not its coupon"]


async def test_two_copies_in_one_batch_give_two_identical_messages_and_one_decision() -> None:
    shop, broker = Shop(), MemoryBroker()
    letters = [Letter(body()), Letter(body()), Letter(body(ts=2))]

    await Bench(shop, broker).read_focus(FullInbox(*letters))

    first, copy, other = (message.payload for message in broker.published)
    assert first == copy
    assert [decision.event.ts for decision in shop.log.inserted] == [1, 2]
    assert orjson.loads(other)["customer"] == {"id": "7"}


async def test_events_wait_for_the_database() -> None:
    shop, broker, letter = Shop(log=CountingLog(failures=3)), MemoryBroker(), Letter(body())
    shop.cache = FailingCache({"7": context("7")}, 3, DatabaseUnavailable("away"))
    bench = Bench(shop, broker)

    with stamina.set_testing(True, attempts=10, cap=True):
        await bench.read_focus(FullInbox(letter))
        await bench.outbox.flush()

    assert letter.acknowledgements == 1
    assert len(broker.published) == len(shop.log.inserted) == 1
    assert bench.count("batch_retries_total", cause="database") == 6


async def test_entry_events_wait_for_the_database() -> None:
    shop, letter = Shop(central=AskedCentral(context("7", age=50))), Letter(entry("7"))
    shop.cache = FailingCache({}, 3, DatabaseUnavailable("away"))
    bench = Bench(shop, MemoryBroker())

    with stamina.set_testing(True, attempts=10, cap=True):
        await bench.read_entries(FullInbox(letter))

    assert letter.acknowledgements == 1
    assert bench.count("entries_total", source="central") == 1
    assert (await shop.cache.read(["7"]))["7"].context.age == 50


async def test_the_event_that_breaks_the_handler_is_refused_and_the_rest_of_its_batch_decided() -> None:
    shop, broker = Shop(scorer=ScoresByCoupon(faulty=["8"])), MemoryBroker()
    letters = [Letter(body("7")), Letter(body("8")), Letter(body("7", ts=2))]
    bench = Bench(shop, broker)

    await bench.read_focus(FullInbox(*letters))
    await bench.outbox.flush()

    (letter,) = by_topic(broker.published, TOPICS.dead_letter)
    assert orjson.loads(letter)["reason"] == "internal_error"
    assert orjson.loads(letter)["payload"] == body("8").decode()
    assert len(by_topic(broker.published, TOPICS.prediction)) == 2
    assert [one.acknowledgements for one in letters] == [1, 1, 1]
    assert [decision.event.ts for decision in shop.log.inserted] == [1, 2]


async def test_a_fault_in_recording_is_told_by_a_dead_letter_as_well() -> None:
    shop, broker = Shop(log=BrokenLog()), MemoryBroker()

    await Bench(shop, broker).read_focus(FullInbox(Letter(body("7")), Letter(body("8"))))

    assert len(by_topic(broker.published, TOPICS.dead_letter)) == 1
    assert [decision.event.customer_id for decision in shop.log.inserted] == ["7"]


async def test_a_message_whose_connection_is_gone_is_not_decided() -> None:
    shop, broker = Shop(), MemoryBroker()
    gone, here = Letter(body(ts=1), is_live=lambda: False), Letter(body(ts=2))
    bench = Bench(shop, broker)

    await bench.read_focus(FullInbox(gone, here))
    await bench.read_focus(FullInbox(gone))
    await bench.outbox.flush()

    assert [decision.event.ts for decision in shop.log.inserted] == [2]
    assert (gone.acknowledgements, here.acknowledgements) == (0, 1)


async def test_a_result_is_not_published_for_a_message_whose_connection_was_lost_meanwhile() -> None:
    shop, broker = Shop(), MemoryBroker()
    liveness = [True, False]
    letter = Letter(body(), is_live=lambda: liveness.pop(0))

    await Bench(shop, broker).read_focus(FullInbox(letter))

    assert len(shop.log.inserted) == 1
    assert list(broker.published) == []
    assert letter.acknowledgements == 0


async def test_customers_not_known_here_do_not_hold_up_the_others() -> None:
    central = AskedCentral(context("new"))
    central.answers.clear()
    shop, broker = Shop(central=central), MemoryBroker()
    known, unknown = Letter(body("7")), Letter(body("new"))
    bench = Bench(shop, broker)

    consumer = asyncio.create_task(bench.read_focus(FullInbox(unknown, known)))
    async with asyncio.timeout(5):
        await known.is_acknowledged.wait()
    while_asking = (unknown.acknowledgements, consumer.done())
    central.answers.set()
    await consumer
    await bench.outbox.flush()

    assert while_asking == (0, False)
    assert unknown.acknowledgements == 1
    assert [decision.event.customer_id for decision in shop.log.inserted] == ["7", "new"]
    assert shop.log.inserted[1].basis.context == context("new")


async def test_an_event_of_a_customer_nobody_knows_is_decided_on_the_defaults() -> None:
    shop, letter = Shop(), Letter(body("nobody"))
    bench = Bench(shop, MemoryBroker())

    await bench.read_focus(FullInbox(letter))
    await bench.outbox.flush()

    assert letter.acknowledgements == 1
    assert shop.log.inserted[0].outcome.reason is Reason.UNKNOWN_CUSTOMER
    assert shop.log.inserted[0].basis.context == replace(TERMS.unknown_customer, customer_id="nobody")


async def test_a_copy_of_an_event_that_was_decided_without_a_context_asks_nobody_again() -> None:
    shop, broker = Shop(), MemoryBroker()
    first, copy, other = Letter(body("nobody")), Letter(body("nobody")), Letter(body("nobody", ts=2))
    bench = Bench(shop, broker)

    await bench.read_focus(FullInbox(first))
    await bench.read_focus(FullInbox(copy, other))
    await bench.outbox.flush()

    assert shop.central.asked == ["nobody", "nobody"]
    assert [one.acknowledgements for one in (first, copy, other)] == [1, 1, 1]
    assert broker.published[0].payload == broker.published[1].payload
    assert [decision.event.ts for decision in shop.log.inserted] == [1, 2]
    assert bench.count("decisions_total", reason="unknown_customer", repeated="true") == 1


async def test_a_fault_while_asking_the_central_is_told_by_a_dead_letter() -> None:
    shop, broker = Shop(scorer=ScoresByCoupon(faulty=["nobody"])), MemoryBroker()
    faulty, other = Letter(body("nobody")), Letter(body("nobody either"))
    bench = Bench(shop, broker)

    await bench.read_focus(FullInbox(faulty, other))
    await bench.outbox.flush()

    assert len(by_topic(broker.published, TOPICS.dead_letter)) == 1
    assert (faulty.acknowledgements, other.acknowledgements) == (1, 1)
    assert [decision.event.customer_id for decision in shop.log.inserted] == ["nobody either"]


async def test_a_decision_without_an_offer_is_acknowledged_without_a_message() -> None:
    broker, letter = MemoryBroker(), Letter(body(department="Garden"))
    bench = Bench(Shop(), broker)

    await bench.read_focus(FullInbox(letter))

    assert letter.acknowledgements == 1
    assert list(broker.published) == []
    assert bench.count("decisions_total", reason="no_candidates", repeated="false") == 1


async def test_a_decision_without_an_offer_is_published_with_its_reason_where_that_is_asked_for() -> None:
    broker, letter = MemoryBroker(), Letter(body(department="Garden"))
    bench = Bench(Shop(terms=replace(TERMS, publishes_empty=True)), broker)

    await bench.read_focus(FullInbox(letter))
    await bench.outbox.flush()

    (message,) = broker.published
    result = orjson.loads(message.payload)
    assert (message.topic, result["coupon"], result["reason"]) == (TOPICS.prediction, None, "no_candidates")
    assert letter.acknowledgements == 1


async def test_an_entry_event_leaves_the_context_in_the_cache() -> None:
    shop, broker = Shop(central=AskedCentral(context("new"))), MemoryBroker()
    bench = Bench(shop, broker)
    broker.deliver("shop/entry", entry("new"))
    broker.deliver("shop/entry", b'{"id": true, "ts": 1}')
    broker.close_inbox()

    await bench.read_entries(broker)
    await bench.outbox.flush()

    assert (await shop.cache.read(["new"]))["new"].context == context("new")
    assert sorted(broker.acknowledged) == sorted([entry("new"), b'{"id": true, "ts": 1}'])
    (message,) = broker.published
    assert message.topic == TOPICS.dead_letter
    assert (orjson.loads(message.payload)["reason"], orjson.loads(message.payload)["topic"]) == (
        "invalid_customer_id",
        "shop/entry",
    )


async def test_an_entry_event_that_breaks_the_handler_is_refused_and_the_others_handled() -> None:
    class BrokenCentral(AskedCentral):
        async def fetch(self, customer_id: str) -> CustomerContext:
            if customer_id == "bad":
                raise ZeroDivisionError(customer_id)
            return context(customer_id)

    shop, broker = Shop(central=BrokenCentral()), MemoryBroker()
    letters = [Letter(entry("bad")), Letter(entry("new"))]
    bench = Bench(shop, broker)

    await bench.read_entries(FullInbox(*letters))
    await bench.outbox.flush()

    assert (await shop.cache.read(["new", "bad"])).keys() == {"new"}
    assert [one.acknowledgements for one in letters] == [1, 1]
    assert [orjson.loads(message.payload)["reason"] for message in broker.published] == ["internal_error"]
