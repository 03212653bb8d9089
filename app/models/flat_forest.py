"""A forest of decision trees as flat arrays, the form in which a replica serves it.

`app.models.forest_kernel` predicts with the arrays. This module does not import numba, because the processes that
load models need no kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree._tree import TREE_LEAF, Tree

from app.models.estimator import Estimator

FORESTS: Final = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
"""Estimators that are converted to flat arrays."""

NODE: Final = np.dtype([("threshold", np.float32), ("feature", np.uint32), ("left", np.uint32)])
"""A node. Its right child follows its left child. The left child of a leaf is the leaf itself, and its threshold is
infinite."""

LEAF: Final = np.float32(np.inf)
"""Threshold of a leaf."""


@dataclass(frozen=True, kw_only=True)
class FlatForest:
    """The trees of a forest as contiguous arrays. The nodes of each tree are in breadth-first order."""

    nodes: np.ndarray
    """Shape (nodes,), dtype `NODE`: the nodes of all trees, one tree after the other."""
    values: np.ndarray
    """Shape (nodes, outputs), float64: value of each leaf. A regressor has one output, a classifier one per class."""
    roots: np.ndarray
    """Shape (trees,), uint32: index of the root of each tree."""
    depths: np.ndarray
    """Shape (trees,), int64: steps from the root to the deepest leaf."""
    width: int
    """Number of features in a row."""

    @classmethod
    def flatten(cls, trees: Sequence[Tree], *, width: int, outputs: int) -> Self | None:
        """Convert trees to arrays.

        Args:
            trees: Trees whose indices of children and features were checked.
            width: Number of features in a row.
            outputs: Number of values in a leaf.

        Returns:
            The forest, or None if only scikit-learn can evaluate the trees: they have several outputs, values that are
            not finite, or a node with two parents.
        """
        orders, depths = [], []
        for tree in trees:
            levels = _breadth_first(tree)
            if levels is None or tree.value.shape[1:] != (1, outputs) or not np.isfinite(tree.value).all():
                return None
            orders.append(np.concatenate(levels))
            depths.append(len(levels) - 1)
        roots = np.cumsum([0, *map(len, orders)], dtype=np.uint32)[:-1]
        parts = list(zip(trees, orders, roots, strict=True))
        return cls(
            nodes=np.concatenate([_nodes(tree, order, root) for tree, order, root in parts]),
            values=np.concatenate([tree.value[order, 0] for tree, order, _ in parts]),
            roots=roots,
            depths=np.array(depths),
            width=width,
        )


def flatten_model(estimator: Estimator) -> FlatForest | None:
    """Convert a forest with one output to arrays; return None for any other model."""
    model = estimator.model
    if type(model) not in FORESTS or estimator.columns.hold_text:
        return None
    trees = [getattr(member, "tree_", None) for member in model.estimators_]
    if not trees or not all(type(tree) is Tree for tree in trees):
        return None
    outputs = len(model.classes_) if is_classifier(model) else 1
    return FlatForest.flatten(trees, width=model.n_features_in_, outputs=outputs)


def _breadth_first(tree: Tree) -> list[np.ndarray] | None:
    """Return the indices of a tree's nodes, one array per level, or None if a node has two parents."""
    left, right = tree.children_left, tree.children_right
    level, levels, visited = np.zeros(1, dtype=np.int64), [], 0
    while len(level):
        visited += len(level)
        if visited > tree.node_count:
            return None
        levels.append(level)
        inner = level[left[level] != TREE_LEAF]
        level = np.stack([left[inner], right[inner]], axis=1).ravel()
    return levels


def _nodes(tree: Tree, order: np.ndarray, root: np.uint32) -> np.ndarray:
    """Convert a tree's nodes to breadth-first order. The tree's root gets the index `root` in the forest."""
    inner = tree.children_left[order] != TREE_LEAF
    nodes = np.zeros(len(order), dtype=NODE)
    # The children of the n-th inner node are the n-th pair of nodes after the root.
    nodes["left"] = root + np.where(inner, 2 * np.cumsum(inner) - 1, np.arange(len(order)))
    nodes["feature"] = np.where(inner, tree.feature[order], 0)
    nodes["threshold"] = np.where(inner, _not_above(tree.threshold[order]), LEAF)
    return nodes


def _not_above(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest finite float32 that is not above each threshold, or -infinity if there is none."""
    with np.errstate(over="ignore"):  # beyond float32: first infinity, then the largest finite number
        rounded = thresholds.astype(np.float32)
    above = np.isposinf(rounded) | (rounded > thresholds)
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    rounded[np.isnan(rounded)] = -np.inf  # `x <= NaN` is false for every x, and so is `x <= -inf`
    return rounded
