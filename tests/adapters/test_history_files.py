"""A history's files: what is read, what is refused, and how that is said."""

import sys
from dataclasses import replace
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from app.adapters.csv_rows import BadRow
from app.adapters.history_files import ImportedHistory, read_history
from app.datagen.files import write_history
from app.datagen.generate import generate
from app.domain.customer import Gender
from app.domain.department import DepartmentNames
from app.domain.history import in_order
from app.errors import DatasetRefused
from tests.adapters.history_folder import (
    CUSTOMERS,
    FILES,
    HISTORY_FILES,
    ORDER_LINES,
    ORDERS,
    header_of_all,
    listed,
    read,
    read_text,
    table_of,
    to_parquet,
    write_history_folder,
    write_parquet,
)

NO_DATE = "must be a date like 2010-12-31"
OUT_OF_RANGE = "must be from 1900-01-01 to 2199-12-31"
NO_REDEMPTIONS = "customer_id,coupon_id,issued_on\nanna,1,2025-03-20\nanna,2,2025-03-20\nbert,3,2025-04-02\n"
REDEMPTIONS = "customer_id,coupon_id,redeemed_on\nanna,1,2025-04-01\n"


def refused(folder: Path) -> list[str]:
    with pytest.raises(DatasetRefused) as caught:
        read(folder)
    return str(caught.value).splitlines()


def report_without_suffixes(imported: ImportedHistory) -> list[str]:
    return [" ".join(line.replace(".parquet", ".csv").split()) for line in imported.report.lines()]


def shuffled(text: str, seed: int) -> str:
    head, *rows = text.splitlines(keepends=True)
    Random(seed).shuffle(rows)
    return "".join((head, *rows))


def test_reads_who_bought_what_when_and_used_which_coupon(tmp_path: Path) -> None:
    history = read_text(tmp_path).history

    assert history.customers.ids == ("7", "anna", "bert")
    assert history.customers.genders == (Gender.UNKNOWN, Gender.FEMALE, Gender.MALE)
    assert history.customers.born.astype(str).tolist() == ["1960-01-01", "1990-05-20", "NaT"]
    assert [coupon.coupon_id for coupon in history.coupons] == ["1", "2", "3"]
    bought, issues = history.purchases, history.issues
    assert list(zip(bought.customer, bought.day.astype(str), bought.product, bought.price, strict=True)) == [
        (1, "2025-03-01", 0, 10.0),
        (1, "2025-03-01", 1, 4.5),
        (1, "2025-04-01", 0, 8.0),
        (2, "2025-03-15", 2, 99.99),
    ]
    assert (bought.quantity.tolist(), bought.coupon.tolist()) == ([1, 2, 1, 5], [-1, -1, 0, -1])
    assert list(zip(issues.customer, issues.coupon, issues.day.astype(str), strict=True)) == [
        (1, 0, "2025-03-20"),
        (1, 1, "2025-03-20"),
        (2, 2, "2025-04-02"),
    ]
    assert issues.redeemed_on.astype(str).tolist() == ["2025-04-01", "NaT", "NaT"]


def test_the_report_tells_of_every_file_and_of_what_may_not_be_meant(tmp_path: Path) -> None:
    imported = read_text(
        tmp_path, orders=ORDERS.replace("\n", ",till\n"), coupon_product="coupon_id,product_id\n1,11\n"
    )

    assert imported.report.lines() == [
        "table           file                            read   refused",
        "product_info    products.csv                       3         0",
        "coupon_info     coupon_info.csv                    3         0",
        "coupon_product  coupon_product.csv                 1         0",
        "customers       customers.csv                      3         0",
        "orders          orders.csv                         3         0",
        "order_lines     order_lines.csv                    4         0",
        "coupon_issues   coupon_issues.csv                  3         0",
        "ignored: orders.csv has columns that orders has not: till",
        "days: 2025-03-01 to 2025-04-02",
        "note: 1 customers have neither bought anything nor got a coupon",
        "note: 2 coupons have no product",
    ]


def test_parquet_gives_the_same_history_and_report_as_csv(tmp_path: Path) -> None:
    bad = {"orders": ORDERS + "o9,zoe,2025-01-01\n", "order_lines": ORDER_LINES + "o1,11,0,1,\n"}
    from_csv = read_text(tmp_path / "csv", **bad)
    from_parquet = read(to_parquet(write_history_folder(tmp_path / "parquet", **bad)))

    assert [bad.line for bad in from_parquet.report.bad_rows] == [5, 6]
    assert listed(from_parquet.history) == listed(from_csv.history)
    assert report_without_suffixes(from_parquet) == report_without_suffixes(from_csv)


@pytest.mark.parametrize("as_parquet", [False, True])
def test_columns_are_found_by_their_header_in_any_order_and_case(tmp_path: Path, as_parquet: bool) -> None:
    usual = read_text(tmp_path / "usual").history
    folder = write_history_folder(
        tmp_path / "other",
        orders="till,Ordered_On ,CUSTOMER_ID,order_id\n"
        "1,2025-03-01,anna,o1\n1,2025-03-15,bert,o2\n1,2025-04-01,anna,o3\n",
    )

    other = read(to_parquet(folder) if as_parquet else folder)

    assert listed(other.history) == listed(usual)
    assert [count.ignored_columns for count in other.report.tables if count.table == "orders"] == [("till",)]


def test_what_nobody_knows_of_customers_and_coupons_may_be_left_out(tmp_path: Path) -> None:
    history = read_text(
        tmp_path,
        customers="customer_id\nanna\nbert\n7\n",
        order_lines="order_id,product_id,quantity,price\no1,11,1,10\n",
        coupon_issues=NO_REDEMPTIONS,
    ).history

    assert set(history.customers.genders) == {Gender.UNKNOWN}
    assert history.customers.born.astype(str).tolist() == ["NaT"] * 3
    assert history.purchases.coupon.tolist() == [-1]
    assert not history.issues.is_redeemed.any()


def test_redemptions_can_be_a_file_of_their_own(tmp_path: Path) -> None:
    usual = read_text(tmp_path / "usual").history
    files = {"coupon_issues": NO_REDEMPTIONS, "redemptions": REDEMPTIONS}
    as_csv = read_text(tmp_path / "csv", **files)
    as_parquet = read(to_parquet(write_history_folder(tmp_path / "parquet", **files)))

    assert listed(as_csv.history) == listed(usual)
    assert listed(as_parquet.history) == listed(usual)
    assert as_csv.report.tables[-1].rows_read == 1


def test_a_redemption_is_of_the_last_issue_that_is_still_open_whatever_the_order_in_the_file(tmp_path: Path) -> None:
    issues = "customer_id,coupon_id,issued_on\nanna,1,2025-03-01\nanna,1,2025-03-10\nanna,1,2025-03-20\n"
    redemptions = "customer_id,coupon_id,redeemed_on\nanna,1,2025-03-13\nanna,1,2025-03-25\nanna,1,2025-03-12\n"

    found = read_text(tmp_path, coupon_issues=issues, redemptions=redemptions).history.issues

    assert dict(zip(found.day.astype(str), found.redeemed_on.astype(str), strict=True)) == {
        "2025-03-01": "2025-03-13",
        "2025-03-10": "2025-03-12",
        "2025-03-20": "2025-03-25",
    }


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        ("anna,2,2025-03-19", "redeemed_on", "2025-03-19", "must follow an issue of the coupon to the customer"),
        (
            "anna,1,2025-04-02",
            "redeemed_on",
            "2025-04-02",
            "must be the only redemption of an issue of the coupon to the customer",
        ),
        (
            "anna,1,2025-04-01",
            "customer_id, coupon_id, redeemed_on",
            "anna, 1, 2025-04-01",
            "must be unique: line 2 has it already",
        ),
        ("zoe,1,2025-04-02", "customer_id", "zoe", "must name a customer of the customers file"),
        ("anna,9,2025-04-02", "coupon_id", "9", "must name a coupon of the coupon file"),
        ("anna,1,", "redeemed_on", "", "must not be empty"),
    ],
)
def test_refuses_a_redemption_of_nothing(tmp_path: Path, row: str, column: str, value: str, rule: str) -> None:
    imported = read_text(tmp_path, coupon_issues=NO_REDEMPTIONS, redemptions=f"{REDEMPTIONS}{row}\n")

    assert imported.report.bad_rows == (BadRow("redemptions.csv", 3, column, value, rule),)
    assert imported.history.issues.is_redeemed.sum() == 1


def test_redemptions_given_twice_are_refused(tmp_path: Path) -> None:
    folder = write_history_folder(tmp_path, redemptions=REDEMPTIONS)

    assert refused(folder) == [
        f"{folder} must have redemptions once: as the column redeemed_on of coupon_issues.csv, or as a file"
    ]


@pytest.mark.parametrize(
    ("name", "row", "column", "value", "rule"),
    [
        ("customers", ",F,1990-01-01", "customer_id", "", "must not be empty"),
        ("customers", "  ,F,1990-01-01", "customer_id", "  ", "must not be empty"),
        ("customers", "anna,M,1990-01-01", "customer_id", "anna", "must be unique"),
        ("customers", "x,X,1990-01-01", "gender", "X", "must be one of F, M"),
        ("customers", "x,F,1990-02-30", "born", "1990-02-30", NO_DATE),
        ("customers", "x,F,20/05/1990", "born", "20/05/1990", NO_DATE),
        ("customers", "x,F,1899-12-31", "born", "1899-12-31", OUT_OF_RANGE),
        ("customers", "x,F", "", "x,F", "must have 3 fields like the header, not 2"),
        ("customers", "x,F,1990-01-01,y", "", "x,F,1990-01-01,y", "must have 3 fields like the header, not 4"),
        ("customers", f"{'x' * 65},F,", "customer_id", f"{'x' * 60}…", "must have at most 64 characters"),
        ("customers", "a\0b,F,", "customer_id", "a\\x00b", "must not hold control characters"),
        ("customers", '"a\nb",F,', "customer_id", "a\\nb", "must not hold control characters"),
        ("customers", "gr\udcfcn,F,", "customer_id", "gr\\udcfcn", "must be valid UTF-8"),
        ("orders", "o9,zoe,2025-01-01", "customer_id", "zoe", "must name a customer of the customers file"),
        (
            "orders",
            "o9,\u202eanna,2025-01-01",
            "customer_id",
            "\\u202eanna",
            "must name a customer of the customers file",
        ),
        ("orders", "o1,bert,2025-01-01", "order_id", "o1", "must be unique"),
        ("orders", "o9,anna,", "ordered_on", "", "must not be empty"),
        ("orders", "o9,anna,2025-01-01 10:30", "ordered_on", "2025-01-01 10:30", NO_DATE),
        ("orders", "o9,anna,9999-12-31", "ordered_on", "9999-12-31", OUT_OF_RANGE),
        ("order_lines", "o9,11,1,1,", "order_id", "o9", "must name an order of the orders file"),
        ("order_lines", "o1,99,1,1,", "product_id", "99", "must name a product of the products file"),
        ("order_lines", "o1,11,1,1,9", "coupon_id", "9", "must name a coupon of the coupon file"),
        ("order_lines", "o1,11,0,1,", "quantity", "0", "must be from 1 to 1000000"),
        ("order_lines", "o1,11,-1,1,", "quantity", "-1", "must be from 1 to 1000000"),
        ("order_lines", "o1,11,1.5,1,", "quantity", "1.5", "must be a whole number"),
        ("order_lines", "o1,11,two,1,", "quantity", "two", "must be a whole number"),
        ("order_lines", "o1,11,1,-0.01,", "price", "-0.01", "must be from 0 to 1000000000"),
        ("order_lines", "o1,11,1,nan,", "price", "nan", "must be a number"),
        ("order_lines", 'o1,11,1,"1,50",', "price", "1,50", "must be a number"),
        (
            "order_lines",
            '"=HYPERLINK(""http://x"",""\x1b[31m"")",11,1,1,',
            "order_id",
            '=HYPERLINK("http://x","\\x1b[31m")',
            "must not hold control characters",
        ),
        (
            "order_lines",
            f"{'x' * 200_000},11,1,1,",
            "",
            "",
            "must be well-formed CSV, which ends at line 6: field larger than field limit (131072)",
        ),
        ("coupon_issues", "anna,1,2025-03-20,", "coupon_id", "1", "must be handed to a customer once a day"),
        ("coupon_issues", "zoe,1,2025-03-20,", "customer_id", "zoe", "must name a customer of the customers file"),
        ("coupon_issues", "anna,9,2025-03-20,", "coupon_id", "9", "must name a coupon of the coupon file"),
        (
            "coupon_issues",
            "bert,1,2025-03-20,2025-03-19",
            "redeemed_on",
            "2025-03-19",
            "must not be before issued_on, 2025-03-20",
        ),
    ],
)
def test_refuses_a_bad_row_by_its_name_and_takes_the_others(
    tmp_path: Path, name: str, row: str, column: str, value: str, rule: str
) -> None:
    clean = read_text(tmp_path / "clean").history
    line = FILES[name].count("\n") + 1

    imported = read_text(tmp_path / "bad", **{name: f"{FILES[name]}{row}\n"})

    assert imported.report.bad_rows == (BadRow(f"{name}.csv", line, column, value, rule),)
    assert imported.report.refused == 1
    assert listed(imported.history) == listed(clean)


def test_of_many_bad_rows_all_are_counted_and_the_first_twenty_shown(tmp_path: Path) -> None:
    imported = read_text(tmp_path, order_lines=ORDER_LINES + "o1,11,0,1,\n" * 1500)

    lines = imported.report.lines()
    assert imported.report.refused == 1500
    assert sum(line.startswith("refused: order_lines.csv, line") for line in lines) == 20
    assert "refused: 1,480 more rows" in lines


def test_links_to_nowhere_are_refused_and_no_part_of_the_catalogue(tmp_path: Path) -> None:
    imported = read_text(tmp_path, coupon_product="coupon_id,product_id\n1,11\n9,11\n2,99\n")

    assert [(bad.line, bad.column, bad.value) for bad in imported.report.bad_rows] == [
        (3, "coupon_id", "9"),
        (4, "product_id", "99"),
    ]
    assert imported.catalogue.links.rows == ({"coupon_id": 1, "product_id": 11},)


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    folder = write_history_folder(
        tmp_path, order_lines="order_id,product_id,amount\n", coupon_info="coupon_id\n", customers=""
    )
    (folder / "products.csv").unlink()
    (folder / "orders.csv").unlink()
    (folder / "coupon_issues.parquet").touch()

    assert refused(folder) == [
        f"{folder} must have one file products.csv or product_info.csv",
        f"{folder}/coupon_info.csv must have each of these columns once, separated by commas: coupon_type, department,"
        " discount, how_many_products_required, start_date, end_date, product_mean_price, products_available;"
        " its header is coupon_id",
        f"{folder}/customers.csv has no header",
        f"{folder} must have one file orders.csv or orders.parquet",
        f"{folder}/order_lines.csv must have each of these columns once, separated by commas: quantity, price;"
        " its header is order_id,product_id,amount",
        f"{folder} must have one file coupon_issues.csv or coupon_issues.parquet, not both",
    ]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path / "gone") == [f"{tmp_path / 'gone'} is no folder"]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_in_the_files_does_not_matter(tmp_path: Path, seed: int) -> None:
    usual = read_text(tmp_path / "usual").history
    other = read_text(tmp_path / "other", **{name: shuffled(text, seed) for name, text in FILES.items()}).history

    assert listed(other) == listed(usual)


NOTHING_BOUGHT = "note: nothing was ever bought: all customers look new"
NEVER_HANDED_OUT = "WARNING: no coupon was ever handed out: there is nothing to train a model on"
NEVER_REDEEMED = "WARNING: no coupon was ever redeemed: there is nothing to train a model on"


@pytest.mark.parametrize(
    ("empty", "others_refused", "remark"),
    [
        (["order_lines"], 0, NOTHING_BOUGHT),
        (["orders"], 4, NOTHING_BOUGHT),
        (["products"], 8, NOTHING_BOUGHT),
        (["coupon_issues"], 0, NEVER_HANDED_OUT),
        (["coupon_info"], 8, NEVER_HANDED_OUT),
        (["customers"], 10, NEVER_HANDED_OUT),
        (["coupon_product"], 0, "note: 3 coupons have no product"),
        (list(FILES), 0, NOTHING_BOUGHT),
    ],
)
@pytest.mark.parametrize("as_parquet", [False, True])
def test_a_file_without_rows_is_read_and_what_that_means_is_said(
    tmp_path: Path, empty: list[str], others_refused: int, remark: str, as_parquet: bool
) -> None:
    folder = write_history_folder(tmp_path, **{name: header_of_all()[name] for name in empty})

    report = read(to_parquet(folder) if as_parquet else folder).report

    assert remark in report.remarks
    assert report.refused == others_refused


def test_that_no_coupon_was_redeemed_is_said(tmp_path: Path) -> None:
    assert NEVER_REDEEMED in read_text(tmp_path, coupon_issues=NO_REDEMPTIONS).report.remarks


def test_what_datagen_writes_is_read_as_what_it_made(tmp_path: Path) -> None:
    shop = generate(3, customers=25, products=60, coupons=30)
    write_history(shop, tmp_path)

    imported = read(tmp_path)

    without_products = [replace(coupon, products=()) for coupon in imported.history.coupons]
    assert imported.report.refused == 0
    assert without_products == [replace(coupon, products=()) for coupon in shop.history.coupons]
    assert [{product.product_id for product in coupon.products} for coupon in imported.history.coupons] == [
        {product.product_id for product in coupon.products} for coupon in shop.history.coupons
    ]
    assert listed(replace(imported.history, coupons=())) == listed(in_order(replace(shop.history, coupons=())))


def test_progress_is_told_for_each_file_up_to_its_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    files = {"coupon_issues": NO_REDEMPTIONS, "redemptions": REDEMPTIONS}
    folder = write_history_folder(tmp_path, **files)

    read_history(folder, DepartmentNames.with_aliases({}), lambda *what: told.append(what))

    sizes = {f"{name}.csv": len((FILES | files)[name].encode()) for name in HISTORY_FILES}
    assert told == [(name, done, size) for name, size in sizes.items() for done in (0, size)]


# Parquet


def with_column(folder: Path, name: str, column: str, values: pa.Array) -> Path:
    """The folder, one column of one file of other values."""
    table = table_of(folder, name)
    write_parquet(folder, name, table.set_column(table.column_names.index(column), column, values))
    return folder


def column_of(folder: Path, name: str, column: str) -> pa.Array:
    return table_of(folder, name).column(column).combine_chunks()


@pytest.mark.parametrize(
    ("name", "column", "kind"),
    [
        ("orders", "ordered_on", pa.string()),
        ("orders", "ordered_on", pa.date64()),
        ("orders", "ordered_on", pa.timestamp("s")),
        ("orders", "ordered_on", pa.timestamp("us")),
        ("orders", "ordered_on", pa.timestamp("ns")),
        ("orders", "ordered_on", pa.timestamp("us", tz="UTC")),
        ("orders", "customer_id", pa.large_string()),
        ("orders", "customer_id", pa.binary()),
        ("orders", "customer_id", pa.dictionary(pa.int32(), pa.string())),
        ("order_lines", "product_id", pa.string()),
        ("order_lines", "product_id", pa.float64()),
        ("order_lines", "product_id", pa.dictionary(pa.int8(), pa.int64())),
        ("order_lines", "coupon_id", pa.float64()),
        ("order_lines", "quantity", pa.int8()),
        ("order_lines", "quantity", pa.float32()),
        ("order_lines", "quantity", pa.decimal128(19, 0)),
        ("order_lines", "price", pa.decimal128(12, 2)),
        ("order_lines", "price", pa.string()),
    ],
    ids=str,
)
def test_types_that_mean_the_same_are_read_as_such(tmp_path: Path, name: str, column: str, kind: pa.DataType) -> None:
    usual = read_text(tmp_path / "usual").history
    folder = write_history_folder(tmp_path / "other")
    values = column_of(folder, name, column)
    other = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)

    imported = read(with_column(folder, name, column, other))

    assert imported.report.bad_rows == ()
    assert listed(imported.history) == listed(usual)


@pytest.mark.parametrize(
    ("name", "column", "values", "shown", "rule"),
    [
        (
            "orders",
            "ordered_on",
            pa.array([0, 0, 37_800_000_000], pa.timestamp("us")),
            "1970-01-01 10:30:00.000000",
            NO_DATE,
        ),
        ("orders", "ordered_on", pa.array([0, 0, 3_000_000], pa.date32()), "10183-09-21", NO_DATE),
        ("orders", "ordered_on", pa.array([0, 0, -800_000], pa.date32()), "-0221-09-04", NO_DATE),
        ("orders", "ordered_on", pa.array([0, 0, None], pa.date32()), "", "must not be empty"),
        ("orders", "customer_id", pa.array(["anna", "anna", None]), "", "must not be empty"),
        ("orders", "customer_id", pa.array([b"anna", b"anna", b"\xff"]), "\\udcff", "must be valid UTF-8"),
        ("customers", "gender", pa.array([None, "F", "female"]), "female", "must be one of F, M"),
        ("customers", "born", pa.array([None, None, 1990]), "1990", NO_DATE),
        ("order_lines", "quantity", pa.array([1, 1, 1, 2.5]), "2.5", "must be a whole number"),
        ("order_lines", "quantity", pa.array([1, 1, 1, None]), "", "must not be empty"),
        ("order_lines", "price", pa.array([1, 1, 1, float("nan")]), "nan", "must be a number"),
        ("order_lines", "price", pa.array(["1", "1", "1", "1 EUR"]), "1 EUR", "must be a number"),
    ],
)
def test_a_parquet_value_that_is_none_for_its_column_is_a_bad_row(
    tmp_path: Path, name: str, column: str, values: pa.Array, shown: str, rule: str
) -> None:
    folder = with_column(write_history_folder(tmp_path), name, column, values)

    assert BadRow(f"{name}.parquet", len(values) + 1, column, shown, rule) in read(folder).report.bad_rows


def test_a_column_of_another_type_makes_every_row_a_bad_one(tmp_path: Path) -> None:
    folder = with_column(write_history_folder(tmp_path), "order_lines", "quantity", pa.array([True] * 4))

    report = read(folder).report

    assert [(bad.line, bad.value, bad.rule) for bad in report.bad_rows] == [
        (line, "true", "must be a whole number") for line in (2, 3, 4, 5)
    ]


def test_nested_columns_are_refused_where_they_are_wanted_and_ignored_elsewhere(tmp_path: Path) -> None:
    folder = write_history_folder(tmp_path)
    nested = pa.array([[1], [2], [3]])
    write_parquet(folder, "orders", table_of(folder, "orders").append_column("basket", nested))

    assert read(folder).report.refused == 0

    (folder / "orders.parquet").unlink()
    write_history_folder(folder)
    with_column(folder, "orders", "customer_id", nested)

    holds = "customer_id holds list<element: int64>"
    assert refused(folder) == [f"{folder}/orders.parquet must hold text, numbers or dates: {holds}"]


def damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 3
    return {
        "empty": b"",
        "no Parquet": CUSTOMERS.encode(),
        "cut off": content[:-20],
        "start alone": content[:40],
        "zeros": content[:4] + bytes(middle) + content[4 + middle :],
        "footer": content[:-60] + bytes(40) + content[-20:],
    }


@pytest.mark.parametrize("kind", damaged(b"").keys())
def test_a_damaged_parquet_file_is_a_sentence(tmp_path: Path, kind: str) -> None:
    folder = to_parquet(write_history_folder(tmp_path))
    path = folder / "orders.parquet"
    path.write_bytes(damaged(path.read_bytes())[kind])

    (line,) = refused(folder)

    assert line.startswith((f"{path} is no Parquet file that can be read: ", f"{path} cannot be read: "))


def test_without_pyarrow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_history_folder(tmp_path)
    write_parquet(folder, "orders", table_of(folder, "orders"))
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert refused(folder) == [f"{folder}/orders.parquet: to read Parquet, pip install -r requirements-training.txt"]
