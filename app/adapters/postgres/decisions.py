"""DecisionLog in the table decision, partitioned by the day of the event."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from datetime import date, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.adapters.postgres.sweeping import sweeping
from app.domain.customer import ContextSource, CustomerContext, Gender
from app.domain.decision import Basis, Decision, NoOffer, Offer, Reason
from app.domain.event import FocusEvent

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

STORED_SECONDS = 60.0  # a database that was restored may have lost what was stored before


class PostgresDecisionLog:
    """One row for each focus event; encoded coupons are kept once, by hash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = load_queries("queries.sql")
        self._stored: dict[bytes, float] = {}

    async def record(
        self, decisions: Sequence[Decision], coupon_bodies: Mapping[bytes, bytes]
    ) -> Sequence[tuple[Decision, bool]]:
        """See DecisionLog."""
        if not decisions:
            return []
        # In the order of the key: instances that record the same events wait for each other, and never in a circle.
        distinct = {decision.decision_id: decision for decision in reversed(decisions)}
        ordered = sorted(distinct.values(), key=lambda one: (one.event.day, one.decision_id.int))
        old = monotonic() - STORED_SECONDS
        bodies = sorted((key, body) for key, body in coupon_bodies.items() if self._stored.get(key, old) <= old)
        async with self._database.connection() as connection:
            if bodies:
                await connection.execute(self._sql["store_coupon_bodies"], *_transposed(bodies))
            new_ids, found = await self._insert(connection, ordered)
        if bodies:
            lately = {key: stored_at for key, stored_at in self._stored.items() if stored_at > old}
            self._stored = lately | dict.fromkeys((key for key, _ in bodies), old + STORED_SECONDS)
        logged = distinct | {row["decision_id"]: _decision(row) for row in found}
        return [(logged[one.decision_id], _take(new_ids, one.decision_id)) for one in decisions]

    async def _insert(
        self, connection: "PoolConnectionProxy[Record]", ordered: Sequence[Decision]
    ) -> tuple[set[UUID], Sequence["Record"]]:
        """The ids of the decisions that are new, and the rows of the others."""
        named = sorted((one for one in ordered if one.event.is_named), key=lambda one: one.decision_id)
        days = {one.decision_id: one.event.day for one in ordered}
        async with connection.transaction() if named else nullcontext():  # a claim without its decision would be lost
            if named:
                ids = [one.decision_id for one in named]
                claimed = await connection.fetch(self._sql["claim_named_events"], ids, [one.event.day for one in named])
                days |= {row["decision_id"]: row["event_day"] for row in claimed}
                days |= await self._claim_again(connection, named, days)
            rows = [_values(one) for one in ordered if days[one.decision_id] == one.event.day]
            inserted = await connection.fetch(self._sql["record_decisions"], rows) if rows else []
            new_ids = {row["decision_id"] for row in inserted}
            known = [one.decision_id for one in ordered if one.decision_id not in new_ids]
            keys = [days[decision_id] for decision_id in known], known
            found = await connection.fetch(self._sql["find_decisions"], *keys) if known else []
        return new_ids, found

    async def _claim_again(
        self, connection: "PoolConnectionProxy[Record]", named: Sequence[Decision], days: Mapping[UUID, date]
    ) -> Mapping[UUID, date]:
        """The days of events whose first copy has left no decision any more. Their names are locked."""
        elsewhere = {one.decision_id: one.event.day for one in named if days[one.decision_id] != one.event.day}
        if not elsewhere:
            return {}
        claimed_days = [days[decision_id] for decision_id in elsewhere]
        found = await connection.fetch(self._sql["find_decisions"], claimed_days, list(elsewhere))
        gone = elsewhere.keys() - {row["decision_id"] for row in found}
        again = {decision_id: day for decision_id, day in elsewhere.items() if decision_id in gone}
        await connection.execute(self._sql["claim_again"], list(again), list(again.values()))
        return again

    async def coupon_bodies(self, hashes: Collection[bytes]) -> Mapping[bytes, bytes]:
        """See DecisionLog."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["read_coupon_bodies"], list(hashes))
        return {row["coupon_hash"]: row["body"] for row in rows}

    async def mark_published(self, decisions: Collection[Decision]) -> None:
        """See DecisionLog."""
        ids = sorted(one.decision_id for one in decisions)
        async with self._database.connection() as connection:
            await connection.execute(self._sql["mark_published"], ids)

    @asynccontextmanager
    async def unpublished(
        self, decided_from: datetime, decided_before: datetime, limit: int
    ) -> AsyncIterator[Sequence[Decision]]:
        """See DecisionLog. While one process has it open, the others see nothing to publish."""
        async with self._database.connection() as connection, sweeping(connection, "decisions") as is_ours:
            wanted = decided_from, decided_before, limit if is_ours else 0
            yield [_decision(row) for row in await connection.fetch(self._sql["unpublished_decisions"], *wanted)]

    async def recorded(self, events: Sequence[FocusEvent]) -> Mapping[UUID, Decision]:
        """See DecisionLog."""
        keys = [event.day for event in events], [event.decision_id for event in events]
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["find_decisions"], *keys)
        decisions = map(_decision, rows)
        return {decision.decision_id: decision for decision in decisions}

    async def find(self, decision_id: UUID) -> Decision | None:
        """See DecisionLog."""
        async with self._database.connection() as connection:
            row = await connection.fetchrow(self._sql["find_decision"], decision_id)
        return None if row is None else _decision(row)

    async def of_customer(self, customer_id: str, limit: int) -> Sequence[Decision]:
        """See DecisionLog."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["decisions_of_customer"], customer_id, limit)
        return [_decision(row) for row in rows]

    async def of_day(self, day: date, after: UUID | None, limit: int) -> Sequence[Decision]:
        """See DecisionLog."""
        async with self._database.connection() as connection:
            rows = await connection.fetch(self._sql["decisions_of_day"], day, after or UUID(int=0), limit)
        return [_decision(row) for row in rows]


def _take(new_ids: set[UUID], decision_id: UUID) -> bool:
    """Whether the decision is new; the second copy of it in a batch is not."""
    is_new = decision_id in new_ids
    new_ids.discard(decision_id)
    return is_new


def _transposed(rows: Any) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _values(decision: Decision) -> tuple[Any, ...]:
    """The row of a decision, in the order of the query record_decisions."""
    event, basis, outcome = decision.event, decision.basis, decision.outcome
    coupon_id, propensity = (outcome.coupon_id, outcome.propensity) if isinstance(outcome, Offer) else (None, None)
    return (
        event.day,
        decision.decision_id,
        event.customer_id,
        event.ts,
        event.department,
        event.department_asked,
        event.x,
        event.y,
        event.event_id,
        event.correlation_data,
        outcome.reason.value,
        coupon_id,
        outcome.score,
        propensity,
        decision.coupon_hash,
        decision.is_to_be_published,
        basis.decided_at,
        basis.today,
        orjson.dumps(basis.context).decode(),
        basis.context_source.value,
        basis.catalogue_version,
        basis.scorer,
        basis.model_version,
        basis.threshold,
        basis.deployment,
        basis.seed,
    )


def _decision(row: Any) -> Decision:
    reason = Reason(row["reason"])
    outcome: Offer | NoOffer = NoOffer(reason, row["score"])
    if row["coupon_id"] is not None:
        outcome = Offer(row["coupon_id"], row["score"], row["propensity"], reason)
    return Decision(
        decision_id=UUID(bytes=row["decision_id"].bytes),
        event=FocusEvent(
            customer_id=row["customer_id"],
            ts=row["event_ts"],
            department=row["department"],
            department_asked=row["department_asked"],
            x=row["x"],
            y=row["y"],
            event_id=row["event_id"],
            correlation_data=row["correlation_data"],
        ),
        outcome=outcome,
        basis=_basis(row),
        coupon_hash=row["coupon_hash"],
        is_to_be_published=row["is_to_be_published"],
    )


def _basis(row: Any) -> Basis:
    context = orjson.loads(row["context"])
    return Basis(
        decided_at=row["decided_at"],
        today=row["decided_on"],
        context=CustomerContext(**context | {"gender": Gender(context["gender"])}),
        context_source=ContextSource(row["context_source"]),
        catalogue_version=row["catalogue_version"],
        scorer=row["scorer"],
        model_version=row["model_version"],
        threshold=row["threshold"],
        deployment=row["deployment"],
        seed=row["seed"],
    )
