"""Which coupons may be offered today, and why the others may not. Each rule is a function that returns its refusal."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from app.domain.coupon import Coupon
from app.domain.features import Floats, coupon_matrix


class Refusal(StrEnum):
    """Why a coupon is no candidate, or a candidate was not offered."""

    NOT_STARTED = "not_started"
    EXPIRED = "expired"
    OUT_OF_STOCK = "out_of_stock"
    BELOW_THRESHOLD = "below_threshold"
    OUTRANKED = "outranked"


def has_started(coupon: Coupon, today: date) -> Refusal | None:
    """Refuses before the coupon's first day."""
    return Refusal.NOT_STARTED if today < coupon.start_date else None


def has_not_expired(coupon: Coupon, today: date) -> Refusal | None:
    """Refuses after the coupon's last day."""
    return Refusal.EXPIRED if today > coupon.end_date else None


def is_in_stock(coupon: Coupon, today: date) -> Refusal | None:
    """Refuses when none of the coupon's products is left."""
    return Refusal.OUT_OF_STOCK if coupon.products_available <= 0 else None


RULES: tuple[Callable[[Coupon, date], Refusal | None], ...] = (has_started, has_not_expired, is_in_stock)


def first_refusal(coupon: Coupon, today: date) -> Refusal | None:
    """The first rule that refuses the coupon, or None when it is a candidate."""
    return next((refusal for rule in RULES if (refusal := rule(coupon, today)) is not None), None)


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Screening:
    """The coupons of a department, told apart; each is itself alone, so that what is made of it can be kept by it.

    `features` is the coupon matrix of the candidates, shape (n, D); `refused` names the first rule that refused.
    """

    candidates: tuple[Coupon, ...]
    features: Floats
    refused: tuple[tuple[Coupon, Refusal], ...]


def screen(coupons: Iterable[Coupon], today: date) -> Screening:
    """Apply every rule to every coupon, in order."""
    candidates, refused = [], []
    for coupon in coupons:
        refusal = first_refusal(coupon, today)
        if refusal is None:
            candidates.append(coupon)
        else:
            refused.append((coupon, refusal))
    return Screening(tuple(candidates), coupon_matrix(candidates), tuple(refused))
