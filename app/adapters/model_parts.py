"""What a model that was read from a file is made of, looked at before it is asked anything.

Native code believes the numbers of a fitted model: a tree whose branches lead back is walked for ever, one that names a
column that does not exist reads what lies beyond. So a model may only be made of parts that scikit-learn checks itself,
and of trees that are checked here.
"""

from collections.abc import Iterator
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_PARTS = 1_000_000
ALLOWED_MODULES = (
    "builtins",
    "numpy",
    "sklearn._loss",
    "sklearn.calibration",
    "sklearn.compose",
    "sklearn.decomposition",
    "sklearn.discriminant_analysis",
    "sklearn.dummy",
    "sklearn.ensemble._bagging",
    "sklearn.ensemble._forest",
    "sklearn.ensemble._hist_gradient_boosting",
    "sklearn.ensemble._stacking",
    "sklearn.ensemble._voting",
    "sklearn.ensemble._weight_boosting",
    "sklearn.feature_selection",
    "sklearn.frozen",
    "sklearn.isotonic",
    "sklearn.linear_model",
    "sklearn.naive_bayes",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.tree",
    "sklearn.utils",
)
OTHER_COLUMNS = ("sklearn.pipeline", "sklearn.compose")  # what is in these gets other columns than they do
TREE, TREE_OF_BOOSTING = "sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
LEAF = -1
NO_COLUMNS = 0

Part = tuple[Any, int]  # with how many columns it is given at least, NO_COLUMNS: nobody says


def flaw_of_parts(model: object) -> str | None:
    """What is wrong with a part of the model; None where nothing is."""
    left: list[Part] = [(model, NO_COLUMNS)]
    seen: set[tuple[int, int]] = set()
    while left:
        part, columns = left.pop()
        if (id(part), columns) in seen:
            continue
        seen.add((id(part), columns))
        if len(seen) > MAX_PARTS:
            return f"has more than {MAX_PARTS:,} parts"
        if isinstance(part, MethodType) or not _module(part).startswith(ALLOWED_MODULES):
            return f"holds a {_name(part)}, which is not among what a model may be made of"
        if _is_tree(part) and (flaw := _flaw_of_tree(part, columns)) is not None:
            return flaw
        left.extend(_within(part, columns))
    return None


def _is_tree(part: object) -> bool:
    return _name(part) in (TREE, TREE_OF_BOOSTING)


def _name(part: object) -> str:
    return f"{_module(part)}.{type(part).__qualname__}"


def _module(part: object) -> str:
    return type(part).__module__


def _within(part: Any, columns: int) -> Iterator[Part]:
    """The parts of a part, with how many columns they get."""
    if isinstance(part, dict):
        inner = [*part.keys(), *part.values()]
    elif isinstance(part, list | tuple | set | frozenset):
        inner = list(part)
    elif isinstance(part, np.ndarray):
        inner = part.ravel().tolist() if part.dtype.hasobject else []
    else:
        fields = getattr(part, "__dict__", {})
        inner = list(fields.values())
        own = fields.get("n_features_in_")
        if _module(part).startswith(OTHER_COLUMNS):
            columns = NO_COLUMNS
        elif isinstance(own, int):
            columns = min(own, columns or own)
    return ((one, columns) for one in inner if not isinstance(one, str | bytes | int | float | None))


def _flaw_of_tree(tree: Any, columns: int) -> str | None:
    if _name(tree) == TREE:
        is_leaf = tree.children_left == LEAF
        return _flaw(tree.children_left, tree.children_right, tree.feature, is_leaf, min(columns, tree.n_features))
    nodes = tree.nodes
    is_leaf = nodes["is_leaf"].astype(np.bool_)
    if nodes["is_categorical"].any():
        return "holds a tree that asks for categories"
    return _flaw(nodes["left"], nodes["right"], nodes["feature_idx"], is_leaf, columns)


def _flaw(
    left: NDArray[np.integer[Any]],
    right: NDArray[np.integer[Any]],
    feature: NDArray[np.integer[Any]],
    is_leaf: NDArray[np.bool_],
    columns: int,
) -> str | None:
    """All five have the shape (nodes,). The children of a node come after it, so that every walk ends."""
    if not len(left):
        return "holds a tree without a node"
    index = np.flatnonzero(~is_leaf)
    for child in (left, right):
        after = child.astype(np.int64)[index]
        if not ((after > index) & (after < len(left))).all():
            return "holds a tree whose branches lead back, or nowhere"
    asked = feature.astype(np.int64)[index]
    if not ((asked >= 0) & (asked < columns)).all():
        return "holds a tree that asks for a column that it does not get"
    return None
