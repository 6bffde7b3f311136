"""What the service does with events, with every port in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

import orjson
import pytest

from app.domain.coupon import Coupon
from app.domain.customer import ContextSource, CustomerContext
from app.domain.decision import Decision, NoOffer, Offer, Reason, Verdict
from app.domain.eligibility import Refusal
from app.domain.event import EntryEvent, FocusEvent
from app.handlers import (
    Decided,
    Entered,
    Gathered,
    NotRemade,
    Services,
    decide_batch,
    encode_again,
    gather,
    gather_from_central,
    handle_entries,
    outbound,
    remake,
)
from app.ports import CachedContext, OutboundMessage
from tests.builders import COUPON, NOW
from tests.transport.builders import DEFAULTS, TERMS, TTL, AskedCentral, Shop, context, focus, on

EXPIRED = replace(COUPON, coupon_id="9", end_date=date(2026, 6, 14))


def entry(customer_id: str = "7") -> EntryEvent:
    return EntryEvent(customer_id, 1_000_000)


async def cached(shop: Shop, one: CustomerContext, age: timedelta) -> None:
    """Put what the central said so long ago into the cache."""
    await shop.cache.write([one], NOW - age)


async def decided(services: Services, *events: FocusEvent) -> list[Decided]:
    return await decide_batch(services, on(events))


def essence(answers: Sequence[Decided]) -> list[tuple[Decision, bytes, bool]]:
    return [(one.decision, result_of(one), one.is_repeated) for one in answers]


def result_of(answer: Decided) -> bytes:
    assert answer.result is not None
    return answer.result


async def test_a_fresh_context_is_not_fetched_again() -> None:
    shop = Shop(central=AskedCentral(context("7", age=42)))
    await cached(shop, context("7", age=41), TTL)

    answer = await handle_entries(shop.services, [entry()])

    assert answer == [Entered(entry(), context("7", age=41), ContextSource.CACHE)]
    assert shop.central.asked == []


@pytest.mark.parametrize("is_dry_run", [False, True])
async def test_the_model_is_told_what_is_known_of_those_who_come_in(is_dry_run: bool) -> None:
    shop = Shop(central=AskedCentral(context("7"), context("8")))
    told: list[CustomerContext] = []
    services = replace(shop.services, expect=told.extend)

    await handle_entries(services, [entry("7"), entry("8")], is_dry_run=is_dry_run)

    assert sorted(one.customer_id for one in told) == ([] if is_dry_run else ["7", "8"])


async def test_an_expired_context_is_fetched_and_cached() -> None:
    shop = Shop(central=AskedCentral(context("7", age=42)))
    await cached(shop, context("7", age=41), TTL + timedelta(seconds=1))

    answer = await handle_entries(shop.services, [entry()])

    assert answer == [Entered(entry(), context("7", age=42), ContextSource.CENTRAL)]
    assert await shop.cache.read(["7"]) == {"7": CachedContext(context("7", age=42), NOW)}


async def test_a_context_that_was_loaded_from_a_file_is_fetched() -> None:
    shop = Shop(central=AskedCentral(context("7", age=42)))

    answer = await handle_entries(shop.services, [entry()])

    assert answer == [Entered(entry(), context("7", age=42), ContextSource.CENTRAL)]


async def test_the_stale_context_serves_while_the_central_is_away() -> None:
    shop = Shop()
    shop.central.is_away = True
    await cached(shop, context("7"), TTL * 2)

    answer = await handle_entries(shop.services, [entry()])

    assert answer == [Entered(entry(), context("7"), ContextSource.STALE)]
    assert await shop.cache.read(["7"]) == {"7": CachedContext(context("7"), NOW - TTL * 2)}


async def test_a_context_serves_on_that_the_central_has_forgotten() -> None:
    shop = Shop()

    answer = await handle_entries(shop.services, [entry()])

    assert answer == [Entered(entry(), context("7"), ContextSource.STALE)]


async def test_without_a_central_the_cache_alone_serves() -> None:
    shop = Shop()
    await cached(shop, context("7"), TTL * 2)

    answer = await handle_entries(replace(shop.services, central=None), [entry("7"), entry("new")])

    assert answer == [
        Entered(entry("7"), context("7"), ContextSource.CACHE),
        Entered(entry("new"), replace(DEFAULTS, customer_id="new"), ContextSource.DEFAULTS),
    ]


@pytest.mark.parametrize("is_away", [False, True])
async def test_the_unknown_customer_gets_the_defaults_under_their_own_id(is_away: bool) -> None:
    shop = Shop()
    shop.central.is_away = is_away

    answer = await handle_entries(shop.services, [entry("new")])

    assert answer == [Entered(entry("new"), replace(DEFAULTS, customer_id="new"), ContextSource.DEFAULTS)]
    assert await shop.cache.read(["new"]) == {}


async def test_a_customer_is_fetched_once_for_all_their_entries_in_a_batch() -> None:
    shop = Shop(central=AskedCentral(context("7", age=42), context("8", age=43)))

    answer = await handle_entries(shop.services, [entry("7"), entry("8"), entry("7")])

    assert [one.context.age for one in answer] == [42, 43, 42]
    assert sorted(shop.central.asked) == ["7", "8"]


async def test_gathering_tells_customers_who_are_known_here_from_the_others() -> None:
    shop = Shop()
    await cached(shop, context("8"), TTL * 2)
    events = [focus("7"), focus("new"), focus("8")]

    known, unknown = await gather(shop.services, events)

    assert known == [
        Gathered(events[0], context("7"), ContextSource.CACHE),
        Gathered(events[2], context("8"), ContextSource.STALE),
    ]
    assert unknown == [events[1]]
    assert shop.central.asked == []


async def test_the_central_is_asked_once_for_a_customer_not_known_here() -> None:
    shop = Shop(central=AskedCentral(context("new")))
    events = [focus("new"), focus("nobody"), focus("new", ts=2)]

    gathered = await gather_from_central(shop.services, events)

    assert gathered == [
        Gathered(events[0], context("new"), ContextSource.CENTRAL),
        Gathered(events[1], replace(DEFAULTS, customer_id="nobody"), ContextSource.DEFAULTS),
        Gathered(events[2], context("new"), ContextSource.CENTRAL),
    ]
    assert sorted(shop.central.asked) == ["new", "nobody"]
    assert await gather(shop.services, events[:1]) == ([Gathered(events[0], context("new"), ContextSource.CACHE)], [])


async def test_a_dry_run_leaves_the_cache_as_it_is() -> None:
    shop = Shop(central=AskedCentral(context("new")))

    gathered = await gather_from_central(shop.services, [focus("new")], is_dry_run=True)

    assert gathered == [Gathered(focus("new"), context("new"), ContextSource.CENTRAL)]
    assert await shop.cache.read(["new"]) == {}


async def test_a_batch_decides_as_its_events_alone_would() -> None:
    events = [
        focus("7"),
        focus("8", "Garden"),
        focus("8", "Sports", asked="Sport"),
        focus("7", ts=5),
        focus("7"),
        focus("new"),
    ]
    coupons = [COUPON, replace(COUPON, coupon_id="2", department="Sports"), EXPIRED]
    together, alone = Shop(coupons), Shop(coupons)

    batch = await decided(together.services, *events)
    singles = [one for event in events for one in await decided(alone.services, event)]

    assert essence(batch) == essence(singles)
    assert together.log.inserted == alone.log.inserted
    assert [one.is_repeated for one in batch] == [False, False, False, False, True, False]


async def test_the_best_coupon_is_offered_with_what_the_decision_was_made_from() -> None:
    shop = Shop([COUPON, replace(COUPON, coupon_id="2")])
    shop.scorer.scores = {"22": 0.6, "2": 0.7}

    (answer,) = await decided(shop.services, focus())

    decision = answer.decision
    assert decision.outcome == Offer("2", 0.7, 1.0, Reason.OFFERED)
    assert decision.is_to_be_published
    assert decision.basis.context == context("7")
    assert (decision.basis.catalogue_version, decision.basis.model_version) == (
        shop.catalogue.current.version,
        "model@1",
    )
    assert (decision.basis.decided_at, decision.basis.today) == (NOW, NOW.date())
    assert orjson.loads(result_of(answer))["coupon"]["id"] == "2"
    assert shop.log.inserted == [decision]


async def test_the_department_is_spelled_as_the_event_spelled_it() -> None:
    shop = Shop([replace(COUPON, department="Sports")])

    (answer,) = await decided(shop.services, focus(department="Sports", asked="Sport"))

    assert orjson.loads(result_of(answer))["coupon"]["department"] == "Sport"


async def test_a_repeated_event_gives_the_same_bytes_after_the_catalogue_has_changed() -> None:
    shop = Shop()
    services = shop.services
    (first,) = await decided(services, focus())
    shop.put_on_sale(replace(COUPON, discount=99), replace(COUPON, coupon_id="2"))
    shop.scorer.scores = {"2": 0.9}
    await decided(services, focus(ts=2))

    (second,) = await decided(services, focus())
    (after_restart,) = await decided(shop.services, focus())

    assert [second.result, after_restart.result] == [first.result, first.result]
    assert [second.decision, after_restart.decision] == [first.decision, first.decision]
    assert (second.is_repeated, second.trace) == (True, None)
    assert await encode_again(shop.services, [first.decision]) == [(first.decision, first.result)]


async def test_a_result_whose_encoded_coupon_is_lost_is_not_made_of_another() -> None:
    shop = Shop(terms=replace(TERMS, publishes_empty=True))
    offer, no_offer = await decided(shop.services, focus(), focus(department="Garden"))
    restored = Shop()

    again = await encode_again(restored.services, [offer.decision, no_offer.decision])

    assert again == [(offer.decision, None), (no_offer.decision, no_offer.result)]


async def test_two_copies_of_an_event_in_one_batch_are_one_decision() -> None:
    shop = Shop()

    first, second = await decided(shop.services, focus(), focus())

    assert (first.result, first.decision) == (second.result, second.decision)
    assert (first.is_repeated, second.is_repeated) == (False, True)
    assert shop.log.inserted == [first.decision]


async def test_a_dry_run_decides_and_records_nothing() -> None:
    shop = Shop()

    (dry,) = await decide_batch(shop.services, on([focus()]), is_dry_run=True)

    assert shop.log.inserted == []
    (real,) = await decided(shop.services, focus())
    assert essence([dry]) == essence([real])


@pytest.mark.parametrize(
    ("coupons", "event", "outcome"),
    [
        ([], focus(), NoOffer(Reason.NO_CANDIDATES)),
        ([COUPON], focus(department="Garden"), NoOffer(Reason.NO_CANDIDATES)),
        ([EXPIRED], focus(), NoOffer(Reason.ALL_INELIGIBLE)),
        ([replace(COUPON, coupon_id="bad")], focus(), NoOffer(Reason.BELOW_THRESHOLD, 0.2)),
        ([replace(COUPON, coupon_id="unscored")], focus(), NoOffer(Reason.BELOW_THRESHOLD)),
        ([COUPON], focus(ts=int(NOW.timestamp()) - 61), NoOffer(Reason.LATE_EVENT)),
    ],
    ids=["empty catalogue", "unknown department", "all expired", "at the threshold", "without a score", "late"],
)
async def test_where_there_is_nothing_to_offer_the_decision_says_why(
    coupons: list[Coupon], event: FocusEvent, outcome: NoOffer
) -> None:
    is_late = outcome.reason is Reason.LATE_EVENT
    shop = Shop(coupons, terms=replace(TERMS, max_event_age_seconds=60 if is_late else None))
    shop.scorer.scores = {"bad": 0.2, "unscored": float("nan")}

    (answer,) = await decided(shop.services, event)

    assert answer.decision.outcome == outcome
    assert (answer.decision.coupon_hash, answer.decision.is_to_be_published) == (None, False)
    ts = int(NOW.timestamp())
    assert orjson.loads(result_of(answer)) == {
        "customer": {"id": "7"},
        "coupon": None,
        "reason": outcome.reason,
        "ts": ts,
    }
    assert shop.log.inserted == [answer.decision]


async def test_an_event_of_the_age_that_is_allowed_is_not_late() -> None:
    shop = Shop(terms=replace(TERMS, max_event_age_seconds=60))

    (answer,) = await decided(shop.services, focus(ts=int(NOW.timestamp()) - 60))

    assert answer.decision.outcome.reason is Reason.OFFERED


async def test_a_decision_without_an_offer_is_to_be_published_where_that_is_asked_for() -> None:
    shop = Shop([], terms=replace(TERMS, publishes_empty=True))

    (answer,) = await decided(shop.services, focus())

    assert answer.decision.is_to_be_published


async def test_an_offer_on_the_defaults_says_that_the_customer_is_unknown() -> None:
    shop = Shop()

    (answer,) = await decide_batch(shop.services, on([focus("new")], ContextSource.DEFAULTS))

    assert answer.decision.outcome == Offer("22", 0.5, 1.0, Reason.UNKNOWN_CUSTOMER)


async def test_a_decision_can_be_made_again_from_the_log_alone_on_another_day() -> None:
    shop = Shop([COUPON, replace(COUPON, coupon_id="2"), replace(COUPON, coupon_id="3"), EXPIRED])
    shop.scorer.scores = {"22": 0.6, "2": 0.7, "3": 0.1}
    await decided(shop.services, focus())
    (logged,) = shop.log.inserted
    shop.clock.now += timedelta(days=400)
    await shop.cache.write([context("7", age=99)], shop.clock.now)

    remade = await remake(shop.services, logged)

    assert logged.outcome == Offer("2", 0.7, 1.0, Reason.OFFERED)
    assert remade == [
        Verdict("22", Refusal.OUTRANKED, 0.6),
        Verdict("2", None, 0.7),
        Verdict("3", Refusal.BELOW_THRESHOLD, 0.1),
        Verdict("9", Refusal.EXPIRED, None),
    ]


async def test_a_decision_on_a_catalogue_that_is_gone_is_not_made_again() -> None:
    shop = Shop()
    (answer,) = await decided(shop.services, focus())
    before = shop.catalogue.current.version
    shop.put_on_sale(replace(COUPON, products_available=4))

    assert await remake(shop.services, answer.decision) == NotRemade(
        f"made with catalogue {before}; now there is {shop.catalogue.current.version}"
    )


async def test_a_decision_of_a_model_that_was_succeeded_is_not_made_again_by_its_successor() -> None:
    shop = Shop()
    (answer,) = await decided(shop.services, focus())
    shop.scorer.model_version = "model@2"

    assert await remake(shop.services, answer.decision) == NotRemade(
        "made with model model@1; now model@2 is in service"
    )


async def test_a_decision_that_the_model_would_make_otherwise_today_is_not_made_again() -> None:
    shop = Shop()
    (answer,) = await decided(shop.services, focus())
    shop.scorer.scores = {"22": 0.6}

    assert isinstance(await remake(shop.services, answer.decision), NotRemade)


async def test_a_late_event_has_no_fates_to_tell() -> None:
    shop = Shop(terms=replace(TERMS, max_event_age_seconds=60))
    (answer,) = await decided(shop.services, focus())

    assert answer.decision.outcome.reason is Reason.LATE_EVENT
    assert await remake(shop.services, answer.decision) == []


async def test_the_message_names_the_event_by_the_decision_unless_the_sender_named_it() -> None:
    shop = Shop()
    named = replace(focus(ts=2), event_id="till-5", correlation_data=b"\x00\xff")
    (one, other) = await decided(shop.services, focus(), named)

    messages = [outbound(answer.decision, result_of(answer), "shop/prediction", TTL) for answer in (one, other)]

    properties = [
        {"decision-id": str(answer.decision.decision_id), "event-id": name, "deployment": "default@model@1"}
        for answer, name in ((one, str(one.decision.decision_id)), (other, "till-5"))
    ]
    assert messages == [
        OutboundMessage("shop/prediction", result_of(one), properties[0], None, TTL),
        OutboundMessage("shop/prediction", result_of(other), properties[1], b"\x00\xff", TTL),
    ]
