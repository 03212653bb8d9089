"""Compiled prediction for forests: the trees as flat arrays, with results equal to scikit-learn's in every bit.

scikit-learn rounds a row to float32 and goes left if `x <= threshold`, where the threshold is a float64. That equals
`x <= t`, where t is the largest float32 that is not above the threshold. The values of the leaves are summed in the
order of the trees and divided once. `app.models.predictor` decides which models are compiled.
"""

from collections.abc import Callable
from typing import Any, Final

import numba
import numpy as np

from app.models.flat_forest import LEAF, NODE, FlatForest

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""The arrays of a `FlatForest`: nodes, values, roots, depths."""

Lanes = tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]
"""The current node of each of the `LANES` rows that walk down a tree together."""

LANES: Final = 8
"""Rows that walk down a tree together. While one row waits for memory, the processor works on the others."""

BLOCK: Final = 256
"""Rows that walk down one tree before the next tree starts. Rows and tree stay in the first-level cache."""

UNCHECKED_STEPS: Final = 8
"""Steps before the first check whether all rows that walk together have reached a leaf."""

STEPS_PER_CHECK: Final = 2
"""Steps between two such checks."""


def predict(forest: FlatForest, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Compute the mean of the trees' values for each row.

    Args:
        forest: A forest whose indices were checked; see `measure_depths`.
        rows: Shape (rows, width), float64.

    Returns:
        The index of each row's largest output (the first one of equal outputs), shape (rows,), int64. And the
        outputs, shape (rows, outputs), float64. None if the rows have another width or hold a value that is not
        finite in float32, because scikit-learn treats those differently.
    """
    if rows.ndim != 2 or rows.shape[1] != forest.width:  # noqa: PLR2004 - rows and columns
        return None
    features = np.ascontiguousarray(rows, dtype=np.float64)
    largest = np.empty(len(rows), dtype=np.int64)
    outputs = np.zeros((len(rows), forest.values.shape[1]))
    is_finite = _walk((forest.nodes, forest.values, forest.roots, forest.depths), features, outputs, largest)
    return (largest, outputs) if is_finite else None


def measure_depths(nodes: np.ndarray, roots: np.ndarray, width: int) -> np.ndarray | None:
    """Check every index of a forest's arrays, and return the depths of its trees.

    Args:
        nodes: Shape (nodes,), dtype `NODE`.
        roots: Shape (trees,), uint32.
        width: Number of features in a row.

    Returns:
        Shape (trees,), int64: see `FlatForest.depths`. None if a walk down a tree could leave the tree's nodes or the
        row's features, or would not end.
    """
    depths = np.zeros(len(roots), dtype=np.int64)
    return depths if _measure(nodes, roots, width, depths) else None


def warm_up() -> None:
    """Compile the kernel, or read it from the disk cache, by predicting with a forest of one leaf."""
    leaf = np.array([(LEAF, 0, 0)], dtype=NODE)
    roots = np.zeros(1, dtype=np.uint32)
    depths = measure_depths(leaf, roots, 1)
    if depths is not None:
        predict(FlatForest(nodes=leaf, values=np.ones((1, 1)), roots=roots, depths=depths, width=1), np.zeros((1, 1)))


def _compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba gives a compiled function no type
    """Compile a function that runs without the GIL, and cache it on disk for other processes if possible."""
    try:
        return numba.njit(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # no cache folder is writable
        return numba.njit(nogil=True, error_model="numpy")(function)


@numba.njit(inline="always")
def _step(nodes: np.ndarray, row: np.ndarray, node: np.uint64) -> np.uint64:
    """Go one step down, without a branch: the processor could not predict it."""
    return np.uint64(nodes[node].left + np.uint64(not (row[nodes[node].feature] <= nodes[node].threshold)))


@numba.njit(inline="always")
def _steps(nodes: np.ndarray, rows: np.ndarray, first: int, at: Lanes, count: int) -> Lanes:
    """Go `count` steps down with `LANES` rows. Each of the variables `a` to `h` stays in a processor register."""
    a, b, c, d, e, f, g, h = at
    for _ in range(count):
        a, b = _step(nodes, rows[first], a), _step(nodes, rows[first + 1], b)
        c, d = _step(nodes, rows[first + 2], c), _step(nodes, rows[first + 3], d)
        e, f = _step(nodes, rows[first + 4], e), _step(nodes, rows[first + 5], f)
        g, h = _step(nodes, rows[first + 6], g), _step(nodes, rows[first + 7], h)
    return a, b, c, d, e, f, g, h


@numba.njit(inline="always")
def _have_reached_leaves(nodes: np.ndarray, at: Lanes) -> bool:
    a, b, c, d, e, f, g, h = at
    lowest = min(nodes[a].threshold, nodes[b].threshold, nodes[c].threshold, nodes[d].threshold)
    lowest = min(lowest, nodes[e].threshold, nodes[f].threshold, nodes[g].threshold, nodes[h].threshold)
    return bool(lowest == LEAF)


@numba.njit(inline="always")
def _add(outputs: np.ndarray, values: np.ndarray, row: int, leaf: np.uint64) -> None:
    for k in range(outputs.shape[1]):
        outputs[row, k] += values[leaf, k]


@numba.njit(inline="always")
def _round(features: np.ndarray, rows: np.ndarray) -> bool:
    """Round rows to float32, and return whether all values are finite."""
    is_finite = True
    for row in range(features.shape[0]):
        for column in range(features.shape[1]):
            value = np.float32(features[row, column])
            rows[row, column] = value
            is_finite &= bool(np.isfinite(value))
    return is_finite


@numba.njit(inline="always")
def _finish(outputs: np.ndarray, largest: np.ndarray, trees: int) -> None:
    """Divide the sums by the number of trees, and find the index of each row's largest output."""
    for row in range(outputs.shape[0]):
        index = 0
        for k in range(outputs.shape[1]):
            outputs[row, k] /= trees
            if outputs[row, k] > outputs[row, index]:
                index = k
        largest[row] = index


@numba.njit(inline="always")
def _walk_alone(forest: Arrays, rows: np.ndarray, first: int, outputs: np.ndarray) -> None:
    """Walk the rows from index `first` on, one by one."""
    nodes, values, roots, _ = forest
    for row in range(first, rows.shape[0]):
        for root in roots:
            node = np.uint64(root)
            while nodes[node].threshold != LEAF:
                node = _step(nodes, rows[row], node)
            _add(outputs, values, row, node)


@numba.njit(inline="always")
def _walk_together(forest: Arrays, rows: np.ndarray, end: int, outputs: np.ndarray) -> None:
    """Walk the rows before index `end`, which is a multiple of `LANES`, in groups."""
    nodes, values, roots, depths = forest
    for start in range(0, end, BLOCK):
        for tree in range(len(roots)):
            root = np.uint64(roots[tree])
            checks = (depths[tree] - UNCHECKED_STEPS + STEPS_PER_CHECK - 1) // STEPS_PER_CHECK
            for row in range(start, min(start + BLOCK, end), LANES):
                at = _steps(nodes, rows, row, (root, root, root, root, root, root, root, root), UNCHECKED_STEPS)
                for _ in range(checks):
                    if _have_reached_leaves(nodes, at):
                        break
                    at = _steps(nodes, rows, row, at, STEPS_PER_CHECK)
                for k, leaf in enumerate(at):
                    _add(outputs, values, row + k, leaf)


@_compiled
def _walk(forest: Arrays, features: np.ndarray, outputs: np.ndarray, largest: np.ndarray) -> bool:
    """Fill `outputs` and `largest`. Return False and fill neither if a value is not finite in float32."""
    rows = np.empty(features.shape, np.float32)
    if not _round(features, rows):
        return False
    end = features.shape[0] - features.shape[0] % LANES
    _walk_together(forest, rows, end, outputs)
    _walk_alone(forest, rows, end, outputs)
    _finish(outputs, largest, len(forest[2]))
    return True


@_compiled
def _measure(nodes: np.ndarray, roots: np.ndarray, width: int, depths: np.ndarray) -> bool:
    """Fill `depths`. Return False if an index is outside its range: children must follow their parent."""
    levels = np.zeros(len(nodes), np.int64)
    for tree in range(len(roots)):
        first = np.int64(roots[tree])
        end = np.int64(roots[tree + 1]) if tree + 1 < len(roots) else np.int64(len(nodes))
        if (tree == 0 and first != 0) or first >= end or end > len(nodes):
            return False
        for index in range(first, end):
            threshold, left = nodes[index].threshold, np.int64(nodes[index].left)
            if nodes[index].feature >= width:  # a walk that waits at a leaf reads the feature of the leaf too
                return False
            if threshold == LEAF:
                if left != index:
                    return False
                depths[tree] = max(depths[tree], levels[index])
            elif np.isnan(threshold) or left <= index or left + 1 >= end:
                return False
            else:
                levels[left] = max(levels[left], levels[index] + 1)
                levels[left + 1] = max(levels[left + 1], levels[index] + 1)
    return True
