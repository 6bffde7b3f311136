"""A small shop with a model of its own, and simulated days in it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.adapters.memory import MemoryCatalogue
from app.adapters.scorer_sklearn import SklearnScorer
from app.datagen.generate import Shop
from app.domain.coupon import Coupon
from app.domain.customer import ContextSource, CustomerContext
from app.domain.department import DOCUMENTED_DEPARTMENTS
from app.domain.event import FocusEvent
from app.handlers import Gathered, decide_batch
from app.ports import DecisionLog
from tests.transport.builders import TERMS
from tests.transport.builders import Shop as ServiceShop

NOON = datetime(2026, 6, 14, 12, tzinfo=UTC)
DAY = NOON.date()
VISITS_FOLLOW_TASTE = 0.6  # as in the history


@dataclass(frozen=True)
class DriftShop:
    """The shop, the model that was trained on its past, and the folder of that model."""

    shop: Shop
    model: SklearnScorer
    folder: Path

    @property
    def contexts(self) -> list[CustomerContext]:
        return list(self.shop.contexts)

    @property
    def coupons(self) -> list[Coupon]:
        return list(self.shop.coupons)

    async def visited(
        self,
        log: DecisionLog,
        count: int,
        *,
        contexts: Sequence[CustomerContext] | None = None,
        coupons: Sequence[Coupon] | None = None,
        noon: datetime = NOON,
    ) -> MemoryCatalogue:
        """So many focus events at noon are decided by the model, and logged; the catalogue that they were made with."""
        services = replace(
            ServiceShop(coupons=coupons or self.coupons).services,
            scorer=self.model,
            log=log,
            terms=replace(TERMS, threshold=None),
            clock=lambda: noon,
        )
        batch = self._visits(contexts or self.contexts, count, noon)
        await decide_batch(services, batch)
        return MemoryCatalogue(services.catalogue.current.coupons.values())

    def _visits(self, contexts: Sequence[CustomerContext], count: int, noon: datetime) -> list[Gathered]:
        rng = np.random.default_rng(noon.toordinal())
        who = rng.integers(len(contexts), size=count)
        likings = np.exp(VISITS_FOLLOW_TASTE * self.shop.traits.department_taste[who])
        lots = rng.random(count) * likings.sum(axis=1)
        where = (likings.cumsum(axis=1) < lots[:, None]).sum(axis=1)
        visits = []
        for index in range(count):
            context, department = contexts[who[index]], DOCUMENTED_DEPARTMENTS[where[index]]
            ts = int(noon.timestamp()) + index % 3600
            event = FocusEvent(context.customer_id, ts, department, department, x=float(index))
            visits.append(Gathered(event, context, ContextSource.CACHE))
        return visits


def younger(contexts: Sequence[CustomerContext]) -> list[CustomerContext]:
    return [replace(one, age=18 + one.age % 12) for one in contexts]


def dearer(coupons: Sequence[Coupon]) -> list[Coupon]:
    return [replace(one, product_mean_price=4 * one.product_mean_price) for one in coupons]
