"""A model of boosted trees, scored by bits that say which leaves can still be reached, instead of by walks to a leaf.

The method is QuickScorer (Lucchese et al., SIGIR 2015): the leaves of a tree are bits, counted from the left, and every
split that a row passes to the right takes the leaves on its left away; the first leaf that is left is the row's.
Here the splits of one feature are one table, so that a value takes away all that it can in one step. What depends on
the coupons alone is done once for all customers.
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, fields
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from app.domain.features import (
    COUPON_END,
    CUSTOMER_END,
    FEATURE_NAMES,
    GAP,
    HAS_BOUGHT,
    LEFT,
    RIGHT,
    Floats,
    price_gap,
    sigmoid,
)

MAX_LEAVES = 64  # the bits of the longest number
MAX_ENTRIES = 10_000_000  # of the tables; 200 trees of 31 leaves make 1,200,000

Ints = NDArray[np.int64]
Bits = NDArray[np.uint32 | np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class TreesForm:
    """Boosted trees, whole: log odds = intercept + the sum of the value of one leaf of each tree.

    Split i says that rows with more than `threshold[i]` of the feature with the index `feature[i]` can only end in
    those leaves of the tree `tree[i]` whose bits are set in `reachable[i]`; all four have the shape (S,). `leaves`
    has the shape (T, MAX_LEAVES at most), filled up behind the leaves of each tree, of which there are `leaf_count`,
    shape (T,). `intercept` has the shape ().
    """

    intercept: Floats
    feature: Ints
    threshold: Floats
    tree: Ints
    reachable: NDArray[np.uint64]
    leaves: Floats
    leaf_count: Ints


def trees_to_bytes(form: TreesForm) -> bytes:
    """An npz file; the same form gives the same bytes."""
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as file:
        for name, array in _arrays(form):
            part = BytesIO()
            np.lib.format.write_array(part, array, allow_pickle=False)
            file.writestr(ZipInfo(f"{name}.npy"), part.getvalue())
    return buffer.getvalue()


def trees_from_bytes(data: bytes) -> TreesForm:
    """The form that `trees_to_bytes` wrote.

    Raises ValueError for a form that cannot be scored with, and for a damaged file whatever zipfile and numpy raise.
    """
    with ZipFile(BytesIO(data)) as file:
        if sum(part.file_size for part in file.infolist()) > len(data):
            raise ValueError("its parts are larger than the whole file")
        arrays = {}
        for field in fields(TreesForm):
            arrays[field.name] = np.lib.format.read_array(BytesIO(file.read(f"{field.name}.npy")), allow_pickle=False)
    form = TreesForm(**arrays)
    if problem := next(_problems(form), None):
        raise ValueError(problem)
    return form


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCoupons:
    """Coupons with what the trees have to say of them alone.

    `features` has the shape (n, D) of `coupon_matrix`, `reachable` (n, T); `shared`, of length D, has the value of
    each column that is the same for all coupons, NaN for the others.
    """

    features: Floats
    reachable: Bits
    shared: list[float]


class TreeModel:
    """Scores with the trees of a form."""

    def __init__(self, form: TreesForm) -> None:
        self._intercept = float(form.intercept)
        trees, width = form.leaves.shape
        self._leaf_values = form.leaves.ravel()
        self._leaf_before = np.arange(trees) * width - 1  # a leaf's number in its tree counts from 1
        bits = np.uint32 if width <= np.uint32().itemsize * 8 else np.uint64
        self._one = bits(1)
        self._thresholds: list[tuple[Floats, list[float]]] = []  # as the search for many values wants them, and for one
        self._first: list[int] = []
        tables: list[Bits] = []
        for feature in range(len(FEATURE_NAMES)):
            thresholds, table = _table(form, feature, bits)
            self._first.append(sum(map(len, tables)))
            self._thresholds.append((thresholds, thresholds.tolist()))
            tables.append(table)
        self._tables = np.concatenate(tables)
        asked = set(form.feature.tolist())
        self._customer = [feature for feature in range(CUSTOMER_END) if feature in asked]
        self._coupon = [feature for feature in range(CUSTOMER_END, COUPON_END) if feature in asked]
        pairs = enumerate(zip(LEFT.tolist(), RIGHT.tolist(), strict=True), COUPON_END)
        self._pairs = [(feature, left, right) for feature, (left, right) in pairs if feature in asked]

    def prepare(self, coupons: Floats) -> PreparedCoupons:
        """For any number of customers; `coupons` has the shape (n, D)."""
        reachable = np.full((len(coupons), len(self._leaf_before)), ~self._one.dtype.type(0))
        for feature in self._coupon:
            reachable &= self._reachable_with(feature, coupons[:, feature - CUSTOMER_END])
        shared = np.full(coupons.shape[1], np.nan)
        if len(coupons):
            is_same = (coupons == coupons[0]).all(axis=0)
            shared[is_same] = coupons[0, is_same]
        return PreparedCoupons(coupons, reachable, shared.tolist())

    def probabilities(self, customer: Floats, coupons: PreparedCoupons) -> Floats:
        """Shape (n,), of one customer, shape (C,), and n coupons."""
        known = customer.tolist()
        common = [self._row(feature, known[feature]) for feature in self._customer]
        reachable = coupons.reachable.copy()
        for feature, of_customer, of_coupon in self._pairs:
            product = known[of_customer] and known[of_customer] * coupons.shared[of_coupon]
            if math.isnan(product):
                reachable &= self._reachable_with(feature, known[of_customer] * coupons.features[:, of_coupon])
            else:
                common.append(self._row(feature, product))
        if known[HAS_BOUGHT]:
            reachable &= self._reachable_with(GAP, price_gap(customer, coupons.features))
        else:
            common.append(self._row(GAP, 0.0))
        reachable &= np.bitwise_and.reduce(self._tables[common])
        leaf = self._leaf_before + np.bitwise_count(reachable ^ (reachable - self._one))
        return sigmoid(self._intercept + self._leaf_values.take(leaf).sum(axis=1))

    def _row(self, feature: int, value: float) -> int:
        """Of the tables, where it stands which leaves a value leaves over."""
        return self._first[feature] + bisect_left(self._thresholds[feature][1], value)

    def _reachable_with(self, feature: int, values: Floats) -> Bits:
        """Shape (n, T), of values of the shape (n,)."""
        return self._tables[self._first[feature] + np.searchsorted(self._thresholds[feature][0], values)]


def _table(form: TreesForm, feature: int, bits: type[np.uint32 | np.uint64]) -> tuple[Floats, Bits]:
    """Thresholds of a feature, shape (k,), in ascending order; and which leaves are left when a value is above the
    first i of them, shape (k + 1, T).
    """
    splits = np.flatnonzero(form.feature == feature)
    thresholds, above = np.unique(form.threshold[splits], return_inverse=True)
    table = np.full((len(thresholds) + 1, len(form.leaf_count)), ~bits(0))
    np.bitwise_and.at(table, (above + 1, form.tree[splits]), form.reachable[splits].astype(bits))
    return thresholds, np.bitwise_and.accumulate(table)


def _arrays(form: TreesForm) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for field in fields(form):
        yield field.name, np.asarray(getattr(form, field.name))


_KINDS = {
    "intercept": np.float64,
    "feature": np.int64,
    "threshold": np.float64,
    "tree": np.int64,
    "reachable": np.uint64,
    "leaves": np.float64,
    "leaf_count": np.int64,
}


def _problems(form: TreesForm) -> Iterator[str]:
    """What would make scoring fail or read the leaves of another tree; later checks rely on the earlier ones."""
    for name, array in _arrays(form):
        if array.dtype != _KINDS[name]:
            yield f"{name} is of the type {array.dtype}"
    if form.leaves.ndim != 2 or form.intercept.shape != ():
        yield "the leaves are no table, or the intercept is no number"
    trees, width = form.leaves.shape
    if not (trees and 0 < width <= MAX_LEAVES) or form.leaf_count.shape != (trees,):
        yield f"trees have 1 to {MAX_LEAVES} leaves"
    if not ((form.leaf_count >= 1) & (form.leaf_count <= width)).all():
        yield "a tree has more leaves than there are"
    splits = form.feature.shape
    if len(splits) != 1 or not splits == form.threshold.shape == form.tree.shape == form.reachable.shape:
        yield "the splits are not all there"
    if not ((form.feature >= 0) & (form.feature < len(FEATURE_NAMES))).all():
        yield "a split asks for a feature that does not exist"
    if (len(form.feature) + len(FEATURE_NAMES)) * trees > MAX_ENTRIES:
        yield f"{len(form.feature):,} splits in {trees:,} trees are too many to score with"
    if not ((form.tree >= 0) & (form.tree < trees)).all():
        yield "a split belongs to no tree"
    if not (np.isfinite(form.leaves).all() and np.isfinite(form.intercept) and not np.isnan(form.threshold).any()):
        yield "a value is no number"
    last_leaf = np.uint64(1) << (form.leaf_count[form.tree] - 1).astype(np.uint64)
    if not (form.reachable & last_leaf).all():
        yield "a split leaves no leaf to a row that passes all splits to the right"
