from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.adapters.csv_files import catalogue_coupons, customer_contexts, orphans, read_folder, with_shifted_dates
from app.adapters.csv_rows import BadRow, read_file
from app.adapters.tables import COUPON_INFO, TABLES
from app.domain.coupon import Coupon, CouponType, Product
from app.domain.customer import CustomerContext, Gender
from app.domain.department import DepartmentNames
from app.errors import DatasetRefused
from tests.adapters.csv_folder import COUPONS, CUSTOMERS, LINKS, PRODUCTS, read, write_folder

DEFAULTS = CustomerContext("", Gender.UNKNOWN, 40, 20.5, 1, 2.5, 3, 4, 5)
SHIRT = Product("11", "Shirt, blue", "Men Shirts", "S-XL", "Northmoor", "A blue shirt.", 7.12, "Men")
SHOES = Product("12", "Zażółć", "Sports Shoes", "38-46", "Larkhill", "", 9.5, "Sports")
DRESS = Product("13", "Dress", "", "", "", "", 0.0, "Women")


def coupons_with(row: str) -> str:
    return COUPONS.splitlines()[0] + "\n" + row + "\n"


def products_with(row: str) -> str:
    return PRODUCTS.splitlines()[0] + "\n" + row + "\n"


def customers_with(row: str) -> str:
    return CUSTOMERS.splitlines()[0] + "\n" + row + "\n"


def test_reads_every_row_with_its_types(tmp_path: Path) -> None:
    dataset = read(tmp_path)

    assert [file.rows_read for file in dataset.files] == [3, 3, 4, 2]
    assert dataset.bad_rows == ()
    assert dataset.coupons.rows[1] == {
        "coupon_id": 2,
        "coupon_type": "department",
        "department": "Sport",
        "discount": 20,
        "how_many_products_required": -1,
        "start_date": "2026-02-01",
        "end_date": "2026-02-28",
        "product_mean_price": 9.5,
        "products_available": 7,
    }
    assert dataset.customers.rows[1] == dict.fromkeys(dataset.customers.table.column_names) | {"customer_id": 8}


@pytest.mark.parametrize(
    "spelled",
    [
        "\ufeff" + LINKS,
        LINKS.replace("\n", "\r\n"),
        LINKS.rstrip("\n"),
        LINKS.replace("\n", "\n\n"),
        LINKS.replace("coupon_id,product_id", " Coupon_ID ,PRODUCT_ID"),
        LINKS.replace("1,11", '" 1",+11 '),
    ],
)
def test_reads_the_same_however_the_file_is_spelled(tmp_path: Path, spelled: str) -> None:
    usual = read(tmp_path / "usual").links
    other = read(tmp_path / "other", links=spelled).links

    assert (other.rows, other.bad_rows) == (usual.rows, ())


def test_takes_columns_in_any_order_and_reports_those_it_ignores(tmp_path: Path) -> None:
    links = read(tmp_path, links="shelf,product_id,since,coupon_id\nA,11,2026,1\n").links

    assert (links.rows, links.ignored_columns) == (({"coupon_id": 1, "product_id": 11},), ("shelf", "since"))


def test_reads_the_products_by_either_name(tmp_path: Path) -> None:
    usual = read_folder(write_folder(tmp_path)).products
    (tmp_path / "products.csv").rename(tmp_path / "product_info.csv")

    assert read_folder(tmp_path).products == replace(usual, file="product_info.csv")


def test_refuses_a_folder_with_both_names_of_the_products(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "product_info.csv").touch()

    with pytest.raises(DatasetRefused, match=r"must have one file products\.csv or product_info\.csv, not both$"):
        read_folder(tmp_path)


def test_names_every_missing_file_at_once(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused) as refused:
        read_folder(tmp_path)

    assert str(refused.value).splitlines() == [
        f"{tmp_path} must have one file {names}"
        for names in ("products.csv or product_info.csv", "coupon_info.csv", "coupon_product.csv", "customer_info.csv")
    ]


@pytest.mark.parametrize(
    ("links", "problem"),
    [
        ("", "coupon_product.csv has no header"),
        ('"coupon_id', "coupon_product.csv has no header"),
        ("coupon_id,product\n1,11\n", "once, separated by commas: product_id; its header is coupon_id,product"),
        ("coupon_id;product_id\n1;11\n", ": coupon_id, product_id; its header is coupon_id;product_id"),
        ("coupon_id,product_id,coupon_id\n", ": coupon_id; its header is coupon_id,product_id,coupon_id"),
    ],
)
def test_refuses_a_file_without_the_columns(tmp_path: Path, links: str, problem: str) -> None:
    with pytest.raises(DatasetRefused) as refused:
        read(tmp_path, links=links)

    assert problem in str(refused.value)


def test_does_not_take_a_directory_for_a_file(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "customer_info.csv").unlink()
    (tmp_path / "customer_info.csv").mkdir()

    with pytest.raises(DatasetRefused, match=r"must have one file customer_info\.csv$"):
        read_folder(tmp_path)


def test_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefused) as refused:
        read_file(tmp_path / "gone.csv", COUPON_INFO)

    assert str(refused.value) == f"{tmp_path}/gone.csv cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        (",buy_all,Men,1,1,2026-01-01,2026-01-02,1,1", "coupon_id", "", "must not be empty"),
        ("x,buy_all,Men,1,1,2026-01-01,2026-01-02,1,1", "coupon_id", "x", "must be a whole number"),
        ("1.0,buy_all,Men,1,1,2026-01-01,2026-01-02,1,1", "coupon_id", "1.0", "must be a whole number"),
        ("1_0,buy_all,Men,1,1,2026-01-01,2026-01-02,1,1", "coupon_id", "1_0", "must be a whole number"),
        ("٣,buy_all,Men,1,1,2026-01-01,2026-01-02,1,1", "coupon_id", "٣", "must be a whole number"),
        (
            "2147483648,buy_all,Men,1,1,2026-01-01,2026-01-02,1,1",
            "coupon_id",
            "2147483648",
            "must be from -2147483648 to 2147483647",
        ),
        (
            "1,free,Men,1,1,2026-01-01,2026-01-02,1,1",
            "coupon_type",
            "free",
            "must be one of buy_more, buy_all, just_discount, department",
        ),
        ("1,,Men,1,1,2026-01-01,2026-01-02,1,1", "coupon_type", "", "must not be empty"),
        ("1,buy_all, ,1,1,2026-01-01,2026-01-02,1,1", "department", " ", "must not be empty"),
        (
            "1,buy_all,Hunters and Anglers,1,1,2026-01-01,2026-01-02,1,1",
            "department",
            "Hunters and Anglers",
            "must have at most 10 characters",
        ),
        ("1,buy_all,Men,101,1,2026-01-01,2026-01-02,1,1", "discount", "101", "must be from 0 to 100"),
        ("1,buy_all,Men,-1,1,2026-01-01,2026-01-02,1,1", "discount", "-1", "must be from 0 to 100"),
        (
            "1,buy_all,Men,1,-2,2026-01-01,2026-01-02,1,1",
            "how_many_products_required",
            "-2",
            "must be from -1 to 2147483647",
        ),
        ("1,buy_all,Men,1,1,01/02/2026,2026-01-02,1,1", "start_date", "01/02/2026", "must be a date like 2010-12-31"),
        ("1,buy_all,Men,1,1,20260101,2026-01-02,1,1", "start_date", "20260101", "must be a date like 2010-12-31"),
        ("1,buy_all,Men,1,1,2026-01-01,2026-02-29,1,1", "end_date", "2026-02-29", "must be a date like 2010-12-31"),
        ("1,buy_all,Men,1,1,2026-01-02,2026-01-01,1,1", "end_date", "2026-01-01", "must not be before start_date"),
        ("1,buy_all,Men,1,1,2026-01-01,2026-01-02,nan,1", "product_mean_price", "nan", "must be a number"),
        (
            "1,buy_all,Men,1,1,2026-01-01,2026-01-02,1e39,1",
            "product_mean_price",
            "1e+39",
            "must be from 0 to 3.402823466e+38",
        ),
        ("1,buy_all,Men,1,1,2026-01-01,2026-01-02,1,-1", "products_available", "-1", "must be from 0 to 2147483647"),
        ("1,buy_all,Men", "", "1,buy_all,Men", "must have 9 fields like the header, not 3"),
    ],
)
def test_refuses_a_row_that_is_no_coupon(tmp_path: Path, row: str, column: str, value: str, rule: str) -> None:
    coupons = read(tmp_path, coupons=coupons_with(row)).coupons

    assert (coupons.rows, coupons.bad_rows) == ((), (BadRow("coupon_info.csv", 2, column, value, rule),))


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("a" * 257, "a" * 60 + "…", "must have at most 256 characters"),
        ("a\0b", "a\\x00b", "must not hold control characters"),
        ('"a\nb"', "a\\nb", "must not hold control characters"),
        ("\t", "\\t", "must not hold control characters"),
    ],
)
def test_refuses_a_text_that_the_column_cannot_hold(tmp_path: Path, name: str, value: str, rule: str) -> None:
    products = read(tmp_path, products=products_with(f"1,{name},,,,,,")).products

    assert (products.rows, products.bad_rows) == ((), (BadRow("products.csv", 2, "name", value, rule),))


def test_takes_a_text_as_long_as_the_column_in_any_script(tmp_path: Path) -> None:
    products = read(tmp_path, products=products_with(f"1,{'ż' * 256}, ,,,,,")).products

    assert [(row["name"], row["category"]) for row in products.rows] == [("ż" * 256, " ")]


def test_refuses_a_row_that_is_not_in_utf_8(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "products.csv").write_bytes(products_with("1,Gr\xfc\xdfe,,,,,,\n2,ok,,,,,,").encode("latin-1"))

    products = read_folder(tmp_path).products

    assert [row["product_id"] for row in products.rows] == [2]
    assert products.bad_rows == (BadRow("products.csv", 2, "name", "Gr\\udcfc\\udcdfe", "must be valid UTF-8"),)


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        ("1,X,1,1,1,1,1,1,1", "gender", "X", "must be one of F, M"),
        ("1,F,-1,1,1,1,1,1,1", "age", "-1", "must be from 0 to 150"),
        ("1,F,1,-0.01,1,1,1,1,1", "mean_buy_price", "-0.01", "must be from 0 to 3.402823466e+38"),
        ("1,F,1,1,-1,1,1,1,1", "total_coupons_used", "-1", "must be from 0 to 2147483647"),
        ("1,F,1,1,1,100.5,1,1,1", "mean_discount_received", "100.5", "must be from 0 to 100"),
    ],
)
def test_refuses_a_row_that_is_no_customer(tmp_path: Path, row: str, column: str, value: str, rule: str) -> None:
    customers = read(tmp_path, customers=customers_with(row)).customers

    assert (customers.rows, customers.bad_rows) == ((), (BadRow("customer_info.csv", 2, column, value, rule),))


def test_refuses_the_second_row_with_the_same_key(tmp_path: Path) -> None:
    links = read(tmp_path, links="coupon_id,product_id\n1,11\n1,12\n\n01,11\n").links

    assert [tuple(row.values()) for row in links.rows] == [(1, 11), (1, 12)]
    assert links.bad_rows == (
        BadRow("coupon_product.csv", 5, "coupon_id, product_id", "1, 11", "must be unique: line 2 has it already"),
    )


def test_goes_on_after_a_row_that_is_no_csv(tmp_path: Path) -> None:
    products = read(tmp_path, products=products_with('1,"a"b,,,,,,\n2,ok,,,,,,\n3,"open,,,,,,\n4,lost,,,,,,')).products

    assert [row["product_id"] for row in products.rows] == [2]
    assert products.bad_rows == (
        BadRow("products.csv", 2, "", "", "must be well-formed CSV, which ends at line 2: ',' expected after '\"'"),
        BadRow("products.csv", 4, "", "", "must be well-formed CSV, which ends at line 5: unexpected end of data"),
    )


def test_counts_lines_and_not_rows(tmp_path: Path) -> None:
    products = read(tmp_path, products=products_with('1,"two\nlines",,,,,,\nx,,,,,,,')).products

    assert [bad_row.line for bad_row in products.bad_rows] == [2, 4]


def test_the_links_to_nothing_are_orphans(tmp_path: Path) -> None:
    dataset = read(tmp_path, links="coupon_id,product_id\n1,11\n9,11\n2,99\n8,98\n")
    rule = "must name a row that is in the other files or in the database"

    assert orphans(dataset) == (
        BadRow("coupon_product.csv", 3, "coupon_id", "9", rule),
        BadRow("coupon_product.csv", 4, "product_id", "99", rule),
        BadRow("coupon_product.csv", 5, "coupon_id", "8", rule),
    )
    assert orphans(dataset, coupon_ids={9, 8}, product_ids={99}) == (
        BadRow("coupon_product.csv", 5, "product_id", "98", rule),
    )


def test_makes_the_catalogue_in_the_order_of_ids_and_without_orphans(tmp_path: Path) -> None:
    dataset = read(tmp_path, links="coupon_id,product_id\n3,13\n3,11\n2,12\n2,99\n9,11\n")

    assert catalogue_coupons(dataset, DepartmentNames.with_aliases({"Sport": "Sports"})) == [
        Coupon("1", CouponType.BUY_MORE, "Men", 14, 3, date(2026, 1, 1), date(2026, 12, 31), 7.12, 40),
        Coupon("2", CouponType.DEPARTMENT, "Sports", 20, -1, date(2026, 2, 1), date(2026, 2, 28), 9.5, 7, (SHOES,)),
        Coupon(
            "3", CouponType.JUST_DISCOUNT, "Women", 5, 1, date(2026, 1, 1), date(2026, 6, 30), 19.99, 0, (SHIRT, DRESS)
        ),
    ]


def test_makes_the_contexts_with_defaults_for_empty_fields(tmp_path: Path) -> None:
    assert customer_contexts(read(tmp_path), DEFAULTS) == {
        "7": CustomerContext("7", Gender.FEMALE, 57, 34.22, 15, 22.33, 126, 23, 175),
        "8": replace(DEFAULTS, customer_id="8"),
    }


def test_moves_the_coupons_of_a_dataset_that_have_all_expired(tmp_path: Path) -> None:
    dataset = read(tmp_path)

    shifted, years = with_shifted_dates(dataset, date(2029, 1, 1))

    assert years == 3
    assert [row["end_date"] for row in shifted.coupons.rows] == ["2029-12-31", "2029-02-28", "2029-06-30"]
    assert (shifted.products, shifted.links, shifted.customers) == (dataset.products, dataset.links, dataset.customers)
    assert with_shifted_dates(dataset, date(2026, 12, 31)) == (dataset, 0)


def test_the_first_name_of_a_file_is_the_one_to_write() -> None:
    assert [table.file_names[0] for table in TABLES] == [
        "products.csv",
        "coupon_info.csv",
        "coupon_product.csv",
        "customer_info.csv",
    ]
