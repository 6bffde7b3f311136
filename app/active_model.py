"""The model in service: the registry's champion, or the one that the service was started with."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

import structlog

from app.domain.customer import CustomerContext
from app.domain.eligibility import Screening
from app.domain.registry import Alias
from app.errors import DatabaseUnavailable, ModelRefused, ScorerUnavailable
from app.ports import FALLBACK, Model, ModelFiles, ModelRegistry, Scores

log = structlog.get_logger(__name__)

READ_AGAIN_SECONDS = 1.0
FIRST_READ_SECONDS = 0.5
TRY_AGAIN_SECONDS = 60.0

Build = Callable[[str, ModelFiles], Model]


class ActiveModel:
    """Scorer that asks the champion, and takes another one into service between two batches.

    `build` makes a model of a version's files, or raises ModelRefused. `report` is told what is wrong with the
    champion, None when nothing is. While the registry cannot be read, the model read last serves; before the first
    reading none does: not read must never pass for no champion.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        shipped: Model,
        build: Build,
        report: Callable[[str | None], None] = lambda problem: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.registry = registry
        self._shipped = shipped
        self._build = build
        self._report = report
        self._clock = clock
        self._try_again_at = 0.0
        self._current = shipped
        self._champion: str | None = None
        self._refusal: str | None = None
        self._absence: str | None = None
        self._has_been_read = False
        self._reading = asyncio.Lock()

    @property
    def current(self) -> Model:
        """The model in service. Raises DatabaseUnavailable until it is known which it is."""
        if not self._has_been_read:
            raise DatabaseUnavailable("it is not known yet which model is the champion")
        return self._current

    @property
    def threshold(self) -> float:
        """What the model in service advises. Raises DatabaseUnavailable until it is known which it is."""
        return self.current.card.threshold

    async def score(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> Sequence[Scores]:
        """See Scorer. One model scores all of them: where the champion cannot, the one the service was started with.

        Raises DatabaseUnavailable until it is known which is the champion.
        """
        model = self.current
        try:
            found = await model.score(customers, screenings)
        except ScorerUnavailable as error:
            if model is self._shipped:
                raise
            ours, theirs = self._shipped.card.version, model.card.version
            self._tell_absence(model, f"the champion {theirs} does not answer, {ours} speaks for it: {error}")
        else:
            self._tell_absence(model, None)
            return found
        fallback = await self._shipped.score(customers, screenings)
        return [replace(scores, scorer=FALLBACK) for scores in fallback]

    def expect(self, customers: Sequence[CustomerContext], screenings: Sequence[Screening]) -> None:
        """See Model. Raises DatabaseUnavailable until it is known which is the champion."""
        self.current.expect(customers, screenings)

    def close(self) -> None:
        """End what the models hold."""
        for model in {id(one): one for one in (self._current, self._shipped)}.values():
            model.close()

    async def read(self) -> None:
        """Take the champion into service, if it is another than before.

        One that cannot be used is told of, and the present one goes on; it is tried again after a minute, since the
        cause may lie in this instance. Raises DatabaseUnavailable.
        """
        async with self._reading:  # or of two readings, the older one could end last
            version = (await self.registry.named())[Alias.CHAMPION]
            is_settled = self._refusal is None or self._clock() < self._try_again_at
            if self._has_been_read and version == self._champion and is_settled:
                return
            before = self._current
            try:
                self._current = await self._built(version)
            except ModelRefused as error:
                self._refusal = f"the champion {version} cannot be used, {self._current.card.version} goes on: {error}"
                self._try_again_at = self._clock() + TRY_AGAIN_SECONDS
            else:
                self._refusal = self._absence = None
                log.info("model in service", version=self._current.card.version)
                if before is not self._shipped and before is not self._current:
                    before.close()
            self._champion, self._has_been_read = version, True
            self._report(self._refusal or self._absence)

    def _tell_absence(self, model: Model, absence: str | None) -> None:
        """Of a batch that a model has not scored, or has; what one no longer in service does is no news."""
        if model is self._current and (absence is None) is not (self._absence is None):
            self._absence = absence
            self._report(self._refusal or absence)

    async def _built(self, version: str | None) -> Model:
        if version is None:
            return self._shipped
        files = await self.registry.files(version)
        if files is None:
            raise ModelRefused("the registry does not have it")
        return await asyncio.to_thread(self._build, version, files)

    async def run(self) -> None:
        """Read again and again until cancelled: a promotion counts within seconds."""
        while True:
            try:
                await self.read()
            except DatabaseUnavailable as error:
                log.debug("champion not read", problem=str(error))
            await asyncio.sleep(READ_AGAIN_SECONDS if self._has_been_read else FIRST_READ_SECONDS)
