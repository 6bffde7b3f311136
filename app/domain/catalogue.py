"""What the shop has to offer: one immutable snapshot for each version of its coupons."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from hashlib import blake2b

from app.domain.coupon import Coupon, Product
from app.domain.eligibility import Screening, screen


class Catalogue:
    """All coupons with their products.

    Two catalogues with the same coupons have the same `version`, on every instance and after every restart. The
    screening of a department is the same all day, so it is made once a day and kept.
    """

    def __init__(self, coupons: Iterable[Coupon]) -> None:
        self.coupons: Mapping[str, Coupon] = {coupon.coupon_id: coupon for coupon in coupons}
        self.version = _version(self.coupons.values())
        self._by_department: dict[str, list[Coupon]] = {}
        for coupon in self.coupons.values():
            self._by_department.setdefault(coupon.department.casefold(), []).append(coupon)
        self._screened_on: date | None = None
        self._screenings: dict[str, Screening] = {}

    def __len__(self) -> int:
        return len(self.coupons)

    @property
    def departments(self) -> Collection[str]:
        """Those that have coupons, as `screening` knows them."""
        return self._by_department.keys()

    def screening(self, department: str, today: date) -> Screening:
        """The department's coupons told apart; empty for a department without coupons."""
        if today != self._screened_on:
            self._screenings, self._screened_on = {}, today
        key = department.casefold()
        if key not in self._by_department:
            return screen((), today)
        if key not in self._screenings:
            self._screenings[key] = screen(self._by_department[key], today)
        return self._screenings[key]


def _version(coupons: Iterable[Coupon]) -> str:
    digest = blake2b(digest_size=8)
    products: dict[str, Product] = {}
    for coupon in coupons:
        products.update({product.product_id: product for product in coupon.products})
        digest.update(
            repr((replace(coupon, products=()), [product.product_id for product in coupon.products])).encode()
        )
    for product in products.values():
        digest.update(repr(product).encode())
    return digest.hexdigest()
