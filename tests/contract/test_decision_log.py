"""What every DecisionLog does: the one in memory, and the one in PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.adapters.memory import MAX_DECISIONS, MemoryDecisionLog
from app.adapters.postgres.database import Database
from app.adapters.postgres.decisions import PostgresDecisionLog
from app.adapters.postgres.partitions import ensure_partitions
from app.domain.customer import ContextSource, Gender
from app.domain.decision import Basis, Decision, NoOffer, Offer, Reason
from app.domain.event import FocusEvent
from app.errors import DatabaseUnavailable
from app.ports import DecisionLog
from tests.builders import ANNA, FOCUS, NOW, TODAY

HASH, BODY = b"\x00\xff" * 8, b'{"id":"22"}'
OTHER_HASH, OTHER_BODY = b"other" * 3, b'{"id":"23"}'
BODIES = {HASH: BODY}
EVERYTHING = 1000
LONG_AGO, LATER = NOW - timedelta(days=9000), NOW + timedelta(days=1)
PATIENCE_SECONDS = 10.0
GROW = """
INSERT INTO decision (event_day, decision_id, customer_id, event_ts, department, department_asked, reason,
                      is_to_be_published, decided_at, decided_on, context, context_source, catalogue_version, scorer,
                      model_version, threshold, deployment, seed)
SELECT $1, gen_random_uuid(), '1', 1, 'a', 'a', 'offered', false, now(), $1, '{}', 'cache', 'v', 's', 'm', 0, 'd', 1
FROM generate_series(1, 20000)
"""
SEQUENTIAL_READS = f"SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'decision_{TODAY:%Y%m%d}'"
TELL_STATISTICS = "SELECT pg_stat_force_next_flush()"

BASIS = Basis(
    decided_at=NOW.replace(microsecond=123456),
    today=TODAY,
    context=ANNA,
    context_source=ContextSource.CACHE,
    catalogue_version="0123456789abcdef",
    scorer="in_process",
    model_version="logistic-1",
    threshold=0.125,
    deployment="default@logistic-1",
    seed=2**63 - 1,
)
OFFER = Offer("22", score=0.610878342612345, propensity=1.0, reason=Reason.OFFERED)


def decided(event: FocusEvent = FOCUS, outcome: Offer | NoOffer = OFFER, at: datetime = BASIS.decided_at) -> Decision:
    key = HASH if isinstance(outcome, Offer) else None
    return Decision(
        event.decision_id, event, outcome, replace(BASIS, decided_at=at), key, is_to_be_published=key is not None
    )


def events(count: int) -> list[FocusEvent]:
    return [replace(FOCUS, customer_id=str(number)) for number in range(count)]


async def waiting(log: DecisionLog, since: datetime = LONG_AGO, before: datetime = LATER) -> Sequence[Decision]:
    async with log.unpublished(since, before, EVERYTHING) as decisions:
        return list(decisions)


@pytest.fixture
def memory_logs() -> tuple[DecisionLog, DecisionLog]:
    log = MemoryDecisionLog()
    return log, log


@pytest.fixture
async def postgres_logs(database_url: str) -> AsyncIterator[tuple[DecisionLog, DecisionLog]]:
    async with Database.open(database_url, size=3) as one, Database.open(database_url, size=3) as other:
        yield PostgresDecisionLog(one), PostgresDecisionLog(other)


@pytest.fixture(params=["memory_logs", "postgres_logs"])
def logs(request: pytest.FixtureRequest) -> tuple[DecisionLog, DecisionLog]:
    """The same log, as two instances of the service see it."""
    both: tuple[DecisionLog, DecisionLog] = request.getfixturevalue(request.param)
    return both


@pytest.fixture
def log(logs: tuple[DecisionLog, DecisionLog]) -> DecisionLog:
    return logs[0]


async def test_a_new_decision_is_new(log: DecisionLog) -> None:
    assert list(await log.record([decided()], BODIES)) == [(decided(), True)]


async def test_a_decision_made_again_is_answered_with_the_first(logs: tuple[DecisionLog, DecisionLog]) -> None:
    again = decided(outcome=NoOffer(Reason.BELOW_THRESHOLD, 0.1), at=NOW + timedelta(hours=1))
    await logs[0].record([decided()], BODIES)

    assert [list(await log.record([again], {})) for log in logs] == [[(decided(), False)], [(decided(), False)]]


async def test_the_second_copy_in_a_batch_is_not_new(log: DecisionLog) -> None:
    first, second, other = decided(), decided(outcome=NoOffer(Reason.BELOW_THRESHOLD)), decided(events(1)[0])

    assert list(await log.record([first, other, second], BODIES)) == [(first, True), (other, True), (first, False)]


async def test_copies_that_their_sender_named_alike_are_one_decision(log: DecisionLog) -> None:
    named = replace(FOCUS, event_id="camera-7/42")
    resent = replace(named, ts=FOCUS.ts + 1, x=1.0)
    await log.record([decided(named)], BODIES)

    assert list(await log.record([decided(resent)], BODIES)) == [(decided(named), False)]


@pytest.mark.parametrize(
    "name", [{"event_id": "camera-7/42"}, {"correlation_data": b"\x2a"}], ids=["event id", "correlation"]
)
async def test_a_copy_of_a_named_event_finds_its_decision_whatever_day_it_names(
    logs: tuple[DecisionLog, DecisionLog], name: dict[str, Any]
) -> None:
    named = replace(FOCUS, **name)
    resent = replace(named, ts=1, x=1.0)
    await logs[0].record([decided(named)], BODIES)

    ((found, is_new),) = await logs[1].record([decided(resent)], BODIES)
    await logs[1].mark_published([found])

    assert (found, is_new) == (decided(named), False)
    assert await waiting(logs[0]) == []


async def test_copies_of_a_named_event_that_name_different_days_are_decided_once_at_the_same_time(
    logs: tuple[DecisionLog, DecisionLog],
) -> None:
    copies = [
        decided(replace(FOCUS, event_id=f"camera-{number}", ts=day)) for number in range(20) for day in (1, FOCUS.ts)
    ]

    one, other = await asyncio.gather(
        logs[0].record(copies[::2], BODIES), logs[1].record(list(reversed(copies[1::2])), BODIES)
    )

    assert [found for found, _ in one] == [found for found, _ in reversed(list(other))]
    assert sum(is_new for _, is_new in (*one, *other)) == 20


async def test_new_and_repeated_decisions_are_answered_in_the_order_given(log: DecisionLog) -> None:
    decisions = [decided(event) for event in events(6)]
    await log.record(decisions[::2], BODIES)

    answers = await log.record(decisions[::-1], BODIES)

    assert list(answers) == [(decision, index % 2 == 1) for index, decision in enumerate(decisions)][::-1]


async def test_nothing_to_record_is_nothing_recorded(log: DecisionLog) -> None:
    assert list(await log.record([], {})) == []


async def test_two_instances_that_decide_at_once_agree(logs: tuple[DecisionLog, DecisionLog]) -> None:
    shared = events(50)
    mine = [decided(event) for event in shared]
    theirs = [decided(event, NoOffer(Reason.BELOW_THRESHOLD, 0.1)) for event in reversed(shared)]

    one, other = await asyncio.gather(logs[0].record(mine, BODIES), logs[1].record(theirs, {}))

    assert [decision for decision, _ in one] == [decision for decision, _ in reversed(other)]
    assert [is_new for _, is_new in one] == [not is_new for _, is_new in reversed(other)]


async def test_many_instances_that_decide_at_once_decide_once(logs: tuple[DecisionLog, DecisionLog]) -> None:
    racing = [logs[index % 2].record([decided(outcome=replace(OFFER, score=index / 8))], BODIES) for index in range(8)]

    answers = [answer for (answer,) in await asyncio.gather(*racing)]

    assert len({decision.outcome for decision, _ in answers}) == 1
    assert sorted(is_new for _, is_new in answers) == [False] * 7 + [True]


@pytest.mark.parametrize(
    "decision",
    [
        pytest.param(decided(), id="an offer"),
        pytest.param(
            decided(
                FocusEvent("ü '\"\\", 192322800, "Sports", "sport", -10.25, 1e308, "camera-7/42 ü", b"\x00\xff\x80"),
            ),
            id="an event with everything",
        ),
        pytest.param(decided(outcome=NoOffer(Reason.BELOW_THRESHOLD, 0.05)), id="no offer, with the best score"),
        pytest.param(decided(outcome=NoOffer(Reason.NO_CANDIDATES)), id="no offer, without a score"),
        pytest.param(decided(outcome=replace(OFFER, reason=Reason.UNKNOWN_CUSTOMER, propensity=0.25)), id="explored"),
        pytest.param(
            replace(decided(outcome=NoOffer(Reason.LATE_EVENT)), is_to_be_published=True), id="an empty result"
        ),
        pytest.param(decided(replace(FOCUS, ts=0)), id="the first second"),
        pytest.param(decided(replace(FOCUS, ts=253402300799)), id="the last second"),
        pytest.param(
            replace(
                decided(),
                basis=replace(
                    BASIS,
                    context=replace(ANNA, gender=Gender.UNKNOWN, mean_buy_price=1e300, mean_discount_received=0.1),
                    context_source=ContextSource.STALE,
                    seed=0,
                    threshold=1 / 3,
                ),
            ),
            id="odd figures",
        ),
    ],
)
async def test_every_field_comes_back(logs: tuple[DecisionLog, DecisionLog], decision: Decision) -> None:
    copy = decided(decision.event, NoOffer(Reason.ALL_INELIGIBLE), NOW + timedelta(days=1))
    await logs[0].record([decision], BODIES)

    assert list(await logs[1].record([copy], {})) == [(decision, False)]


@pytest.mark.parametrize("reason", Reason)
async def test_every_reason_comes_back(log: DecisionLog, reason: Reason) -> None:
    decision = decided(outcome=NoOffer(reason))
    await log.record([decision], {})

    ((found, _),) = await log.record([decision], {})

    assert found.outcome == NoOffer(reason)


async def test_keeps_encoded_coupons_by_their_hashes(logs: tuple[DecisionLog, DecisionLog]) -> None:
    await logs[0].record([decided()], BODIES)
    await logs[0].record([decided(events(1)[0])], BODIES | {OTHER_HASH: OTHER_BODY})

    assert dict(await logs[1].coupon_bodies([HASH, OTHER_HASH])) == {HASH: BODY, OTHER_HASH: OTHER_BODY}


async def test_leaves_out_coupons_that_were_never_encoded(log: DecisionLog) -> None:
    await log.record([decided()], BODIES)

    assert dict(await log.coupon_bodies([HASH, OTHER_HASH])) == BODIES
    assert dict(await log.coupon_bodies([])) == {}


async def test_a_result_waits_until_it_is_published(logs: tuple[DecisionLog, DecisionLog]) -> None:
    one, other = (decided(event) for event in events(2))
    await logs[0].record([one, other], BODIES)
    assert len(await waiting(logs[1])) == 2

    await logs[0].mark_published([one])

    assert await waiting(logs[1]) == [other]


async def test_what_is_published_stays_published(log: DecisionLog) -> None:
    await log.record([decided()], BODIES)
    await log.mark_published([decided()])
    await log.mark_published([decided()])
    await log.record([decided()], BODIES)

    assert await waiting(log) == []


async def test_marking_nothing_or_nothing_known_changes_nothing(log: DecisionLog) -> None:
    await log.record([decided()], BODIES)
    await log.mark_published([])
    await log.mark_published([decided(events(1)[0])])

    assert await waiting(log) == [decided()]


async def test_a_decision_without_a_result_never_waits(log: DecisionLog) -> None:
    await log.record([decided(outcome=NoOffer(Reason.BELOW_THRESHOLD))], {})

    assert await waiting(log) == []


async def test_hands_out_the_oldest_first_up_to_the_limit(log: DecisionLog) -> None:
    decisions = [decided(event, at=NOW - timedelta(seconds=index)) for index, event in enumerate(events(5))]
    await log.record(decisions, BODIES)

    async with log.unpublished(LONG_AGO, LATER, 3) as found:
        assert list(found) == decisions[:1:-1]


async def test_hands_out_only_what_was_decided_in_the_time_asked_for(log: DecisionLog) -> None:
    decisions = [decided(event, at=NOW + timedelta(seconds=index)) for index, event in enumerate(events(4))]
    await log.record(decisions, BODIES)

    assert await waiting(log, NOW + timedelta(seconds=1), NOW + timedelta(seconds=3)) == decisions[1:3]


async def test_can_be_told_what_was_published_while_it_hands_out(log: DecisionLog) -> None:
    await log.record([decided()], BODIES)

    async with log.unpublished(LONG_AGO, LATER, EVERYTHING) as found:
        await log.mark_published(found)

    assert await waiting(log) == []


async def test_in_memory_the_oldest_decisions_are_forgotten() -> None:
    log = MemoryDecisionLog()
    first, *others = [replace(decided(), decision_id=UUID(int=number)) for number in range(MAX_DECISIONS + 1)]
    await log.record([first], BODIES)
    await log.record(others, BODIES)

    assert list(await log.record([first], BODIES)) == [(first, True)]


async def test_in_postgres_one_instance_at_a_time_hands_out(postgres_logs: tuple[DecisionLog, DecisionLog]) -> None:
    one, other = postgres_logs
    await one.record([decided()], BODIES)

    async with one.unpublished(LONG_AGO, LATER, EVERYTHING) as found:
        assert list(found) == [decided()]
        assert await waiting(other) == []

    assert await waiting(other) == [decided()]


async def test_in_postgres_who_fails_while_handing_out_lets_others(
    postgres_logs: tuple[DecisionLog, DecisionLog],
) -> None:
    one, other = postgres_logs
    await one.record([decided()], BODIES)

    with pytest.raises(LookupError):
        async with one.unpublished(LONG_AGO, LATER, EVERYTHING):
            raise LookupError

    assert await waiting(other) == [decided()]


async def test_in_postgres_instances_never_wait_for_each_other_in_a_circle(
    postgres_logs: tuple[DecisionLog, DecisionLog], connection: asyncpg.Connection
) -> None:
    decisions = sorted((decided(event) for event in events(3)), key=lambda one: one.decision_id)
    await postgres_logs[0].record([decisions[1]], BODIES)

    async with connection.transaction(), asyncio.timeout(PATIENCE_SECONDS):
        await connection.execute("DELETE FROM decision")  # whoever comes to the second decision waits for this
        batches = zip(postgres_logs, (decisions, decisions[::-1]), strict=True)
        racing = [asyncio.create_task(log.record(batch, BODIES)) for log, batch in batches]
        while await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < len(racing):
            pass
    one, other = await asyncio.gather(*racing)

    assert [decision for decision, _ in one] == [decision for decision, _ in reversed(other)] == decisions
    assert [is_new for _, is_new in one] == [not is_new for _, is_new in reversed(other)]


@pytest.mark.parametrize(
    ("ts", "table"),
    [(FOCUS.ts, f"decision_{TODAY:%Y%m%d}"), (192322800, "decision_other_days"), (253402300799, "decision_other_days")],
)
async def test_in_postgres_a_day_without_a_partition_goes_to_the_other_days(
    postgres_logs: tuple[DecisionLog, DecisionLog], connection: asyncpg.Connection, ts: int, table: str
) -> None:
    await ensure_partitions(connection, TODAY)
    await postgres_logs[0].record([decided(replace(FOCUS, ts=ts))], BODIES)

    assert await connection.fetchval("SELECT tableoid::regclass::text FROM decision") == table


async def test_in_postgres_a_decision_that_moves_to_its_days_partition_is_still_the_same(
    postgres_logs: tuple[DecisionLog, DecisionLog], connection: asyncpg.Connection
) -> None:
    early = decided(replace(FOCUS, ts=0))
    await postgres_logs[0].record([early], BODIES)
    await ensure_partitions(connection, early.event.day)

    assert await connection.fetchval("SELECT tableoid::regclass::text FROM decision") == "decision_19700101"
    assert list(await postgres_logs[1].record([early], BODIES)) == [(early, False)]


async def test_in_postgres_a_name_whose_decision_is_kept_no_longer_names_a_new_one(
    postgres_logs: tuple[DecisionLog, DecisionLog], connection: asyncpg.Connection
) -> None:
    first, again, copy = (decided(replace(FOCUS, event_id="camera-7/42", ts=ts)) for ts in (FOCUS.ts, 1, 192322800))
    await postgres_logs[0].record([first], BODIES)
    await connection.execute("DELETE FROM decision")  # as retention does, day by day

    recorded = [list(await log.record([one], BODIES)) for log, one in zip(postgres_logs, (again, copy), strict=True)]

    assert recorded == [[(again, True)], [(again, False)]]
    assert await postgres_logs[0].find(again.decision_id) == again


async def test_a_database_that_is_away_is_reported() -> None:
    async with Database.open("postgresql://someone:secret@127.0.0.1:1/shop", size=2) as database:
        log = PostgresDecisionLog(database)

        with pytest.raises(DatabaseUnavailable):
            await log.record([decided()], BODIES)
        with pytest.raises(DatabaseUnavailable):
            await log.mark_published([decided()])
        with pytest.raises(DatabaseUnavailable):
            await waiting(log)


async def test_a_decision_is_found_by_its_id_whatever_its_day(logs: tuple[DecisionLog, DecisionLog]) -> None:
    days = [replace(FOCUS, ts=ts) for ts in (0, 1, 86_400, FOCUS.ts, FOCUS.ts + 86_400, 4_000_000_000)]
    named = replace(FOCUS, event_id="camera-7/looked-up", ts=100_000_000)
    decisions = [decided(event) for event in [*days, named]]
    await logs[0].record(decisions, BODIES)

    assert [await logs[1].find(one.decision_id) for one in decisions] == decisions


async def test_a_decision_that_was_never_made_is_not_found(log: DecisionLog) -> None:
    empty = await log.find(UUID(int=1))
    await log.record([decided()], BODIES)

    assert (empty, await log.find(UUID(int=1))) == (None, None)


async def test_the_decisions_for_a_customer_come_newest_first_and_so_many(log: DecisionLog) -> None:
    made = [decided(replace(FOCUS, ts=ts), at=NOW + timedelta(seconds=ts)) for ts in (3, 1, 200_000, 2)]
    await log.record([*made, decided(events(1)[0])], BODIES)

    newest_first = [made[2], made[0], made[3], made[1]]
    assert list(await log.of_customer(FOCUS.customer_id, EVERYTHING)) == newest_first
    assert list(await log.of_customer(FOCUS.customer_id, 2)) == newest_first[:2]
    assert list(await log.of_customer("nobody", EVERYTHING)) == []


async def test_decisions_are_found_by_their_events(logs: tuple[DecisionLog, DecisionLog]) -> None:
    named = replace(FOCUS, event_id="camera-1")
    decisions = [decided(), decided(named), decided(replace(FOCUS, ts=192322800))]
    await logs[0].record(decisions, BODIES)
    copies = [FOCUS, replace(named, ts=FOCUS.ts + 90 * 24 * 3600), replace(FOCUS, ts=192322800), events(1)[0]]

    found = await logs[1].recorded(copies)

    assert found == {decision.decision_id: decision for decision in decisions}


async def test_in_postgres_a_log_that_has_grown_is_still_read_by_its_key(database_url: str) -> None:
    async with Database.open(database_url, size=1) as database:
        log = PostgresDecisionLog(database)
        async with database.connection() as connection:
            await ensure_partitions(connection, TODAY)
            await connection.execute("ANALYZE decision")
        for event in events(8):  # PostgreSQL would keep the plan of the sixth time
            await log.mark_published([decided(event)])
            await log.recorded([event])
        async with database.connection() as connection:
            await connection.execute(GROW, TODAY)
            await connection.execute(TELL_STATISTICS)
            before = await connection.fetchval(SEQUENTIAL_READS)

        await log.mark_published([decided()])
        await log.recorded(events(3))

        async with database.connection() as connection:
            await connection.execute(TELL_STATISTICS)
            assert await connection.fetchval(SEQUENTIAL_READS) == before


async def test_the_decisions_of_a_day_come_page_by_page_in_the_order_of_their_ids(log: DecisionLog) -> None:
    today = sorted((decided(event) for event in events(7)), key=lambda one: one.decision_id)
    tomorrow = [decided(replace(event, ts=event.ts + 86_400)) for event in events(3)]
    await log.record([*today[::-1], *tomorrow], BODIES)

    first = await log.of_day(TODAY, None, 4)
    second = await log.of_day(TODAY, first[-1].decision_id, 4)

    assert [*first, *second] == today
    assert list(await log.of_day(TODAY, second[-1].decision_id, 4)) == []
    assert list(await log.of_day(TODAY - timedelta(days=1), None, 4)) == []
