"""An imported history as one file: arrays in numpy's own format, without pickle."""

import zlib
from dataclasses import asdict, fields, replace
from datetime import date
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import orjson

from app.domain.coupon import Coupon, CouponType
from app.domain.customer import Gender
from app.domain.history import CouponIssues, Customers, History, Purchases
from app.errors import DatasetRefused

HISTORY_FILE = "history.npz"
FORMAT = 1

# What zipfile, zlib and numpy raise for a file that was cut off, changed, or is something else.
_DAMAGED = (
    *(BadZipFile, EOFError, KeyError, MemoryError, OSError, RuntimeError, SyntaxError),
    *(TokenError, TypeError, ValueError, zlib.error),
)


def save_history(history: History, path: Path) -> None:
    """Write it, the coupons without their products. Raises OSError."""
    customers = history.customers
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT),
        "coupons": _bytes([asdict(replace(coupon, products=())) for coupon in history.coupons]),
        "customers.ids": _bytes(list(customers.ids)),
        "customers.genders": _bytes(list(customers.genders)),
        "customers.born": customers.born.astype(np.int64),
    }
    for name, table in (("purchases", history.purchases), ("issues", history.issues)):
        for field in fields(table):
            column = getattr(table, field.name)
            arrays[f"{name}.{field.name}"] = column.astype(np.int64) if column.dtype.kind == "M" else column
    content = BytesIO()
    np.savez_compressed(content, **arrays)
    path.write_bytes(content.getbuffer())


def load_history(path: Path) -> History:
    """The history that `save_history` wrote. Raises DatasetRefused saying what is wrong with the file."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if int(arrays["format"]) != FORMAT:
                raise DatasetRefused(f"{path} was written by another version: import the history again")
            return History(
                Customers(
                    tuple(_parsed(arrays["customers.ids"])),
                    tuple(map(Gender, _parsed(arrays["customers.genders"]))),
                    arrays["customers.born"].astype("datetime64[D]"),
                ),
                tuple(_coupon(one) for one in _parsed(arrays["coupons"])),
                Purchases(*(_column(arrays, "purchases", field.name) for field in fields(Purchases))),
                CouponIssues(*(_column(arrays, "issues", field.name) for field in fields(CouponIssues))),
            )
    except FileNotFoundError as error:
        raise DatasetRefused(f"{path} is not there: `python -m app history import DIR --out OUT` writes it") from error
    except _DAMAGED as error:
        raise DatasetRefused(
            f"{path} is no history that `python -m app history import` has written, or is damaged: {error}"
        ) from error


def _column(arrays: "np.lib.npyio.NpzFile", table: str, name: str) -> np.ndarray:
    column = arrays[f"{table}.{name}"]
    return column.astype("datetime64[D]") if name in ("day", "redeemed_on") else column


def _bytes(values: list[object]) -> np.ndarray:
    return np.frombuffer(orjson.dumps(values), dtype=np.uint8)


def _parsed(data: np.ndarray) -> list[Any]:
    found: Any = orjson.loads(data.tobytes())
    if not isinstance(found, list):
        raise TypeError("a list was expected")
    return found


def _coupon(found: Any) -> Coupon:
    if not isinstance(found, dict):
        raise TypeError("a coupon was expected")
    found["type"] = CouponType(found["type"])
    for name in ("start_date", "end_date"):
        found[name] = date.fromisoformat(found[name])
    found["products"] = ()
    return Coupon(**found)
