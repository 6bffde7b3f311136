"""A retailer's tables as numbers: ids become positions, days whole numbers; what is absent is empty.

Tables are those of `app.training.train`. Nothing here looks at the name of a data set, only at what is there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from app.domain.features import Floats
from app.domain.history import Ints

Frame = pd.DataFrame
Tables = Mapping[str, pd.DataFrame | None]

UNKNOWN = -1
LEVELS = {"brand": "brand_id", "category": "category", "product_type": "product_type", "department": "department"}
COUPON_DISCOUNTS = ("coupon_disc", "coupon_match_disc")


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
    """Labelled rows: who was offered what from when to when, and whether it was redeemed; arrays of the shape (n,)."""

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
    """Everything that is known beside the rows to be scored; None where there is no such table."""

    customers: pd.Index
    coupons: pd.Index
    offers: Offers | None
    shelf: Shelf | None
    purchases: Purchases | None
    redemptions: Redemptions | None
    attributes: Frame | None

    def customer(self, ids: pd.Series) -> Ints:
        """Positions, UNKNOWN for somebody new."""
        return self.customers.get_indexer(pd.Index(ids))

    def coupon(self, ids: pd.Series) -> Ints:
        """Positions, UNKNOWN for a new one."""
        return self.coupons.get_indexer(pd.Index(ids))

    @property
    def first_day(self) -> int:
        """Of anything that is known."""
        starts = [
            table.day.min() for table in (self.purchases, self.redemptions) if table is not None and len(table.day)
        ]
        if self.offers is not None and len(self.offers.start):
            starts.append(self.offers.start.min())
        return int(min(starts, default=0))


def read_shop(rows: Frame, tables: Tables) -> Shop:
    """Number what is in the labelled rows and the tables."""
    known = {name: table for name, table in tables.items() if table is not None and len(table)}
    customers = _index([rows, *_having(known, "customer_id")], "customer_id")
    coupons = _index([rows, *_having(known, "coupon_id")], "coupon_id")
    items = _index(_having(known, "item_id"), "item_id")
    return Shop(
        customers=customers,
        coupons=coupons,
        offers=_offers(rows, customers, coupons),
        shelf=_shelf(known, coupons, items),
        purchases=_purchases(known.get("transactions"), customers, items),
        redemptions=_redemptions(known.get("redemptions"), customers, coupons),
        attributes=_attributes(known.get("customers")),
    )


def days(values: pd.Series) -> Ints:
    """Days since 1970; the earliest that can be told apart from none where there is no date."""
    return np.asarray(pd.to_datetime(values, errors="coerce").to_numpy().astype("datetime64[D]").astype(np.int64))


def is_dated(rows: Frame) -> bool:
    """Whether every row says when it was offered."""
    return "start_date" in rows and bool(pd.to_datetime(rows["start_date"], errors="coerce").notna().all())


def _having(tables: Mapping[str, Frame], column: str) -> list[Frame]:
    return [table for table in tables.values() if column in table]


def _index(frames: Sequence[Frame], column: str) -> pd.Index:
    if not frames:
        return pd.Index([])
    found: pd.Index = pd.Index(pd.concat([frame[column] for frame in frames], ignore_index=True).dropna().unique())
    return found


def _numbers(table: Frame, column: str) -> Floats:
    if column not in table:
        return np.zeros(len(table))
    return pd.to_numeric(table[column], errors="coerce").fillna(0).to_numpy(dtype=np.float64)


def _offers(rows: Frame, customers: pd.Index, coupons: pd.Index) -> Offers | None:
    if not is_dated(rows):
        return None
    return Offers(
        customers.get_indexer(pd.Index(rows["customer_id"])),
        coupons.get_indexer(pd.Index(rows["coupon_id"])),
        days(rows["start_date"]),
        days(rows["end_date"] if "end_date" in rows else rows["start_date"]),
        rows["y"].to_numpy() > 0,
    )


def _shelf(tables: Mapping[str, Frame], coupons: pd.Index, items: pd.Index) -> Shelf | None:
    links, described = tables.get("coupon_items"), tables.get("items")
    if links is None or not len(items):
        return None
    coupon, item = coupons.get_indexer(pd.Index(links["coupon_id"])), items.get_indexer(pd.Index(links["item_id"]))
    known = (coupon >= 0) & (item >= 0)
    linked = sparse.csr_matrix((np.ones(known.sum()), (coupon[known], item[known])), shape=(len(coupons), len(items)))
    linked.data[:] = 1.0
    levels, is_private = {"item": np.arange(len(items))}, None
    if described is not None:
        place = items.get_indexer(pd.Index(described["item_id"]))
        for level, column in LEVELS.items():
            if column in described:
                levels[level] = np.full(len(items), UNKNOWN)
                levels[level][place] = pd.factorize(described[column])[0]
        if {"brand", "category"} <= levels.keys():
            levels["brand_in_category"] = _paired(levels["brand"], levels["category"])
        if "brand_type" in described:
            is_private = np.zeros(len(items))
            is_private[place] = ~described["brand_type"].astype(str).str.casefold().str.startswith("national")
    return Shelf(linked, levels, is_private)


def _paired(one: Ints, other: Ints) -> Ints:
    both = pd.factorize(one.astype(np.int64) * (other.max() + 2) + other)[0]
    return np.where((one == UNKNOWN) | (other == UNKNOWN), UNKNOWN, both)


def _purchases(table: Frame | None, customers: pd.Index, items: pd.Index) -> Purchases | None:
    date = next((name for name in ("transaction_timestamp", "date") if table is not None and name in table), None)
    if table is None or date is None:
        return None
    when = pd.to_datetime(table[date], errors="coerce")
    table = table[when.notna().to_numpy()]
    order = np.argsort(when.dropna().to_numpy(), kind="stable")
    table, when = table.iloc[order], when.dropna().iloc[order]
    with_coupon = sum((np.abs(_numbers(table, name)) for name in COUPON_DISCOUNTS), np.zeros(len(table))) > 0
    return Purchases(
        customers.get_indexer(pd.Index(table["customer_id"])),
        items.get_indexer(pd.Index(table["item_id"])),
        days(when),
        _numbers(table, "sales_value"),
        with_coupon.astype(np.float64),
        (np.abs(_numbers(table, "retail_disc")) > 0).astype(np.float64),
    )


def _redemptions(table: Frame | None, customers: pd.Index, coupons: pd.Index) -> Redemptions | None:
    if table is None or "redemption_date" not in table:
        return None
    table = table[pd.to_datetime(table["redemption_date"], errors="coerce").notna().to_numpy()]
    customer = customers.get_indexer(pd.Index(table["customer_id"]))
    coupon = coupons.get_indexer(pd.Index(table["coupon_id"]))
    known = (customer >= 0) & (coupon >= 0)
    return Redemptions(customer[known], coupon[known], days(table["redemption_date"])[known])


def _attributes(table: Frame | None) -> Frame | None:
    if table is None or "customer_id" not in table:
        return None
    return table.drop_duplicates("customer_id").set_index("customer_id")
