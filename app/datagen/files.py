"""Writes the artificial shop as CSV: the four files of the documented tables, and the history behind them.

Columns are in the order of the tables, numbers as PostgreSQL prints them, so that `COPY ... FROM` reads the files as
they are and an export gives the same bytes.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from app.datagen.generate import Shop
from app.domain.coupon import Coupon, Product
from app.domain.customer import CustomerContext
from app.domain.history import WITHOUT_COUPON, CouponIssues, Customers, History, Ints

Row = Sequence[str | int]

COUPON_COLUMNS = (
    "coupon_id",
    "coupon_type",
    "department",
    "discount",
    "how_many_products_required",
    "start_date",
    "end_date",
    "product_mean_price",
    "products_available",
)
PRODUCT_COLUMNS = (
    "product_id",
    "name",
    "category",
    "sizes",
    "vendor",
    "description",
    "buy_price",
    "department",
)
COUPON_PRODUCT_COLUMNS = ("coupon_id", "product_id")
CUSTOMER_COLUMNS = (
    "customer_id",
    "gender",
    "age",
    "mean_buy_price",
    "total_coupons_used",
    "mean_discount_received",
    "unique_products_bought",
    "unique_products_bought_with_coupons",
    "total_items_bought",
)


def write_dataset(shop: Shop, folder: Path) -> None:
    """coupon_info.csv, products.csv, coupon_product.csv and customer_info.csv of the shop's year.

    Makes the folder, replaces the files. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_catalogue(folder, shop.products, shop.coupons)
    _write(folder / "customer_info.csv", CUSTOMER_COLUMNS, map(_customer_row, shop.contexts))


def write_history(shop: Shop, folder: Path) -> None:
    """The years before: customers.csv, orders.csv, order_lines.csv, coupon_issues.csv, and the catalogue of back then.

    The catalogue has the columns of `write_dataset`. Makes the folder, replaces the files. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    history = shop.history
    _write_catalogue(folder, shop.products, history.coupons)
    _write(folder / "customers.csv", ("customer_id", "gender", "born"), _customers(history.customers))
    _write(folder / "coupon_issues.csv", ("customer_id", "coupon_id", "issued_on", "redeemed_on"), _issues(history))
    order_of_line = _write_orders(folder, history)
    lines = _order_lines(history, shop.products, order_of_line)
    _write(folder / "order_lines.csv", ("order_id", "product_id", "quantity", "price", "coupon_id"), lines)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_catalogue(folder: Path, products: Sequence[Product], coupons: Sequence[Coupon]) -> None:
    _write(folder / "products.csv", PRODUCT_COLUMNS, map(_product_row, products))
    _write(folder / "coupon_info.csv", COUPON_COLUMNS, map(_coupon_row, coupons))
    links = ((coupon.coupon_id, product.product_id) for coupon in coupons for product in coupon.products)
    _write(folder / "coupon_product.csv", COUPON_PRODUCT_COLUMNS, links)


def _product_row(product: Product) -> Row:
    return (
        product.product_id,
        product.name,
        product.category,
        product.sizes,
        product.vendor,
        product.description,
        _real(product.buy_price),
        product.department,
    )


def _coupon_row(coupon: Coupon) -> Row:
    return (
        coupon.coupon_id,
        coupon.type,
        coupon.department,
        int(coupon.discount),
        coupon.how_many_products_required,
        coupon.start_date.isoformat(),
        coupon.end_date.isoformat(),
        _real(coupon.product_mean_price),
        coupon.products_available,
    )


def _customer_row(context: CustomerContext) -> Row:
    return (
        context.customer_id,
        context.gender,
        context.age,
        _real(context.mean_buy_price),
        context.total_coupons_used,
        _real(context.mean_discount_received),
        context.unique_products_bought,
        context.unique_products_bought_with_coupons,
        context.total_items_bought,
    )


def _customers(customers: Customers) -> Iterable[Row]:
    return zip(customers.ids, customers.genders, customers.born.astype(str).tolist(), strict=True)


def _issues(history: History) -> Iterable[Row]:
    issues: CouponIssues = history.issues
    redeemed = np.where(issues.is_redeemed, issues.redeemed_on.astype(str), "").tolist()
    days = issues.day.astype(str).tolist()
    for customer, coupon, day, redeemed_on in zip(
        issues.customer.tolist(), issues.coupon.tolist(), days, redeemed, strict=True
    ):
        yield history.customers.ids[customer], history.coupons[coupon].coupon_id, day, redeemed_on


def _write_orders(folder: Path, history: History) -> Ints:
    """What a customer buys on one day is one order; gives the order of each line, shape (lines,)."""
    purchases = history.purchases
    keys = np.column_stack([purchases.day.astype(np.int64), purchases.customer])
    orders, order_of_line = np.unique(keys, axis=0, return_inverse=True)
    days = orders[:, 0].astype("datetime64[D]").astype(str).tolist()
    ids = [history.customers.ids[customer] for customer in orders[:, 1].tolist()]
    rows = zip(range(1, len(orders) + 1), ids, days, strict=True)
    _write(folder / "orders.csv", ("order_id", "customer_id", "ordered_on"), rows)
    return order_of_line.astype(np.int64)


def _order_lines(history: History, products: Sequence[Product], order_of_line: Ints) -> Iterable[Row]:
    purchases = history.purchases
    columns = (order_of_line, purchases.product, purchases.quantity, purchases.price, purchases.coupon)
    in_order = np.lexsort((purchases.coupon, purchases.product, order_of_line))
    for order, product, quantity, price, coupon in zip(*(column[in_order].tolist() for column in columns), strict=True):
        coupon_id = "" if coupon == WITHOUT_COUPON else history.coupons[coupon].coupon_id
        yield order + 1, products[product].product_id, quantity, _real(price), coupon_id


def _real(amount: float) -> str:
    """Two decimals at most, none that say nothing."""
    return f"{amount:.2f}".rstrip("0").rstrip(".")
