"""The data folder as `run` sees it: whether it was loaded, and who could come to the shop."""

import csv
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from itertools import cycle
from pathlib import Path

from app.errors import DatasetRefused

VISITS = 10


@dataclass(frozen=True, slots=True)
class Visit:
    """A customer, and the department they stop at."""

    customer_id: str
    department: str


def fingerprint(data_dir: Path, database: str, today: date) -> str:
    """Tells one loading from another: the files, the database, and the month.

    The month, because dates that were shifted to lie around today do not for long. Raises DatasetRefused.
    """
    digest = hashlib.sha256(f"{database}\n{today:%Y-%m}\n".encode())
    paths = sorted(data_dir.glob("*.csv"))
    if not paths:
        raise DatasetRefused(f"there are no CSV files in {data_dir}")
    for path in paths:
        digest.update(f"{path.name}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def load_once(stamp: Path, wanted: str, data_dir: Path, load: Callable[[], None]) -> bool:
    """Load, unless the stamp says that this was done; whether it was loaded now.

    Raises DatasetRefused where another folder was loaded before: two shops would be mixed.
    """
    folder = str(data_dir.resolve())
    if stamp.is_file():
        done, _, before = stamp.read_text().partition("\n")
        if before and before != folder:
            raise DatasetRefused(f"{stamp.parent} holds the shop of {before}: remove it to run that of {folder}")
        if done == wanted:
            return False
    stamp.write_text(f"\n{folder}")
    load()
    stamp.write_text(f"{wanted}\n{folder}")
    return True


def visits(data_dir: Path) -> list[Visit]:
    """The first customers of the folder, each at the next department that has coupons. Raises DatasetRefused."""
    customers = _distinct(data_dir / "customer_info.csv", "customer_id")[:VISITS]
    departments = _distinct(data_dir / "coupon_info.csv", "department")
    planned = [Visit(customer, department) for customer, department in zip(customers, cycle(departments), strict=False)]
    if not planned:
        raise DatasetRefused(f"{data_dir} has no customers or no coupons: nobody can come to this shop")
    return planned


def _distinct(path: Path, column: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(dict.fromkeys(row[column].strip() for row in csv.DictReader(file)))
    except (OSError, KeyError, UnicodeDecodeError) as error:
        raise DatasetRefused(f"{path} cannot be read: {error!r}") from error
