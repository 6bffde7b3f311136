"""A retailer's tables as numbers: ids become positions, days whole numbers; what is absent is empty.

Tables are those of `app.training.train`. Nothing here looks at the name of a data set, only at what is there. What a
cell may hold is in `app.training.cells`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from app.domain.features import Floats
from app.domain.history import Ints
from app.errors import DatasetRefused
from app.training.cells import NO_DAY, amounts, codes_of, days, texts

Frame = pd.DataFrame
Tables = Mapping[str, pd.DataFrame | None]

UNKNOWN = -1
USUAL_DAYS = 30  # that an offer is taken to last where nobody says
LEVELS = {"brand": "brand_id", "category": "category", "product_type": "product_type", "department": "department"}
COUPON_DISCOUNTS = ("coupon_disc", "coupon_match_disc")
PURCHASE_DATES = ("transaction_timestamp", "date")
OF_CAMPAIGN = ("campaign_type", "start_date", "end_date")
KEYS: Mapping[str, Sequence[str]] = {
    "campaigns": ("campaign_id",),
    "coupon_items": ("coupon_id", "item_id"),
    "items": ("item_id",),
    "customers": ("customer_id",),
    "transactions": ("customer_id", "item_id"),
    "redemptions": ("customer_id", "coupon_id"),
}


@dataclass(frozen=True, slots=True)
class Purchases:
    """Lines of baskets in the order of their days, each array of the shape (lines,); `with_coupon` is 0 or 1."""

    customer: Ints
    item: Ints
    day: Ints
    sales: Floats
    with_coupon: Floats
    discounted: Floats


@dataclass(frozen=True, slots=True)
class Redemptions:
    """Coupons that were used, each array of the shape (redemptions,)."""

    customer: Ints
    coupon: Ints
    day: Ints


@dataclass(frozen=True, slots=True)
class Offers:
    """Labelled rows: who was offered what from when to when, and whether it was redeemed; arrays of the shape (n,).

    Rows that nobody has dated are not among them.
    """

    customer: Ints
    coupon: Ints
    start: Ints
    end: Ints
    is_redeemed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What coupons are good for. `levels` maps item, brand, category, ... to the code of each item, UNKNOWN for none.

    `coupon_items` has the shape (coupons, items), 1 where the coupon is good for the item.
    """

    coupon_items: sparse.csr_matrix
    levels: Mapping[str, Ints]
    is_private: Floats | None


@dataclass(frozen=True, slots=True)
class Shop:
    """Everything that is known beside the rows to be scored; None where there is no such table.

    Of `attributes`, the row at a position is that customer's; UNKNOWN in `attributes_of` for somebody without any.
    """

    customers: pd.Index
    coupons: pd.Index
    offers: Offers | None
    shelf: Shelf | None
    purchases: Purchases | None
    redemptions: Redemptions | None
    attributes: Frame | None
    attributes_of: Ints

    def customer(self, ids: pd.Series) -> Ints:
        """Positions, UNKNOWN for somebody new."""
        return _positions(self.customers, ids)

    def coupon(self, ids: pd.Series) -> Ints:
        """Positions, UNKNOWN for a new one."""
        return _positions(self.coupons, ids)

    @property
    def last_day(self) -> int:
        """Of anything that is known."""
        tables = [one.day for one in (self.purchases, self.redemptions) if one is not None]
        if self.offers is not None:
            tables.append(self.offers.end)
        return int(max((one.max() for one in tables if len(one)), default=0))


def read_tables(tables: Tables) -> dict[str, Frame]:
    """Those of which something is known, with unique columns. Raises DatasetRefused for what is no such table."""
    known = {}
    for name, keys in KEYS.items():
        table = tables.get(name)
        if table is None:
            continue
        check_frame(table, f"the table {name}")
        if not table.size:
            continue
        check_columns(table, f"the table {name}", keys)
        known[name] = table
    return known


def check_frame(table: object, what: str) -> None:
    """Raises DatasetRefused for anything else than a data frame."""
    if not isinstance(table, pd.DataFrame):
        raise DatasetRefused(f"{what} is of the type {type(table).__name__}: a data frame is wanted")


def check_columns(table: Frame, what: str, needed: Sequence[str]) -> None:
    """Raises DatasetRefused for what is no data frame, or where a column is not there, or there twice."""
    check_frame(table, what)
    if missing := [name for name in needed if name not in table]:
        raise DatasetRefused(f"{what} lacks the columns {', '.join(missing)}")
    if not table.columns.is_unique:
        twice = table.columns[table.columns.duplicated()][0]
        raise DatasetRefused(f"{what} has the column {twice} twice: one name, one column")


def with_campaign(rows: Frame, tables: Mapping[str, Frame]) -> Frame:
    """The rows with what only the table of campaigns says of theirs, numbered from 0."""
    rows = rows.reset_index(drop=True)
    campaigns = tables.get("campaigns")
    if campaigns is None or "campaign_id" not in rows:
        return rows
    lacking = [name for name in OF_CAMPAIGN if name not in rows and name in campaigns]
    if not lacking:
        return rows
    ids = _index([campaigns], "campaign_id")
    first = np.full(len(ids) + 1, -1)
    place = _positions(ids, campaigns["campaign_id"])
    first[place[::-1]] = np.arange(len(campaigns))[::-1]
    first[-1] = -1
    chosen = first[_positions(ids, rows["campaign_id"])]
    found = campaigns[lacking].reset_index(drop=True).reindex(chosen).reset_index(drop=True)
    return pd.concat([rows, found], axis="columns")


def read_shop(rows: Frame, tables: Mapping[str, Frame]) -> Shop:
    """Number what is in the labelled rows and the tables."""
    customers = _index([rows, *_having(tables, "customer_id")], "customer_id")
    coupons = _index([rows, *_having(tables, "coupon_id")], "coupon_id")
    items = _index(_having(tables, "item_id"), "item_id")
    attributes, attributes_of = _attributes(tables.get("customers"), customers)
    return Shop(
        customers=customers,
        coupons=coupons,
        offers=_offers(rows, customers, coupons),
        shelf=_shelf(tables, coupons, items),
        purchases=_purchases(tables.get("transactions"), customers, items),
        redemptions=_redemptions(tables.get("redemptions"), customers, coupons),
        attributes=attributes,
        attributes_of=attributes_of,
    )


def first_days(rows: Frame) -> Ints:
    """On which each row was offered first, NO_DAY where nobody says."""
    return days(rows["start_date"]) if "start_date" in rows else np.full(len(rows), NO_DAY)


def last_days(rows: Frame) -> Ints:
    """On which each row was offered last, NO_DAY where it has no first day; never before that."""
    first = first_days(rows)
    last = days(rows["end_date"]) if "end_date" in rows else np.full(len(rows), NO_DAY)
    last = np.where(last == NO_DAY, first + USUAL_DAYS, np.maximum(first, last))
    return np.where(first == NO_DAY, NO_DAY, last)


def _having(tables: Mapping[str, Frame], column: str) -> list[Frame]:
    return [table for name, table in tables.items() if column in KEYS[name]]


def _index(frames: Sequence[Frame], column: str) -> pd.Index:
    """All ids, sorted: their positions do not depend on the order of rows."""
    found: set[str] = set()
    for frame in frames:
        found.update(codes_of(frame[column])[1])
    return pd.Index(sorted(found), dtype=object)


def _positions(index: pd.Index, ids: pd.Series) -> Ints:
    codes, names = codes_of(ids)
    places = np.append(index.get_indexer(pd.Index(names, dtype=object)), UNKNOWN)  # the code of no id is -1
    return np.asarray(places[codes], dtype=np.int64)


def _offers(rows: Frame, customers: pd.Index, coupons: pd.Index) -> Offers | None:
    start = first_days(rows)
    dated = start != NO_DAY
    if not dated.any():
        return None
    return Offers(
        _positions(customers, rows["customer_id"])[dated],
        _positions(coupons, rows["coupon_id"])[dated],
        start[dated],
        last_days(rows)[dated],
        (rows["y"].to_numpy() > 0)[dated],
    )


def _shelf(tables: Mapping[str, Frame], coupons: pd.Index, items: pd.Index) -> Shelf | None:
    links, described = tables.get("coupon_items"), tables.get("items")
    if links is None:
        return None
    coupon, item = _positions(coupons, links["coupon_id"]), _positions(items, links["item_id"])
    known = (coupon != UNKNOWN) & (item != UNKNOWN)
    linked = sparse.csr_matrix((np.ones(known.sum()), (coupon[known], item[known])), shape=(len(coupons), len(items)))
    linked.data[:] = 1.0
    levels, is_private = {"item": np.arange(len(items))}, None
    if described is not None:
        place = _positions(items, described["item_id"])
        described, place = described[place != UNKNOWN], place[place != UNKNOWN]
        for level, column in LEVELS.items():
            if column in described:
                levels[level] = np.full(len(items), UNKNOWN)
                levels[level][place] = _sorted_codes(described[column])
        if {"brand", "category"} <= levels.keys():
            levels["brand_in_category"] = _paired(levels["brand"], levels["category"])
        if "brand_type" in described:
            is_private = np.zeros(len(items))
            is_private[place] = [not one.casefold().startswith("national") for one in texts(described["brand_type"])]
    return Shelf(linked, levels, is_private)


def _sorted_codes(values: pd.Series) -> Ints:
    codes, names = codes_of(values)
    rank = np.append(np.argsort(np.argsort(names)), UNKNOWN)
    return np.asarray(rank[codes], dtype=np.int64)


def _paired(one: Ints, other: Ints) -> Ints:
    pairs = one * (other.max(initial=0) + 2) + other
    both = np.unique(pairs, return_inverse=True)[1]
    return np.where((one == UNKNOWN) | (other == UNKNOWN), UNKNOWN, both)


def _purchases(table: Frame | None, customers: pd.Index, items: pd.Index) -> Purchases | None:
    date = next((name for name in PURCHASE_DATES if table is not None and name in table), None)
    if table is None or date is None:
        return None
    day = days(table[date])
    order = np.argsort(day, kind="stable")
    order = order[day[order] != NO_DAY]

    def amount(name: str) -> Floats:
        return amounts(table[name])[order] if name in table else np.zeros(len(order))

    with_coupon = np.sum([np.abs(amount(name)) for name in COUPON_DISCOUNTS], axis=0) > 0
    return Purchases(
        _positions(customers, table["customer_id"])[order],
        _positions(items, table["item_id"])[order],
        day[order],
        amount("sales_value"),
        with_coupon.astype(np.float64),
        (np.abs(amount("retail_disc")) > 0).astype(np.float64),
    )


def _redemptions(table: Frame | None, customers: pd.Index, coupons: pd.Index) -> Redemptions | None:
    if table is None or "redemption_date" not in table:
        return None
    customer, coupon = _positions(customers, table["customer_id"]), _positions(coupons, table["coupon_id"])
    day = days(table["redemption_date"])
    known = (customer != UNKNOWN) & (coupon != UNKNOWN) & (day != NO_DAY)
    return Redemptions(customer[known], coupon[known], day[known])


def _attributes(table: Frame | None, customers: pd.Index) -> tuple[Frame | None, Ints]:
    """What is known of customers, and the row of each: the first, where somebody has several."""
    rows = np.full(len(customers) + 1, UNKNOWN)
    if table is None:
        return None, rows
    place = _positions(customers, table["customer_id"])
    who, first = np.unique(place, return_index=True)
    rows[who] = np.arange(len(who))
    rows[UNKNOWN] = UNKNOWN
    return table.drop(columns="customer_id").iloc[first].reset_index(drop=True), rows
