"""Features of candidate coupons, from what was known when they were offered: nothing of that day, nothing later.

The columns that describe a row or its customer, what the coupon is good for, and the past (`app.training.frame_past`).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from app.domain.features import Floats
from app.domain.history import Ints
from app.training.cells import NO_DAY, codes_of
from app.training.frame_columns import described
from app.training.frame_past import Kin, Past, kin_of
from app.training.frames import (
    UNKNOWN,
    Frame,
    Shelf,
    Tables,
    first_days,
    last_days,
    read_shop,
    read_tables,
    with_campaign,
)
from app.training.members import Features

NOT_FEATURES = ("group", "customer_id", "coupon_id", "campaign_id", "start_date", "end_date", "y")
FEW_COUPONS = 30
MOST_CROSSED = 600  # products of a coupon with what describes its rows
MOST_DAYS = 40  # of which the past is looked up; rows of a day between know that of the last one before
RANKED = ("bought_", "redeemed_alike_", "coupon_rate")


class FrameFeatures:
    """Learns from labelled rows and tables what features there are, and makes them of any rows.

    `design` are those of the labelled rows, shape (n, len(names)), NaN where something is not known. Raises
    DatasetRefused for cells that are neither text, numbers nor dates.
    """

    def __init__(self, rows: Frame, tables: Tables) -> None:
        known = read_tables(tables)
        self._campaigns = {name: table for name, table in known.items() if name == "campaigns"}
        rows = with_campaign(rows, self._campaigns)
        self._shop = read_shop(rows, known)
        attributes = self._shop.attributes
        self._of_rows = tuple(described(rows.drop(columns=[*NOT_FEATURES], errors="ignore"), ""))
        self._of_customers = () if attributes is None else tuple(described(attributes, "customer_"))
        coupons = self._shop.coupons[np.unique(self._shop.coupon(rows["coupon_id"]))]
        self._few_coupons = tuple(coupons) if len(coupons) <= FEW_COUPONS else ()
        self._kin: Kin = {} if self._shop.shelf is None else dict(kin_of(self._shop.shelf))
        columns = dict(self._columns(rows, NO_DAY))
        self.names = tuple(columns)
        self.design = _stacked(columns, self.names, len(rows))

    def make(self, rows: Frame) -> Features:
        """The features of rows without labels, in their order, shape (n, len(names)).

        Rows that nobody has dated are taken to come after everything that is known.
        """
        rows = with_campaign(rows, self._campaigns)
        return _stacked(dict(self._columns(rows, self._shop.last_day + 1)), self.names, len(rows))

    def _columns(self, rows: Frame, undated: int) -> Iterator[tuple[str, Floats]]:
        group = codes_of(rows["group"])[0]
        group[group < 0] = group.max(initial=0) + 1
        yield "log_candidates", np.asarray(np.log(np.bincount(group)[group]))
        customer, coupon = self._shop.customer(rows["customer_id"]), self._shop.coupon(rows["coupon_id"])
        yield from self._of_few_coupons(dict(self._of_what_is_said(rows, customer)), coupon)
        if self._shop.shelf is not None:
            yield from _of_shelf(self._shop.shelf, self._kin, coupon)
        if self._shop.offers is not None:
            yield from self._of_the_past(rows, customer, coupon, group, undated)

    def _of_what_is_said(self, rows: Frame, customer: Ints) -> Iterator[tuple[str, Floats]]:
        for column in self._of_rows:
            yield from column.features(rows)
        attributes = self._shop.attributes
        if attributes is not None:
            of_customer = self._shop.attributes_of[customer]
            yield "has_attributes", (of_customer != UNKNOWN).astype(np.float64)
            table = attributes.reindex(of_customer)
            for column in self._of_customers:
                yield from column.features(table)

    def _of_few_coupons(self, said: dict[str, Floats], coupon: Ints) -> Iterator[tuple[str, Floats]]:
        """What is said of rows, and where coupons are few, each of them; and both at once: who takes which."""
        yield from said.items()
        places = {name: self._shop.coupons.get_loc(name) for name in self._few_coupons}
        for name, place in places.items():
            yield f"coupon={name}", (coupon == place).astype(np.float64)
        if len(places) * len(said) <= MOST_CROSSED:
            for name, place in places.items():
                for other, values in said.items():
                    yield f"coupon={name} and {other}", np.where(coupon == place, values, 0.0)

    def _of_the_past(
        self, rows: Frame, customer: Ints, coupon: Ints, group: Ints, undated: int
    ) -> Iterator[tuple[str, Floats]]:
        start = first_days(rows)
        yield "days_long", np.where(start == NO_DAY, np.nan, last_days(rows) - start)
        found: dict[str, Floats] = {}
        day = looked_up(np.where(start == NO_DAY, undated, start))
        for one in np.unique(day[day != NO_DAY]):
            chosen = np.flatnonzero(day == one)
            past = Past(self._shop, self._kin, int(one), customer[chosen], coupon[chosen])
            for name, values in past.features():
                found.setdefault(name, np.full(len(rows), np.nan))[chosen] = values
        yield from found.items()
        for name, values in found.items():
            if name.startswith(RANKED):
                rounded = pd.Series(
                    values.astype(np.float32)
                )  # so that equal amounts are equal however they were added
                yield f"rank_of_{name}", np.asarray(rounded.groupby(group).rank(pct=True), dtype=np.float64)


def looked_up(day: Ints) -> Ints:
    """For each day, one of at most MOST_DAYS of them that is not later; NO_DAY stays."""
    each = np.unique(day[day != NO_DAY])
    kept = np.append(NO_DAY, each[:: -(-len(each) // MOST_DAYS) or 1])
    return kept[np.searchsorted(kept, day, side="right") - 1]


def _stacked(columns: dict[str, Floats], names: tuple[str, ...], rows: int) -> Features:
    made = np.full((rows, len(names)), np.nan, dtype=np.float32)
    for index, name in enumerate(names):
        if name in columns:
            made[:, index] = columns.pop(name)
    return made


def _of_shelf(shelf: Shelf, kin: Kin, coupon: Ints) -> Iterator[tuple[str, Floats]]:
    """How much a coupon is good for; NaN for a coupon that nobody knows."""

    def known(values: Floats) -> Floats:
        return np.where(coupon == UNKNOWN, np.nan, values[coupon])

    items = np.asarray(shelf.coupon_items.sum(axis=1)).ravel()
    for name, (of_coupon, _) in kin.items():
        yield f"log_number_of_{name}", known(np.log1p(np.asarray(of_coupon.sum(axis=1)).ravel()))
    if shelf.is_private is not None:
        yield "private_share", known((shelf.coupon_items @ shelf.is_private) / np.maximum(items, 1))
