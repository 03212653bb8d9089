"""A forest as flat arrays, and compiled code that walks them to the very answers of scikit-learn.

scikit-learn rounds a row to float32 and goes left where `x <= threshold`, a float64. That is the same as `x <= t` with
t the largest float32 that is not above it. The leaves' values are summed in the order of the trees and divided once.
What may be flattened, and what answers where this cannot, is decided in `app.models.predictor`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numba
import numpy as np
from sklearn.tree._tree import TREE_LEAF, Tree

NODE: Final = np.dtype([("threshold", np.float32), ("feature", np.uint32), ("left", np.uint32)])
"""A node; its right child stands behind its left one. A leaf is its own left child, with an infinite threshold."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""The arrays of a `Forest`, in their order there."""

Lanes = tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]
"""A node for each of the rows that walk together."""

LEAF: Final = np.float32(np.inf)

LANES: Final = 8
"""Rows that walk down a tree side by side, so that the processor waits for none of them."""

BLOCK: Final = 256
"""Rows that walk down one tree before the next: rows and tree stay in the processor's nearest cache."""

SURE_STEPS: Final = 8
"""Steps before the first look at whether all rows that walk together have arrived."""

MORE_STEPS: Final = 2
"""Steps between two such looks."""


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Trees as contiguous arrays, each tree breadth first."""

    nodes: np.ndarray
    """Shape (nodes,), dtype `NODE`: all trees, one behind the other."""
    values: np.ndarray
    """Shape (nodes, outputs), float64: what each leaf says; one output of a regressor, one a class of a classifier."""
    roots: np.ndarray
    """Shape (trees,), uint32: where each tree begins."""
    depths: np.ndarray
    """Shape (trees,), int64: steps from the root to the deepest leaf."""
    width: int
    """Features of a row."""

    @classmethod
    def flatten(cls, trees: Sequence[Tree], *, width: int, outputs: int) -> Self | None:
        """Put trees into one row of arrays.

        Args:
            trees: Their children and features point inside of the tree and of a row.
            width: Features of a row.
            outputs: Values of a leaf.

        Returns:
            The forest, or None where the trees are of a form that only scikit-learn can tell about: several outputs,
            values that are no numbers, a node with two parents.
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

    def answer(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Let every tree say its value, and take the mean.

        Args:
            rows: Shape (rows, width), float64.

        Returns:
            Where each row's largest output stands, the first of equal ones, of shape (rows,); and the outputs, of
            shape (rows, outputs) in float64. None where a row has another width or a value that is not finite in
            float32, on which scikit-learn has rules of its own.
        """
        if rows.ndim != 2 or rows.shape[1] != self.width:  # noqa: PLR2004 - rows and columns
            return None
        given = np.ascontiguousarray(rows, dtype=np.float64)
        largest = np.empty(len(rows), dtype=np.int64)
        outputs = np.zeros((len(rows), self.values.shape[1]))
        is_finite = _walk((self.nodes, self.values, self.roots, self.depths), given, outputs, largest)
        return (largest, outputs) if is_finite else None


def warm() -> None:
    """Compile, or read what an earlier process compiled, with a forest of one leaf."""
    leaf = np.array([(LEAF, 0, 0)], dtype=NODE)
    start = np.zeros(1, dtype=np.uint32)
    Forest(nodes=leaf, values=np.ones((1, 1)), roots=start, depths=np.zeros(1, dtype=np.int64), width=1).answer(
        np.zeros((1, 1))
    )


def _breadth_first(tree: Tree) -> list[np.ndarray] | None:
    """The tree's nodes, level by level, children side by side; None if a node has two parents."""
    left, right = tree.children_left, tree.children_right
    level, levels, seen = np.zeros(1, dtype=np.int64), [], 0
    while len(level):
        seen += len(level)
        if seen > tree.node_count:
            return None
        levels.append(level)
        inner = level[left[level] != TREE_LEAF]
        level = np.stack([left[inner], right[inner]], axis=1).ravel()
    return levels


def _nodes(tree: Tree, order: np.ndarray, root: np.uint32) -> np.ndarray:
    """A tree's nodes in breadth-first order, for a place where `root` nodes stand before them."""
    inner = tree.children_left[order] != TREE_LEAF
    nodes = np.zeros(len(order), dtype=NODE)
    # The n-th inner node's children are the n-th pair behind the root.
    nodes["left"] = root + np.where(inner, 2 * np.cumsum(inner) - 1, np.arange(len(order)))
    nodes["feature"] = np.where(inner, tree.feature[order], 0)
    nodes["threshold"] = np.where(inner, _not_above(tree.threshold[order]), LEAF)
    return nodes


def _not_above(thresholds: np.ndarray) -> np.ndarray:
    """The largest finite float32 that is not above each threshold; -infinity where there is none."""
    with np.errstate(over="ignore"):  # beyond float32: infinity first, and the largest number then
        rounded = thresholds.astype(np.float32)
    above = np.isposinf(rounded) | (rounded > thresholds)
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    rounded[np.isnan(rounded)] = -np.inf  # no number is at most NaN, and none at most this
    return rounded


def _compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - what numba makes of it has no type
    """Machine code that runs without the interpreter's lock, kept on disk for the next process where that can be."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # there is no folder that may be written to
        return numba.njit(nogil=True, error_model="numpy")(function)


@numba.njit(inline="always")
def _step(nodes: np.ndarray, row: np.ndarray, node: np.uint64) -> np.uint64:
    """One step down: without a branch, which no processor could foretell."""
    return np.uint64(nodes[node].left + np.uint64(not (row[nodes[node].feature] <= nodes[node].threshold)))


@numba.njit(inline="always")
def _steps(nodes: np.ndarray, rows: np.ndarray, first: int, at: Lanes, count: int) -> Lanes:
    """Some steps down of `LANES` rows together; each variable is a register of the processor."""
    a, b, c, d, e, f, g, h = at
    for _ in range(count):
        a, b = _step(nodes, rows[first], a), _step(nodes, rows[first + 1], b)
        c, d = _step(nodes, rows[first + 2], c), _step(nodes, rows[first + 3], d)
        e, f = _step(nodes, rows[first + 4], e), _step(nodes, rows[first + 5], f)
        g, h = _step(nodes, rows[first + 6], g), _step(nodes, rows[first + 7], h)
    return a, b, c, d, e, f, g, h


@numba.njit(inline="always")
def _have_arrived(nodes: np.ndarray, at: Lanes) -> bool:
    a, b, c, d, e, f, g, h = at
    least = min(nodes[a].threshold, nodes[b].threshold, nodes[c].threshold, nodes[d].threshold)
    least = min(least, nodes[e].threshold, nodes[f].threshold, nodes[g].threshold, nodes[h].threshold)
    return bool(least == LEAF)


@numba.njit(inline="always")
def _add(outputs: np.ndarray, values: np.ndarray, row: int, leaf: np.uint64) -> None:
    for k in range(outputs.shape[1]):
        outputs[row, k] += values[leaf, k]


@numba.njit(inline="always")
def _round(given: np.ndarray, rows: np.ndarray) -> bool:
    """Round rows to float32, and say whether all of them are finite."""
    is_finite = True
    for row in range(given.shape[0]):
        for column in range(given.shape[1]):
            value = np.float32(given[row, column])
            rows[row, column] = value
            is_finite &= bool(np.isfinite(value))
    return is_finite


@numba.njit(inline="always")
def _finish(outputs: np.ndarray, largest: np.ndarray, trees: int) -> None:
    """Make sums means, and find the first of each row's largest outputs."""
    for row in range(outputs.shape[0]):
        found = 0
        for k in range(outputs.shape[1]):
            outputs[row, k] /= trees
            if outputs[row, k] > outputs[row, found]:
                found = k
        largest[row] = found


@numba.njit(inline="always")
def _walk_alone(forest: Arrays, rows: np.ndarray, first: int, outputs: np.ndarray) -> None:
    """Walk the rows from `first` on one by one."""
    nodes, values, roots, _ = forest
    for row in range(first, rows.shape[0]):
        for root in roots:
            node = np.uint64(root)
            while nodes[node].threshold != LEAF:
                node = _step(nodes, rows[row], node)
            _add(outputs, values, row, node)


@numba.njit(inline="always")
def _walk_together(forest: Arrays, rows: np.ndarray, end: int, outputs: np.ndarray) -> None:
    """Walk the rows before `end`, a multiple of `LANES`, in groups."""
    nodes, values, roots, depths = forest
    for start in range(0, end, BLOCK):
        for tree in range(len(roots)):
            root = np.uint64(roots[tree])
            looks = (depths[tree] - SURE_STEPS + MORE_STEPS - 1) // MORE_STEPS
            for row in range(start, min(start + BLOCK, end), LANES):
                at = _steps(nodes, rows, row, (root, root, root, root, root, root, root, root), SURE_STEPS)
                for _ in range(looks):
                    if _have_arrived(nodes, at):
                        break
                    at = _steps(nodes, rows, row, at, MORE_STEPS)
                for k, leaf in enumerate(at):
                    _add(outputs, values, row + k, leaf)


@_compiled
def _walk(forest: Arrays, given: np.ndarray, outputs: np.ndarray, largest: np.ndarray) -> bool:
    """Fill `outputs` and `largest`; False, with neither filled, where a row is not finite."""
    rows = np.empty(given.shape, np.float32)
    if not _round(given, rows):
        return False
    end = given.shape[0] - given.shape[0] % LANES
    _walk_together(forest, rows, end, outputs)
    _walk_alone(forest, rows, end, outputs)
    _finish(outputs, largest, len(forest[2]))
    return True
