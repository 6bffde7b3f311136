"""The catalogue's snapshot, kept fresh, and with it the watch over the database."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import structlog

from app.adapters.postgres import migrations
from app.adapters.postgres.database import Database
from app.adapters.postgres.queries import load_queries
from app.adapters.rows import coupon_from_row, product_from_row
from app.domain.catalogue import Catalogue
from app.domain.coupon import Coupon
from app.domain.department import DepartmentNames
from app.errors import DatabaseUnavailable

log = structlog.get_logger(__name__)

CHECK_SECONDS = 2.0
CHECK_TIMEOUT_SECONDS = 2.0
READ_SECONDS = 60.0
AGAIN_SECONDS = 1.0
CHANNEL = "catalogue_changed"

Report = Callable[[str | None], None]


def _tell_nobody(problem: str | None) -> None:
    """For who reads once."""


class PostgresCatalogue:
    """CatalogueHolder: reads the tables at start and whenever they change, and swaps the snapshot whole.

    The reports are told None when the database, its migrations and its coupons are there, else what is wrong.
    """

    def __init__(
        self,
        database: Database,
        names: DepartmentNames,
        on_database: Report = _tell_nobody,
        on_migrations: Report = _tell_nobody,
        on_catalogue: Report = _tell_nobody,
    ) -> None:
        self._database = database
        self._names = names
        self._on_database = on_database
        self._on_migrations = on_migrations
        self._on_catalogue = on_catalogue
        self._sql = load_queries("queries.sql")
        self._current: Catalogue | None = None

    @property
    def current(self) -> Catalogue:
        """See CatalogueHolder."""
        if self._current is None:
            raise DatabaseUnavailable("the catalogue has not been read yet")
        return self._current

    async def read(self) -> Catalogue:
        """The tables as they are now. Raises DatabaseUnavailable."""
        async with self._database.own_connection() as connection:
            await self._read(connection)
        return self.current

    async def run(self) -> None:
        """Watch until cancelled; a lost connection is made again."""
        while True:
            try:
                async with self._database.own_connection() as connection:
                    await self._watch(connection)
            except DatabaseUnavailable as error:
                self._on_database(str(error))
            await asyncio.sleep(AGAIN_SECONDS)

    async def _watch(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        changed = asyncio.Event()
        await connection.add_listener(CHANNEL, lambda *_: changed.set())
        changed.set()
        while await self._is_migrated(connection):
            if changed.is_set():
                changed.clear()
                await self._read(connection)
            with suppress(TimeoutError):
                async with asyncio.timeout(CHECK_SECONDS):
                    await changed.wait()

    async def _is_migrated(self, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
        """Whether the tables are at this version's revision, or at a newer one: instances are replaced one by one."""
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            found, wanted = await migrations.current(connection), migrations.head()
            is_migrated = found is not None and found >= wanted
            refused = await connection.fetchval(self._sql["what_is_refused"]) if is_migrated else None
        self._on_database(refused and f"nothing can be recorded: {refused}")
        if is_migrated:
            self._on_migrations(None)
            return True
        self._on_migrations(f"the database is at {found or 'nothing'}, not at {wanted}: run `python -m app migrate`")
        return False

    async def _read(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Read all coupons, and take them into service. Rows that are no coupons are told in the log."""
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            products = await connection.fetch(self._sql["read_products"], timeout=READ_SECONDS)
            coupons = await connection.fetch(self._sql["read_coupons"], timeout=READ_SECONDS)
        catalogue = await asyncio.to_thread(self._build, products, coupons)
        if self._current is None or catalogue.version != self._current.version:
            self._current = catalogue
            log.info("catalogue read", coupons=len(catalogue), refused=len(coupons) - len(catalogue))
        self._on_catalogue(None if len(catalogue) else "there is no coupon: run `python -m app load DIR`")

    def _build(self, product_rows: list[asyncpg.Record], coupon_rows: list[asyncpg.Record]) -> Catalogue:
        products = {row["product_id"]: product_from_row(row) for row in product_rows}
        coupons: list[Coupon] = []
        for row in coupon_rows:
            listed = tuple(products[key] for key in row["product_ids"] if key in products)
            try:
                coupons.append(coupon_from_row(row, listed, self._names))
            except ValueError as error:
                log.warning("row is no coupon", coupon_id=row["coupon_id"], problem=str(error))
        return Catalogue(coupons)
