"""What every CatalogueHolder does: the one in memory, and the one that watches PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.adapters.memory import MemoryCatalogue
from app.adapters.postgres import migrations
from app.adapters.postgres.catalogue import PostgresCatalogue
from app.adapters.postgres.database import Database
from app.domain.catalogue import Catalogue
from app.domain.coupon import Coupon, Product
from app.domain.department import DepartmentNames
from app.errors import DatabaseUnavailable
from app.ports import CatalogueHolder
from tests.builders import COUPON, PRODUCT, stop

NAMES = DepartmentNames.with_aliases({})
PATIENCE_SECONDS = 10.0

SIMPLE = replace(COUPON, products=())
WOMEN = replace(COUPON, coupon_id="23", department="Women", products=(PRODUCT, replace(PRODUCT, product_id="34")))

EMPTY = "there is no coupon: run `python -m app load DIR`"


@dataclass
class Reports:
    """What the holder has told of each part, last word first in mind; and a wait for what it will tell."""

    said: dict[str, str | None] = field(default_factory=dict)
    spoken: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, part: str) -> Callable[[str | None], None]:
        def report(problem: str | None) -> None:
            self.said[part] = problem
            self.spoken.set()

        return report

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for a report after which it is true; the watch reports every two seconds at least."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not is_true():
                self.spoken.clear()
                await self.spoken.wait()


class Shop(Protocol):
    """A holder, and someone who changes what it holds."""

    holder: CatalogueHolder

    async def put(self, *coupons: Coupon) -> None:
        """Replace all coupons, and return when the holder has seen it."""
        ...


@dataclass
class MemoryShop:
    holder: MemoryCatalogue

    async def put(self, *coupons: Coupon) -> None:
        self.holder.replace(Catalogue(coupons))


@dataclass
class PostgresShop:
    holder: PostgresCatalogue
    reports: Reports
    connection: asyncpg.Connection

    async def put(self, *coupons: Coupon) -> None:
        async with self.connection.transaction():
            await insert(self.connection, *coupons)
        await self.until_it_holds(*coupons)

    async def until_it_holds(self, *coupons: Coupon) -> None:
        await self.reports.until(lambda: list(self.holder.current.coupons.values()) == list(coupons))


async def insert(connection: asyncpg.Connection, *coupons: Coupon) -> None:
    """What a load leaves in the tables."""
    await connection.execute("TRUNCATE coupon_info, product_info, coupon_product")
    products = {product.product_id: product for coupon in coupons for product in coupon.products}
    await connection.executemany(
        "INSERT INTO product_info VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        [product_row(one) for one in products.values()],
    )
    await connection.executemany(
        "INSERT INTO coupon_info VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", [coupon_row(one) for one in coupons]
    )
    await connection.executemany(
        "INSERT INTO coupon_product VALUES ($1, $2)",
        [(int(coupon.coupon_id), int(product.product_id)) for coupon in coupons for product in coupon.products],
    )


def coupon_row(coupon: Coupon) -> Sequence[object]:
    return (
        int(coupon.coupon_id),
        coupon.type.value,
        coupon.department,
        int(coupon.discount),
        coupon.how_many_products_required,
        coupon.start_date.isoformat(),
        coupon.end_date.isoformat(),
        coupon.product_mean_price,
        coupon.products_available,
    )


def product_row(product: Product) -> Sequence[object]:
    return (
        int(product.product_id),
        product.name,
        product.category,
        product.sizes,
        product.vendor,
        product.description,
        product.buy_price,
        product.department,
    )


@asynccontextmanager
async def watching(url: str) -> AsyncIterator[tuple[PostgresCatalogue, Reports]]:
    """A holder that watches this database."""
    reports = Reports()
    async with Database.open(url, size=2) as database:
        parts = [reports.of(part) for part in ("database", "migrations", "catalogue")]
        holder = PostgresCatalogue(database, NAMES, *parts)
        watch = asyncio.create_task(holder.run())
        try:
            yield holder, reports
        finally:
            await stop(watch)


@pytest.fixture
def memory_shop() -> MemoryShop:
    return MemoryShop(MemoryCatalogue())


@pytest.fixture
async def postgres_shop(database_url: str, connection: asyncpg.Connection) -> AsyncIterator[PostgresShop]:
    async with watching(database_url) as (holder, reports):
        await reports.until(lambda: "catalogue" in reports.said)
        yield PostgresShop(holder, reports, connection)


@pytest.fixture(params=["memory_shop", "postgres_shop"])
def shop(request: pytest.FixtureRequest) -> Shop:
    chosen: Shop = request.getfixturevalue(request.param)
    return chosen


async def test_holds_nothing_until_there_is_something(shop: Shop) -> None:
    assert shop.holder.current.version == Catalogue(()).version


async def test_holds_coupons_with_their_products(shop: Shop) -> None:
    await shop.put(COUPON, WOMEN)

    assert dict(shop.holder.current.coupons) == {"22": COUPON, "23": WOMEN}


async def test_the_same_coupons_are_the_same_version_everywhere(shop: Shop) -> None:
    await shop.put(COUPON, WOMEN)

    assert shop.holder.current.version == Catalogue((COUPON, WOMEN)).version


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param((replace(COUPON, products_available=0),), id="sold out"),
        pytest.param((replace(COUPON, products=(replace(PRODUCT, name="Renamed"),)),), id="a product renamed"),
        pytest.param((SIMPLE,), id="a product taken off"),
        pytest.param((COUPON, WOMEN), id="one coupon more"),
        pytest.param((), id="all coupons gone"),
    ],
)
async def test_a_change_is_another_snapshot(shop: Shop, changed: Sequence[Coupon]) -> None:
    await shop.put(COUPON)
    before = shop.holder.current

    await shop.put(*changed)

    assert shop.holder.current is not before
    assert list(before.coupons.values()) == [COUPON]
    assert list(shop.holder.current.coupons.values()) == list(changed)


async def test_in_postgres_one_changed_row_is_seen(postgres_shop: PostgresShop) -> None:
    await postgres_shop.put(COUPON)

    await postgres_shop.connection.execute("UPDATE coupon_info SET discount = 50")

    await postgres_shop.until_it_holds(replace(COUPON, discount=50.0))


async def test_in_postgres_a_change_of_nothing_keeps_the_snapshot(postgres_shop: PostgresShop) -> None:
    await postgres_shop.put(COUPON)
    before, reports = postgres_shop.holder.current, postgres_shop.reports
    del reports.said["catalogue"]

    await postgres_shop.connection.execute("UPDATE coupon_info SET discount = discount")
    await reports.until(lambda: "catalogue" in reports.said)

    assert postgres_shop.holder.current is before


async def test_in_postgres_every_part_is_reported(postgres_shop: PostgresShop) -> None:
    assert postgres_shop.reports.said == {"database": None, "migrations": None, "catalogue": EMPTY}

    await postgres_shop.put(COUPON)

    assert postgres_shop.reports.said == {"database": None, "migrations": None, "catalogue": None}


async def test_in_postgres_departments_and_coupons_keep_one_name_and_order(postgres_shop: PostgresShop) -> None:
    shouting = [replace(SIMPLE, coupon_id=str(number), department="SPORT") for number in (10, 9, -1)]

    async with postgres_shop.connection.transaction():
        await insert(postgres_shop.connection, *shouting)

    await postgres_shop.until_it_holds(*(replace(coupon, department="Sports") for coupon in reversed(shouting)))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param({"coupon_type": None}, "coupon 22: coupon_type must not be empty", id="no type"),
        pytest.param(
            {"coupon_type": "gift"},
            "coupon 22: coupon_type must be one of buy_more, buy_all, just_discount, department",
            id="unknown type",
        ),
        pytest.param({"department": " "}, "coupon 22: department must not be empty", id="blank department"),
        pytest.param(
            {"start_date": "01.01.2026"}, "coupon 22: start_date must be a date like 2010-12-31", id="German date"
        ),
        pytest.param(
            {"end_date": "2026-02-30"}, "coupon 22: end_date must be a date like 2010-12-31", id="no such day"
        ),
        pytest.param({"end_date": "2025-12-31"}, "coupon 22: end_date must not be before start_date", id="ends first"),
        pytest.param({"discount": 101}, "coupon 22: discount must be from 0 to 100", id="more than all"),
        pytest.param({"product_mean_price": float("nan")}, "coupon 22: product_mean_price must be a number", id="NaN"),
        pytest.param({"products_available": None}, "coupon 22: products_available must not be empty", id="no stock"),
    ],
)
async def test_in_postgres_a_row_that_is_no_coupon_is_left_out_and_logged(
    postgres_shop: PostgresShop, row: dict[str, object], problem: str
) -> None:
    names = "coupon_id, coupon_type, department, discount, how_many_products_required, start_date, end_date"
    good = dict(zip(f"{names}, product_mean_price, products_available".split(", "), coupon_row(COUPON), strict=True))

    with capture_logs() as logged:
        async with postgres_shop.connection.transaction():
            await insert(postgres_shop.connection, WOMEN)
            await postgres_shop.connection.execute(
                "INSERT INTO coupon_info VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)", *(good | row).values()
            )
        await postgres_shop.until_it_holds(WOMEN)

    assert [entry for entry in logged if entry["log_level"] == "warning"] == [
        {"event": "row is no coupon", "coupon_id": 22, "problem": problem, "log_level": "warning"}
    ]


async def test_in_postgres_missing_texts_and_prices_of_products_are_empty(postgres_shop: PostgresShop) -> None:
    bare = Product("33", "", "", "", "", "", 0.0, "")

    async with postgres_shop.connection.transaction():
        await insert(postgres_shop.connection, SIMPLE)
        await postgres_shop.connection.execute("INSERT INTO product_info (product_id) VALUES (33)")
        await postgres_shop.connection.execute("INSERT INTO coupon_product VALUES (22, 33), (22, 33), (22, NULL)")

    await postgres_shop.until_it_holds(replace(COUPON, products=(bare,)))


async def test_in_postgres_a_lost_connection_is_made_again(postgres_shop: PostgresShop) -> None:
    await postgres_shop.put(COUPON)

    await postgres_shop.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid()"
    )
    await postgres_shop.reports.until(lambda: postgres_shop.reports.said["database"] is not None)
    assert dict(postgres_shop.holder.current.coupons) == {"22": COUPON}

    await postgres_shop.put(WOMEN)
    assert postgres_shop.reports.said["database"] is None


async def test_in_postgres_a_database_that_takes_nothing_is_reported_until_it_does(postgres_shop: PostgresShop) -> None:
    reports, connection = postgres_shop.reports, postgres_shop.connection
    name = await connection.fetchval("SELECT current_database()")
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await connection.execute(others, name)
    problem = "nothing can be recorded: the database is read-only"
    await reports.until(lambda: reports.said["database"] == problem)
    await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await connection.execute(others, name)

    await reports.until(lambda: reports.said["database"] is None)


async def test_in_postgres_rights_that_are_missing_are_reported(postgres_shop: PostgresShop) -> None:
    reports, connection = postgres_shop.reports, postgres_shop.connection
    role = await connection.fetchval("SELECT current_user")
    if await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        pytest.skip("nothing can be taken from a superuser")
    await connection.execute(f"REVOKE INSERT ON decision FROM {role}")
    problem = f"nothing can be recorded: role {role} may not INSERT decision"
    try:
        await reports.until(lambda: reports.said["database"] == problem)
    finally:
        await connection.execute(f"GRANT INSERT ON decision TO {role}")

    await reports.until(lambda: reports.said["database"] is None)


async def test_an_unmigrated_database_is_reported(empty_database_url: str) -> None:
    async with watching(empty_database_url) as (holder, reports):
        await reports.until(lambda: "migrations" in reports.said)
        with pytest.raises(DatabaseUnavailable, match="has not been read yet"):
            _ = holder.current

    problem = reports.said["migrations"]
    assert problem is not None
    assert problem.startswith("the database is at nothing, not at 0")
    assert problem.endswith("run `python -m app migrate`")
    assert reports.said["database"] is None


async def test_a_database_of_a_newer_version_is_taken(empty_database_url: str) -> None:
    await migrations.upgrade(empty_database_url)
    connection = await asyncpg.connect(empty_database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999_newer'")
    await insert(connection, COUPON)
    await connection.close()

    async with watching(empty_database_url) as (holder, reports):
        await reports.until(lambda: "catalogue" in reports.said)

        assert dict(holder.current.coupons) == {"22": COUPON}
        assert reports.said["migrations"] is None


async def test_a_database_that_is_away_is_reported_without_its_password() -> None:
    async with watching("postgresql://someone:secret@127.0.0.1:1/shop") as (holder, reports):
        await reports.until(lambda: "database" in reports.said)
        with pytest.raises(DatabaseUnavailable, match="has not been read yet"):
            _ = holder.current

    problem = reports.said["database"]
    assert problem is not None
    assert "secret" not in problem
