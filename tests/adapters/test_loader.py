import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import asyncpg
import pytest

from app.adapters.csv_files import Dataset, read_folder
from app.adapters.csv_rows import BadRow
from app.adapters.postgres.exporter import export
from app.adapters.postgres.load_report import LoadReport, TableReport, lines
from app.adapters.postgres.loader import load
from app.errors import DatabaseUnavailable
from tests.adapters.csv_folder import COUPONS, CUSTOMERS, LINKS, PRODUCTS, read
from tests.postgres import PostgresServer, open_directory

DATA4DB = Path(__file__).parents[2] / "data4db"
FILES = ("coupon_info.csv", "products.csv", "coupon_product.csv", "customer_info.csv")
TODAY = date(2026, 3, 1)
NOWHERE = "must name a row that is in the other files or in the database"
Counts = tuple[int, int, int, int, int, int]


async def load_all(connection: asyncpg.Connection, dataset: Dataset, today: date = TODAY) -> LoadReport:
    return await load(connection, dataset, shift=False, dry_run=False, today=today)


async def exported(connection: asyncpg.Connection, folder: Path) -> dict[str, str]:
    await export(connection, folder)
    return {name: (folder / name).read_text() for name in FILES}


def report(
    *counts: Counts, coupons_without_products: int = 0, expired_coupons: int = 1, bad_rows: tuple[BadRow, ...] = ()
) -> LoadReport:
    """Counts of products, coupons, links and customers: read, inserted, updated, unchanged, refused, deleted."""
    tables = ("product_info", "coupon_info", "coupon_product", "customer_info")
    files = ("products.csv", "coupon_info.csv", "coupon_product.csv", "customer_info.csv")
    return LoadReport(
        tuple(
            TableReport(table, file, *numbers, ignored_columns=())
            for table, file, numbers in zip(tables, files, counts, strict=True)
        ),
        bad_rows,
        orphans=sum(bad_row.rule == NOWHERE for bad_row in bad_rows),
        coupons_without_products=coupons_without_products,
        expired_coupons=expired_coupons,
    )


async def test_inserts_everything_and_counts_it(connection: asyncpg.Connection, tmp_path: Path) -> None:
    assert await load_all(connection, read(tmp_path)) == report(
        (3, 3, 0, 0, 0, 0), (3, 3, 0, 0, 0, 0), (4, 4, 0, 0, 0, 0), (2, 2, 0, 0, 0, 0)
    )


async def test_loading_again_changes_nothing(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await load_all(connection, read(tmp_path))

    assert await load_all(connection, read(tmp_path)) == report(
        (3, 0, 0, 3, 0, 0), (3, 0, 0, 3, 0, 0), (4, 0, 0, 4, 0, 0), (2, 0, 0, 2, 0, 0)
    )


async def test_updates_what_differs_and_keeps_what_the_files_do_not_name(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await load_all(connection, read(tmp_path))
    changed = read(
        tmp_path,
        products=PRODUCTS.replace("9.5", "9.49").replace("13,Dress,,,,,,Women\n", ""),
        coupons=COUPONS.replace("2,department,Sport,20", "2,department,Sport,25"),
        links="coupon_id,product_id\n1,11\n2,12\n3,12\n3,13\n",
        customers=CUSTOMERS.replace("7,F,57", "7,,57").replace("8,", "9,"),
    )

    assert await load_all(connection, changed) == report(
        (2, 0, 1, 1, 0, 0), (3, 0, 1, 2, 0, 0), (4, 1, 0, 3, 0, 1), (2, 1, 1, 0, 0, 0)
    )
    assert await exported(connection, tmp_path / "out") == {
        "products.csv": PRODUCTS.replace("9.5", "9.49"),
        "coupon_info.csv": COUPONS.replace("2,department,Sport,20", "2,department,Sport,25"),
        "coupon_product.csv": "coupon_id,product_id\n1,11\n2,12\n3,12\n3,13\n",
        "customer_info.csv": CUSTOMERS.replace("7,F,57", "7,,57") + "9,,,,,,,,\n",
    }


async def test_keeps_the_links_of_coupons_that_the_files_do_not_name(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await load_all(connection, read(tmp_path))
    without_the_third = "".join(COUPONS.splitlines(keepends=True)[:3])

    found = await load_all(
        connection, read(tmp_path, coupons=without_the_third, links="coupon_id,product_id\n1,12\n3,12\n")
    )

    assert found == report(
        (3, 0, 0, 3, 0, 0), (2, 0, 0, 2, 0, 0), (2, 2, 0, 0, 0, 2), (2, 0, 0, 2, 0, 0), coupons_without_products=1
    )
    assert (await exported(connection, tmp_path / "out"))["coupon_product.csv"] == (
        "coupon_id,product_id\n1,12\n3,11\n3,12\n3,13\n"
    )


async def test_refuses_bad_rows_and_orphans_and_loads_the_rest(connection: asyncpg.Connection, tmp_path: Path) -> None:
    dataset = read(
        tmp_path,
        coupons=COUPONS.replace("3,just_discount", "3,gift"),
        products=PRODUCTS + "14,,,,,,-1,\n",
        links=LINKS + "1,77\n",
    )

    assert await load_all(connection, dataset) == report(
        (4, 3, 0, 0, 1, 0),
        (3, 2, 0, 0, 1, 0),
        (5, 2, 0, 0, 3, 0),
        (2, 2, 0, 0, 0, 0),
        bad_rows=(
            BadRow("products.csv", 5, "buy_price", "-1.0", "must be from 0 to 3.402823466e+38"),
            BadRow(
                "coupon_info.csv",
                4,
                "coupon_type",
                "gift",
                "must be one of buy_more, buy_all, just_discount, department",
            ),
            BadRow("coupon_product.csv", 4, "coupon_id", "3", NOWHERE),
            BadRow("coupon_product.csv", 5, "coupon_id", "3", NOWHERE),
            BadRow("coupon_product.csv", 6, "product_id", "77", NOWHERE),
        ),
    )


async def test_a_link_may_name_what_only_the_database_has(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await load_all(connection, read(tmp_path))
    heads = {"coupons": COUPONS.splitlines()[0], "products": PRODUCTS.splitlines()[0]}

    found = await load_all(connection, read(tmp_path, **heads, links="coupon_id,product_id\n1,12\n"))

    assert found == report(
        (0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0), (1, 1, 0, 0, 0, 0), (2, 0, 0, 2, 0, 0), expired_coupons=0
    )


async def test_a_dry_run_reports_the_same_and_changes_nothing(connection: asyncpg.Connection, tmp_path: Path) -> None:
    dataset = read(tmp_path)
    dry = await load(connection, dataset, shift=False, dry_run=True, today=TODAY)
    count = await connection.fetchval("SELECT count(*) FROM coupon_info")
    wet = await load_all(connection, dataset)

    assert (count, dry.is_dry_run, wet.is_dry_run) == (0, True, False)
    assert (dry.tables, dry.bad_rows) == (wet.tables, wet.bad_rows)


async def test_changes_nothing_when_it_fails_halfway(connection: asyncpg.Connection, tmp_path: Path) -> None:
    await connection.execute("ALTER TABLE customer_info DROP COLUMN age")

    with pytest.raises(DatabaseUnavailable, match='loading the files: column "age"'):
        await load_all(connection, read(tmp_path))

    assert await connection.fetchval("SELECT count(*) FROM product_info") == 0


async def test_moves_expired_coupons_only_when_asked(connection: asyncpg.Connection, tmp_path: Path) -> None:
    dataset, today = read(tmp_path), date(2028, 7, 1)
    as_it_is = await load(connection, dataset, shift=False, dry_run=False, today=today)
    unmoved = (await exported(connection, tmp_path / "out"))["coupon_info.csv"]
    shifted = await load(connection, dataset, shift=True, dry_run=False, today=today)
    moved = (await exported(connection, tmp_path / "out"))["coupon_info.csv"]

    assert (as_it_is.shifted_years, as_it_is.expired_coupons, as_it_is.are_all_expired) == (0, 3, True)
    assert (shifted.shifted_years, shifted.expired_coupons, shifted.are_all_expired) == (2, 2, False)
    assert (unmoved, moved) == (COUPONS, COUPONS.replace("2026-", "2028-"))


async def test_tells_how_far_it_is(connection: asyncpg.Connection, tmp_path: Path) -> None:
    links = "coupon_id,product_id\n" + "".join(f"1,{number}\n" for number in range(1, 1201))
    products = PRODUCTS.splitlines()[0] + "\n" + "".join(f"{number},,,,,,,\n" for number in range(1, 1201))
    told: list[tuple[str, int, int]] = []

    await load(
        connection,
        read(tmp_path, links=links, products=products),
        shift=False,
        dry_run=False,
        today=TODAY,
        on_progress=lambda table, done, total: told.append((table, done, total)),
    )

    assert told == [
        *[("product_info", done, 1200) for done in (500, 1000, 1200)],
        ("coupon_info", 3, 3),
        *[("coupon_product", done, 1200) for done in (500, 1000, 1200)],
        ("customer_info", 2, 2),
    ]


async def test_forgets_what_the_central_said_where_the_file_says_otherwise(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    await load_all(connection, read(tmp_path))
    fetched_at = datetime(2026, 2, 28, tzinfo=UTC)
    await connection.executemany("INSERT INTO customer_fetch VALUES ($1, $2)", [(7, fetched_at), (8, fetched_at)])

    await load_all(connection, read(tmp_path, customers=CUSTOMERS.replace("7,F,57", "7,F,58")))

    assert [row["customer_id"] for row in await connection.fetch("SELECT customer_id FROM customer_fetch")] == [8]


async def test_tells_the_services_that_the_catalogue_has_changed(
    connection: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    told = asyncio.Event()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("catalogue_changed", lambda *_: told.set())

    await load_all(connection, read(tmp_path))

    async with asyncio.timeout(10):
        await told.wait()
    await listener.close()


async def test_two_loads_at_once_wait_for_each_other(
    connection: asyncpg.Connection, database_url: str, tmp_path: Path
) -> None:
    other = await asyncpg.connect(database_url)
    dataset = read(tmp_path)

    reports = await asyncio.gather(load_all(connection, dataset), load_all(other, dataset))

    assert sorted(found.tables[0].inserted for found in reports) == [0, 3]
    await other.close()


async def test_the_shipped_files_load_and_come_back_byte_for_byte(
    connection: asyncpg.Connection, tmp_path: Path
) -> None:
    found = await load_all(connection, read_folder(DATA4DB))
    rows = await export(connection, tmp_path)

    assert found.bad_rows == ()
    assert rows == {table.file: table.rows_read for table in found.tables}
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == {
        name: (DATA4DB / name).read_bytes() for name in FILES
    }


@pytest.fixture
def readable_files(postgres_server: PostgresServer) -> Iterator[Path]:
    """The shipped files, where the server can read them."""
    if not postgres_server.reads_local_files:
        pytest.skip("the server of TEST_DATABASE_URL may not read files of this machine")
    with open_directory() as directory:
        for name in FILES:
            shutil.copy(DATA4DB / name, directory / name)
            (directory / name).chmod(0o644)
        yield directory


async def test_the_documented_copy_statements_read_the_shipped_files(
    connection: asyncpg.Connection, readable_files: Path, tmp_path: Path
) -> None:
    for statement in (
        f"COPY coupon_info FROM '{readable_files}/coupon_info.csv' DELIMITER ',' CSV HEADER;",
        f"COPY product_info FROM '{readable_files}/products.csv' DELIMITER ',' CSV HEADER;",
        f"COPY coupon_product FROM '{readable_files}/coupon_product.csv' DELIMITER ',' CSV HEADER;",
        f"COPY customer_info FROM '{readable_files}/customer_info.csv' DELIMITER ',' CSV HEADER;",
    ):
        await connection.execute(statement)

    await export(connection, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == {
        name: (DATA4DB / name).read_bytes() for name in FILES
    }


def test_the_report_reads_in_plain_words() -> None:
    found = LoadReport(
        tables=(
            TableReport("product_info", "products.csv", 3000, 2990, 7, 2, 1, 0, ("shelf", "aisle")),
            TableReport("coupon_product", "coupon_product.csv", 17515, 17494, 0, 0, 21, 5, ()),
        ),
        bad_rows=(
            BadRow("products.csv", 3, "buy_price", "x", "must be a number"),
            BadRow("products.csv", 4, "", "", "must have 8 fields like the header, not 3"),
            *[BadRow("coupon_product.csv", line, "coupon_id", "9", NOWHERE) for line in range(2, 22)],
        ),
        orphans=20,
        coupons_without_products=2,
        expired_coupons=3,
        shifted_years=16,
        is_dry_run=True,
    )

    assert lines(found) == [
        "table           file                      read  inserted   updated unchanged   refused   deleted",
        "product_info    products.csv             3,000     2,990         7         2         1         0",
        "coupon_product  coupon_product.csv      17,515    17,494         0         0        21         5",
        'refused: products.csv, line 3: buy_price "x" must be a number',
        "refused: products.csv, line 4: must have 8 fields like the header, not 3",
        *[f'refused: coupon_product.csv, line {line}: coupon_id "9" {NOWHERE}' for line in range(2, 20)],
        "refused: 2 more rows",
        "ignored: products.csv has columns that product_info has not: shelf, aisle",
        "orphans: 20 links to what is neither in the files nor in the database",
        "note: 2 coupons have no product",
        "note: all coupons had expired; their dates were moved by 16 years",
        "note: 3 coupons have expired",
        "dry run: nothing was changed",
    ]


def test_the_report_warns_when_no_coupon_can_be_offered() -> None:
    found = LoadReport((), (), 0, 0, expired_coupons=3, are_all_expired=True)

    assert lines(found)[1:] == [
        "WARNING: all coupons have expired, none can be offered; --shift-dates moves them by whole years"
    ]
