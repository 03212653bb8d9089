"""Decision trees as flat arrays, the form in which a replica serves them.

`app.models.trees.kernel` walks down the arrays. The modules beside it convert the trees of each library. This module
does not import numba, because the processes that load forests need no kernel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Self

import numpy as np

NODE: Final = np.dtype([("threshold", np.float32), ("feature", np.uint32), ("left", np.uint32)])
"""A node whose library compares float32 numbers. A row goes to the left child if `x <= threshold`; the right child
follows the left child. The left child of a leaf is the leaf itself, and its threshold is infinite."""

WIDE_NODE: Final = np.dtype([("threshold", np.float64), ("feature", np.uint32), ("left", np.uint32)])
"""The same for a library that compares float64 numbers. The threshold of a split by categories is the index of its
set."""

TREE: Final = np.dtype([("root", np.uint32), ("output", np.uint32), ("depth", np.uint32)])
"""A tree: the index of its root, the first output that it adds to, and the steps from the root to the deepest leaf."""

LEAF: Final = np.inf
"""Threshold of a leaf."""

MISSING_LEFT, BY_CATEGORY = 1, 2
"""Bits in the flags of a node: a missing value goes left; the node splits by categories."""

SET_WORDS: Final = 8
"""Words of 32 bits in a set of categories. The codes of the categories are below 256."""

PLAIN, NARROW, CATEGORY, ZERO_IS_MISSING = range(4)
"""Kinds of columns: taken as it is; rounded to float32 first; replaced by the code of its category; a zero counts as
missing."""

NO_SETS: Final = np.zeros((0, SET_WORDS), dtype=np.uint32)
NO_CATEGORIES: Final = np.zeros(0)


@dataclass(frozen=True, kw_only=True)
class LibraryTree:
    """A tree as a library stores it, with checked indices. Each array has one element per node."""

    left: np.ndarray
    """Index of the left child; -1 for a leaf."""
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    """A row goes left if `x <= threshold`."""
    missing_left: np.ndarray
    """Whether a missing value goes left."""
    value: np.ndarray
    """Shape (nodes, outputs): what a leaf adds to the outputs."""
    output: int = 0
    """Index of the first output that the leaves add to."""
    set_index: np.ndarray | None = None
    """Index of the set of categories that go left; -1 for a split by a threshold."""


@dataclass(frozen=True, kw_only=True)
class FlatTrees:
    """Trees as contiguous arrays. The nodes of each tree are in breadth-first order."""

    nodes: np.ndarray
    """Shape (nodes,), dtype `NODE` or `WIDE_NODE`: the nodes of all trees, one tree after the other."""
    flags: np.ndarray
    """Shape (nodes,), uint8: the bits `MISSING_LEFT` and `BY_CATEGORY`."""
    values: np.ndarray
    """Shape (nodes, outputs of a leaf), float64 or float32: what each leaf adds to the outputs."""
    trees: np.ndarray
    """Shape (trees,), dtype `TREE`."""
    kinds: np.ndarray
    """Shape (columns,), uint8: the kind of each column."""
    sets: np.ndarray = field(default_factory=lambda: NO_SETS)
    """Shape (sets, 8), uint32: sets of categories, one bit per code."""
    categories: np.ndarray = field(default_factory=lambda: NO_CATEGORIES)
    """Shape (categories,), float64: the categories of all columns, each column's in ascending order."""
    category_ends: np.ndarray
    """Shape (columns,), uint32: the end of each column's part of `categories`."""

    @property
    def width(self) -> int:
        """Number of features in a row."""
        return len(self.kinds)

    @cached_property
    def is_plain(self) -> bool:
        """Whether every column is taken as it is."""
        return not self.kinds.any()

    @classmethod
    def lay_out(
        cls,
        trees: Sequence[LibraryTree],
        *,
        node: np.dtype,
        kinds: np.ndarray,
        sets: np.ndarray = NO_SETS,
        categories: Sequence[np.ndarray] = (),
    ) -> Self | None:
        """Convert trees to arrays.

        Args:
            trees: The trees.
            node: `NODE` or `WIDE_NODE`.
            kinds: The kind of each column.
            sets: The sets of categories.
            categories: The categories of each column, if a column has any.

        Returns:
            The arrays, or None if only the library can evaluate the trees: a value is not finite, or a node has two
            parents.
        """
        orders, depths = [], []
        for tree in trees:
            levels = _breadth_first(tree)
            if levels is None or not np.isfinite(tree.value).all():
                return None
            orders.append(np.concatenate(levels))
            depths.append(len(levels) - 1)
        roots = np.cumsum([0, *map(len, orders)])[:-1]
        parts = list(zip(trees, orders, roots, strict=True))
        ends = np.cumsum([len(part) for part in categories] or [0] * len(kinds))
        return cls(
            nodes=np.concatenate([_nodes(tree, order, root, node) for tree, order, root in parts]),
            flags=np.concatenate([_flags(tree)[order] for tree, order, _ in parts]),
            values=np.concatenate([tree.value[order] for tree, order, _ in parts]),
            trees=np.array(list(zip(roots, [tree.output for tree in trees], depths, strict=True)), dtype=TREE),
            kinds=kinds.astype(np.uint8),
            sets=sets,
            categories=np.concatenate([*categories, NO_CATEGORIES]).astype(np.float64),
            category_ends=ends.astype(np.uint32),
        )


def not_above(thresholds: np.ndarray) -> np.ndarray:
    """Return the largest finite float32 that is not above each threshold, or -infinity if there is none."""
    with np.errstate(over="ignore"):  # beyond float32: first infinity, then the largest finite number
        rounded = thresholds.astype(np.float32)
    above = np.isposinf(rounded) | (rounded > thresholds)
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    rounded[np.isnan(rounded)] = -np.inf  # `x <= NaN` is false for every x, and so is `x <= -inf`
    return rounded


def _breadth_first(tree: LibraryTree) -> list[np.ndarray] | None:
    """Return the indices of a tree's nodes, one array per level, or None if a node has two parents."""
    level, levels, visited = np.zeros(1, dtype=np.int64), [], 0
    while len(level):
        visited += len(level)
        if visited > len(tree.left):
            return None
        levels.append(level)
        inner = level[tree.left[level] != -1]
        level = np.stack([tree.left[inner], tree.right[inner]], axis=1).ravel().astype(np.int64)
    return levels


def _nodes(tree: LibraryTree, order: np.ndarray, root: int, node: np.dtype) -> np.ndarray:
    """Convert a tree's nodes to breadth-first order. The tree's root gets the index `root` among all nodes."""
    inner = tree.left[order] != -1
    nodes = np.zeros(len(order), dtype=node)
    # The children of the n-th inner node are the n-th pair of nodes after the root.
    nodes["left"] = root + np.where(inner, 2 * np.cumsum(inner) - 1, np.arange(len(order)))
    nodes["feature"] = np.where(inner, tree.feature[order], 0)
    nodes["threshold"] = np.where(inner, _thresholds(tree, node)[order], LEAF)
    return nodes


def _thresholds(tree: LibraryTree, node: np.dtype) -> np.ndarray:
    """Return thresholds that send every finite number as the library does. None of them is NaN or infinite."""
    if node == NODE:
        return not_above(tree.threshold)
    thresholds = np.where(np.isposinf(tree.threshold), np.finfo(np.float64).max, tree.threshold)
    thresholds = np.where(np.isnan(thresholds), -np.inf, thresholds)
    return thresholds if tree.set_index is None else np.where(tree.set_index >= 0, tree.set_index, thresholds)


def _flags(tree: LibraryTree) -> np.ndarray:
    """Return the flags of a tree's nodes. A missing value stays at a leaf, which is its own left child."""
    flags = np.where(tree.missing_left.astype(bool) | (tree.left == -1), MISSING_LEFT, 0)
    if tree.set_index is not None:
        flags |= np.where((tree.set_index >= 0) & (tree.left != -1), BY_CATEGORY, 0)
    return flags.astype(np.uint8)
