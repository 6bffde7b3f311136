"""Boosted trees as splits and leaves: what the service scores with, instead of asking scikit-learn."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier

from app.domain.trees import MAX_LEAVES, TreesForm
from app.training.calibration import uncalibrated


def trees_form(model: ClassifierMixin) -> TreesForm | None:
    """The splits and leaves whose values make the log odds of the model's second class; None if it is not of that kind.

    Of that kind is HistGradientBoostingClassifier of two classes, on features that are all numbers, with trees of up to
    MAX_LEAVES leaves; and its calibration by one sigmoid. scikit-learn has no public way to its trees: the tests
    compare what comes of them with what the model says.
    """
    found = uncalibrated(model)
    if found is None or not isinstance(found.model, HistGradientBoostingClassifier):
        return None
    splits: list[tuple[int, float, int, int]] = []
    leaves: list[list[float]] = []
    for number, (tree,) in enumerate(found.model._predictors):  # noqa: SLF001 - see above
        if tree.nodes["is_categorical"].any():
            return None
        leaves.append([])
        _walk(tree.nodes, 0, number, splits, leaves[-1])
    counts, base = [len(values) for values in leaves], found.model._baseline_prediction.item()  # noqa: SLF001
    if not counts or max(counts) > MAX_LEAVES:
        return None
    table = np.zeros((len(leaves), max(counts)))
    for number, values in enumerate(leaves):
        table[number, : len(values)] = values
    feature, threshold, of_tree, reachable = zip(*splits, strict=True) if splits else ((), (), (), ())
    return TreesForm(
        intercept=np.asarray(found.slope * base + found.offset),
        feature=np.array(feature, dtype=np.int64),
        threshold=np.array(threshold, dtype=np.float64),
        tree=np.array(of_tree, dtype=np.int64),
        reachable=np.array(reachable, dtype=np.uint64),
        leaves=found.slope * table,
        leaf_count=np.array(counts),
    )


def _walk(
    nodes: np.ndarray, index: int, tree: int, splits: list[tuple[int, float, int, int]], leaves: list[float]
) -> int:
    """Collect splits and leaves from left to right below a node; the bits of these leaves."""
    node = nodes[index]
    if node["is_leaf"]:
        leaves.append(float(node["value"]))
        return 1 << (len(leaves) - 1)
    on_the_left = _walk(nodes, node["left"], tree, splits, leaves)
    every_leaf = (1 << MAX_LEAVES) - 1
    splits.append((int(node["feature_idx"]), float(node["num_threshold"]), tree, every_leaf & ~on_the_left))
    return on_the_left | _walk(nodes, node["right"], tree, splits, leaves)
