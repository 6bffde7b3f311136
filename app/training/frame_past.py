"""What was known on one day of pairs of customers and coupons.

These are purchases and redemptions before that day, and the labels of campaigns that had ended before it. Amounts are
rates (for 30 days of what is known), so that rows with a longer past behind them do not look different for that alone.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from app.domain.features import Floats
from app.domain.history import Ints
from app.training.frames import UNKNOWN, Offers, Purchases, Shelf, Shop

MONTH = 30.0
FADING_DAYS = 45.0  # purchases of so long ago count 1/e
LONG_AGO = 400.0
PRIOR_LINES = 5.0
PRIOR_OFFERS, PRIOR_OFFERS_OF_KIN = 100.0, 300.0  # offers that weigh as much as the base rate
PAIRS_AT_ONCE = 4_000_000

Kin = Mapping[str, tuple[sparse.csr_matrix, sparse.csr_matrix]]


def kin_of(shelf: Shelf) -> Iterator[tuple[str, tuple[sparse.csr_matrix, sparse.csr_matrix]]]:
    """For each level, which codes a coupon's items have, shape (coupons, codes), and the code of each item."""
    for name, codes in shelf.levels.items():
        known = np.flatnonzero(codes != UNKNOWN)
        shape = (len(codes), int(codes.max(initial=0)) + 1)
        of_item = sparse.csr_matrix((np.ones(len(known)), (known, codes[known])), shape=shape)
        of_coupon = (shelf.coupon_items @ of_item).tocsr()
        of_coupon.data[:] = 1.0
        yield name, (of_coupon, of_item)


class Past:
    """Pairs, two arrays of the shape (n,), and what was known on a day."""

    def __init__(self, shop: Shop, kin: Kin, day: int, customer: Ints, coupon: Ints) -> None:
        self._shop, self._kin, self._day = shop, kin, day
        self._is_new = (customer == UNKNOWN) | (coupon == UNKNOWN)
        self._customer, self._coupon = np.maximum(customer, 0), np.maximum(coupon, 0)
        self._is_new_customer, self._is_new_coupon = customer == UNKNOWN, coupon == UNKNOWN
        self._who, self._row = np.unique(self._customer, return_inverse=True)
        self._what, self._column = np.unique(self._coupon, return_inverse=True)
        offers = shop.offers
        if offers is None:
            raise ValueError("rows without dates have no past")
        self._months = max(1, day - _first_day_before(day, shop)) / MONTH
        ended = (offers.end < day) & (offers.customer != UNKNOWN) & (offers.coupon != UNKNOWN)
        self._offers = Offers(
            offers.customer[ended], offers.coupon[ended], offers.start[ended], offers.end[ended],
            offers.is_redeemed[ended],
        )  # fmt: skip
        redeemed = self._offers.is_redeemed
        self._base = float(redeemed.mean()) if redeemed.any() else 1.0  # nobody redeemed: no rate depends on it

    def features(self) -> Iterator[tuple[str, Floats]]:
        """Each with one value for each pair."""
        if self._shop.purchases is not None:
            yield from self._of_purchases(self._shop.purchases)
        yield from self._of_offers()
        yield from self._of_redemptions()

    def _of_purchases(self, purchases: Purchases) -> Iterator[tuple[str, Floats]]:
        end = int(np.searchsorted(purchases.day, self._day))
        known = np.flatnonzero((purchases.customer[:end] != UNKNOWN) & (purchases.item[:end] != UNKNOWN))
        customer, item = purchases.customer[known], purchases.item[known]
        count = len(self._shop.customers)
        lines = np.bincount(customer, minlength=count).astype(np.float64)
        for name, amounts in (("sales", purchases.sales), ("lines_with_coupon", purchases.with_coupon)):
            total = np.bincount(customer, np.maximum(amounts[known], 0), count)
            yield f"log_{name}_a_month", self._by_customer(np.log1p(total / self._months))
        yield "log_lines_a_month", self._by_customer(np.log1p(lines / self._months))
        for name, flags in (("with_coupon", purchases.with_coupon), ("discounted", purchases.discounted)):
            usual = float(flags[known].mean()) if len(known) else 0.0
            share = (np.bincount(customer, flags[known], count) + PRIOR_LINES * usual) / (lines + PRIOR_LINES)
            yield f"share_{name}", self._by_customer(share)
        last = np.full(count, -np.inf)
        np.maximum.at(last, customer, purchases.day[known].astype(np.float64))
        yield "log_days_since_purchase", self._by_customer(np.log1p(np.minimum(self._day - last, LONG_AGO)))
        fading = np.exp((purchases.day[known] - self._day) / FADING_DAYS)
        weights = {"a_month": np.ones(len(known)) / self._months, "lately": fading}
        weights["with_coupon"] = purchases.with_coupon[known] / self._months
        share = 1 / (lines + PRIOR_LINES)
        for name, weight in weights.items():
            for level, (of_coupon, of_item) in self._kin.items():
                bought = self._crossed(customer, item, weight, of_item, of_coupon)
                yield f"bought_{level}_{name}", np.log1p(bought)
                if name == "a_month":
                    yield f"bought_{level}_share", bought * self._months * self._by_customer(share)
                everybody = of_coupon @ (np.bincount(item, weight, of_item.shape[0]) @ of_item)
                yield f"sold_{level}_{name}", self._by_coupon(np.log1p(np.asarray(everybody).ravel()))

    def _of_offers(self) -> Iterator[tuple[str, Floats]]:
        offers = self._offers
        for name, who, count, pick in (
            ("customer", offers.customer, len(self._shop.customers), self._by_customer),
            ("coupon", offers.coupon, len(self._shop.coupons), self._by_coupon),
        ):
            offered = np.bincount(who, minlength=count).astype(np.float64)
            redeemed = np.bincount(who, offers.is_redeemed, count).astype(np.float64)
            yield f"{name}_rate", pick(self._log_rate(redeemed, offered, PRIOR_OFFERS))
            yield f"{name}_was_offered", pick((offered > 0).astype(np.float64))
            if name == "coupon":
                for level, (of_coupon, _) in self._kin.items():
                    alike, offered_alike = of_coupon @ (of_coupon.T @ redeemed), of_coupon @ (of_coupon.T @ offered)
                    yield f"coupon_rate_{level}", pick(self._log_rate(alike, offered_alike, PRIOR_OFFERS_OF_KIN))

    def _of_redemptions(self) -> Iterator[tuple[str, Floats]]:
        found = self._shop.redemptions
        if found is not None:
            known = found.day < self._day
            customer, coupon = found.customer[known], found.coupon[known]
        else:
            customer, coupon = (ids[self._offers.is_redeemed] for ids in (self._offers.customer, self._offers.coupon))
        each = np.ones(len(customer)) / self._months
        yield (
            "log_redeemed_by_customer",
            self._by_customer(np.log1p(np.bincount(customer, each, len(self._shop.customers)))),
        )
        yield "log_redeemed_of_coupon", self._by_coupon(np.log1p(np.bincount(coupon, each, len(self._shop.coupons))))
        itself = sparse.identity(len(self._shop.coupons), format="csr")
        yield "redeemed_before", np.log1p(self._crossed(customer, coupon, each, itself, itself))
        for level, (of_coupon, _) in self._kin.items():
            yield f"redeemed_alike_{level}", np.log1p(self._crossed(customer, coupon, each, of_coupon, of_coupon))

    def _crossed(
        self, customer: Ints, thing: Ints, weight: Floats, codes: sparse.csr_matrix, of_coupon: sparse.csr_matrix
    ) -> Floats:
        """For each pair, the weights of the customer's things that share a code with the coupon."""
        amounts = sparse.csr_matrix((weight, (customer, thing)), shape=(len(self._shop.customers), codes.shape[0]))
        mine, wanted = (amounts[self._who] @ codes).tocsr(), of_coupon[self._what].T.tocsc()
        at_once = max(1, PAIRS_AT_ONCE // max(1, len(self._what)))
        found = np.empty(len(self._row))
        for start in range(0, len(self._who), at_once):
            chosen = np.flatnonzero((self._row >= start) & (self._row < start + at_once))
            block = (mine[start : start + at_once] @ wanted).toarray()
            found[chosen] = block[self._row[chosen] - start, self._column[chosen]]
        found[self._is_new] = 0.0
        return found

    def _log_rate(self, redeemed: Floats, offered: Floats, prior: float) -> Floats:
        """Log of the rate over the base rate, pulled towards 0 where little was offered."""
        rate: Floats = np.log((redeemed + prior * self._base) / (offered + prior)) - np.log(self._base)
        return rate

    def _by_customer(self, values: Floats) -> Floats:
        return np.asarray(np.where(self._is_new_customer, np.nan, values[self._customer]))

    def _by_coupon(self, values: Floats) -> Floats:
        return np.asarray(np.where(self._is_new_coupon, np.nan, values[self._coupon]))


def _first_day_before(day: int, shop: Shop) -> int:
    """The first of which anything was known on that day."""
    tables = (
        None if shop.purchases is None else shop.purchases.day[:1],
        None if shop.redemptions is None else shop.redemptions.day,
        None if shop.offers is None else shop.offers.start,
    )
    known = [table[table < day] for table in tables if table is not None]
    return int(min((one.min() for one in known if len(one)), default=day))
