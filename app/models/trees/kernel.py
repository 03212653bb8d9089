"""Compiled evaluation of flat trees, with sums that equal the library's in every bit.

The values of the leaves are added in the order of the trees, in the number format of the library. Rows of finite
numbers walk down several trees or several at a time without a branch. Rows with a missing value, and models with
categories, take a second walk that looks at each node's flags.
"""

from typing import Final

import numba
import numpy as np

from app.models.trees.compiled import compiled
from app.models.trees.flat_trees import BY_CATEGORY, CATEGORY, LEAF, MISSING_LEFT, NARROW, ZERO_IS_MISSING, FlatTrees

Index = np.int64 | int
"""An index of an array, which compiled code holds as int64."""

Lanes = tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]
"""The current node of each of the `LANES` walks that go on together."""

LANES: Final = 8
"""Rows that walk down a tree together, or trees that a row walks down together. While one walk waits for memory, the
processor works on the others."""

BLOCK: Final = 256
"""Rows that walk down one tree before the next tree starts. Rows and tree stay in the first-level cache."""

UNCHECKED_STEPS: Final = 8
"""Steps before the first check whether all rows that walk together have reached a leaf."""

STEPS_PER_CHECK: Final = 2
"""Steps between two such checks."""

WORD_BITS: Final = 32
"""Bits in a word of a set of categories."""

ZERO: Final = float(np.float32(1e-35))
"""LightGBM counts a number as zero if it is not farther from zero."""

DONE, MISSING, NOT_FINITE = range(3)
"""Outcomes of a walk: done; not done because a value is missing, or because it is not finite in the nodes' format."""


def add_leaves(
    trees: FlatTrees, rows: np.ndarray, outputs: np.ndarray, *, divisor: int = 1, takes_missing: bool = True
) -> np.ndarray | None:
    """Add the values of the leaves that each row reaches.

    Args:
        trees: Trees whose indices were checked; see `app.models.trees.index_check`.
        rows: Shape (rows, width), float64. NaN is a missing value.
        outputs: Shape (rows, outputs), in the format of the leaves' values: what is added to.
        divisor: The sums are divided by it.
        takes_missing: Whether rows may have missing values.

    Returns:
        The index of each row's largest output (the first one of equal outputs), shape (rows,), int64. None if the rows
        have another width, hold a number that is not finite in the nodes' format, or lack a value that they need; the
        outputs are then undefined.
    """
    if rows.ndim != 2 or rows.shape[1] != len(trees.kinds):  # noqa: PLR2004 - rows and columns
        return None
    is_ready = rows.dtype == np.float64 and rows.flags.c_contiguous
    features = rows if is_ready else np.ascontiguousarray(rows, dtype=np.float64)
    largest = np.empty(len(rows), dtype=np.int64)
    outcome = MISSING
    if trees.is_plain:
        outcome = _walk(trees.nodes, trees.values, trees.trees, features, outputs, largest, divisor)
    if outcome == MISSING and takes_missing:
        columns = (trees.kinds, trees.categories, trees.category_ends)
        arrays = (trees.nodes, trees.flags, trees.values, trees.trees, trees.sets)
        outcome = _walk_by_flags(arrays, columns, features, outputs, largest, divisor)
    return largest if outcome == DONE else None


def compile_for(trees: FlatTrees) -> None:
    """Compile both walks for arrays of these formats, or read them from the disk cache, so that no request waits."""
    rows, outputs, largest = np.zeros((0, trees.width)), trees.values[:0], np.zeros(0, dtype=np.int64)
    _walk(trees.nodes, trees.values, trees.trees, rows, outputs, largest, 1)
    columns = (trees.kinds, trees.categories, trees.category_ends)
    arrays = (trees.nodes, trees.flags, trees.values, trees.trees, trees.sets)
    _walk_by_flags(arrays, columns, rows, outputs, largest, 1)


@numba.njit(inline="always")
def _step(nodes: np.ndarray, row: np.ndarray, node: np.uint64) -> np.uint64:
    """Go one step down, without a branch: the processor could not predict it."""
    return np.uint64(nodes[node].left + np.uint64(not (row[nodes[node].feature] <= nodes[node].threshold)))


@numba.njit(inline="always")
def _steps(nodes: np.ndarray, rows: np.ndarray, first: Index, stride: int, at: Lanes, count: int) -> Lanes:
    """Go `count` steps down in each lane: with `LANES` rows if the stride is 1, with one row if it is 0.

    Each of the variables `a` to `h` stays in a processor register.
    """
    a, b, c, d, e, f, g, h = at
    for _ in range(count):
        a, b = _step(nodes, rows[first], a), _step(nodes, rows[first + stride], b)
        c, d = _step(nodes, rows[first + 2 * stride], c), _step(nodes, rows[first + 3 * stride], d)
        e, f = _step(nodes, rows[first + 4 * stride], e), _step(nodes, rows[first + 5 * stride], f)
        g, h = _step(nodes, rows[first + 6 * stride], g), _step(nodes, rows[first + 7 * stride], h)
    return a, b, c, d, e, f, g, h


@numba.njit(inline="always")
def _have_reached_leaves(nodes: np.ndarray, at: Lanes) -> bool:
    a, b, c, d, e, f, g, h = at
    lowest = min(nodes[a].threshold, nodes[b].threshold, nodes[c].threshold, nodes[d].threshold)
    lowest = min(lowest, nodes[e].threshold, nodes[f].threshold, nodes[g].threshold, nodes[h].threshold)
    return bool(lowest == LEAF)


@numba.njit(inline="always")
def _descend(nodes: np.ndarray, rows: np.ndarray, first: Index, stride: int, at: Lanes, depth: Index) -> Lanes:
    """Go down to the leaves in each lane."""
    at = _steps(nodes, rows, first, stride, at, UNCHECKED_STEPS)
    for _ in range((depth - UNCHECKED_STEPS + STEPS_PER_CHECK - 1) // STEPS_PER_CHECK):
        if _have_reached_leaves(nodes, at):
            break
        at = _steps(nodes, rows, first, stride, at, STEPS_PER_CHECK)
    return at


@numba.njit(inline="always")
def _add(outputs: np.ndarray, values: np.ndarray, row: Index, first: Index, leaf: np.uint64) -> None:
    for k in range(values.shape[1]):
        outputs[row, first + k] += values[leaf, k]


@numba.njit(inline="always")
def _copy(features: np.ndarray, rows: np.ndarray) -> int:
    """Copy rows to the nodes' format."""
    is_finite, is_missing = True, False
    for row in range(features.shape[0]):
        for column in range(features.shape[1]):
            rows[row, column] = features[row, column]
            is_finite &= bool(np.isfinite(rows[row, column]))
    if not is_finite:
        for row in range(features.shape[0]):
            for column in range(features.shape[1]):
                if np.isinf(rows[row, column]):
                    return NOT_FINITE
                is_missing |= bool(np.isnan(rows[row, column]))
    return MISSING if is_missing else DONE


@numba.njit(inline="always")
def _code(value: float, categories: np.ndarray, first: Index, end: Index) -> float:
    """Return the index of a category among those of its column; NaN if it is missing or unknown."""
    low, high = first, end
    while low < high:
        middle = (low + high) // 2
        if categories[middle] < value:
            low = middle + 1
        else:
            high = middle
    return float(low - first) if low < end and categories[low] == value else np.nan


@numba.njit(inline="always")
def _convert(features: np.ndarray, rows: np.ndarray, columns: tuple[np.ndarray, np.ndarray, np.ndarray]) -> bool:
    """Copy rows to the nodes' format, each column as its kind says. Return whether no value is infinite."""
    kinds, categories, ends = columns
    is_finite = True
    for row in range(features.shape[0]):
        for column in range(features.shape[1]):
            value = features[row, column]
            if kinds[column] == NARROW:
                value = np.float64(np.float32(value))
            elif kinds[column] == CATEGORY:
                first = np.int64(ends[column - 1]) if column > 0 else np.int64(0)
                value = np.nan if np.isnan(value) else _code(value, categories, first, np.int64(ends[column]))
            elif kinds[column] == ZERO_IS_MISSING and abs(value) <= ZERO:
                value = np.nan
            rows[row, column] = value
            is_finite &= not np.isinf(rows[row, column]) and not np.isinf(features[row, column])
    return is_finite


@numba.njit(inline="always")
def _finish(outputs: np.ndarray, largest: np.ndarray, divisor: int) -> None:
    """Divide the sums, and find the index of each row's largest output."""
    for row in range(outputs.shape[0]):
        index = 0
        for k in range(outputs.shape[1]):
            outputs[row, k] /= divisor
            if outputs[row, k] > outputs[row, index]:
                index = k
        largest[row] = index


@numba.njit(inline="always")
def _walk_alone(
    nodes: np.ndarray, values: np.ndarray, trees: np.ndarray, rows: np.ndarray, outputs: np.ndarray
) -> None:
    """Let the rows that do not fill the lanes walk one by one, each down `LANES` trees together."""
    for row in range(rows.shape[0] - rows.shape[0] % LANES, rows.shape[0]):
        end = len(trees) - len(trees) % LANES
        for tree in range(0, end, LANES):
            a, b, c, d = trees[tree], trees[tree + 1], trees[tree + 2], trees[tree + 3]
            e, f, g, h = trees[tree + 4], trees[tree + 5], trees[tree + 6], trees[tree + 7]
            depth = max(a.depth, b.depth, c.depth, d.depth, e.depth, f.depth, g.depth, h.depth)
            at = (
                np.uint64(a.root), np.uint64(b.root), np.uint64(c.root), np.uint64(d.root),
                np.uint64(e.root), np.uint64(f.root), np.uint64(g.root), np.uint64(h.root),
            )  # fmt: skip
            at = _descend(nodes, rows, row, 0, at, np.int64(depth))
            for k, leaf in enumerate(at):
                _add(outputs, values, row, trees[tree + k].output, leaf)
        for tree in range(end, len(trees)):
            node = np.uint64(trees[tree].root)
            while nodes[node].threshold != LEAF:
                node = _step(nodes, rows[row], node)
            _add(outputs, values, row, trees[tree].output, node)


@numba.njit(inline="always")
def _walk_together(
    nodes: np.ndarray, values: np.ndarray, trees: np.ndarray, rows: np.ndarray, outputs: np.ndarray
) -> None:
    """Let groups of `LANES` rows walk down one tree after the other."""
    end = rows.shape[0] - rows.shape[0] % LANES
    for start in range(0, end, BLOCK):
        for tree in range(len(trees)):
            root, depth, first = np.uint64(trees[tree].root), np.int64(trees[tree].depth), np.int64(trees[tree].output)
            for row in range(start, min(start + BLOCK, end), LANES):
                at = _descend(nodes, rows, row, 1, (root, root, root, root, root, root, root, root), depth)
                for k, leaf in enumerate(at):
                    _add(outputs, values, row + k, first, leaf)


@compiled
def _walk(
    nodes: np.ndarray,
    values: np.ndarray,
    trees: np.ndarray,
    features: np.ndarray,
    outputs: np.ndarray,
    largest: np.ndarray,
    divisor: int,
) -> int:
    """Fill `outputs` and `largest` if every value is finite."""
    rows = np.empty(features.shape, nodes["threshold"].dtype)
    outcome = _copy(features, rows)
    if outcome == DONE:
        _walk_together(nodes, values, trees, rows, outputs)
        _walk_alone(nodes, values, trees, rows, outputs)
        _finish(outputs, largest, divisor)
    return outcome


@compiled
def _walk_by_flags(
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    columns: tuple[np.ndarray, np.ndarray, np.ndarray],
    features: np.ndarray,
    outputs: np.ndarray,
    largest: np.ndarray,
    divisor: int,
) -> int:
    """Fill `outputs` and `largest` for rows with missing values, or for a model with columns that are converted."""
    nodes, flags, values, trees, sets = arrays
    rows = np.empty(features.shape, nodes["threshold"].dtype)
    if not _convert(features, rows, columns):
        return NOT_FINITE
    for start in range(0, rows.shape[0], BLOCK):
        for tree in range(len(trees)):
            for row in range(start, min(start + BLOCK, rows.shape[0])):
                node = np.uint64(trees[tree].root)
                while nodes[node].threshold != LEAF:
                    value = rows[row, nodes[node].feature]
                    if np.isnan(value):
                        is_left = (flags[node] & MISSING_LEFT) != 0
                    elif flags[node] & BY_CATEGORY:
                        code, index = np.int64(value), np.int64(nodes[node].threshold)
                        is_left = (sets[index, code // WORD_BITS] >> np.uint32(code % WORD_BITS)) & 1 != 0
                    else:
                        is_left = value <= nodes[node].threshold
                    node = np.uint64(nodes[node].left) + np.uint64(not is_left)
                _add(outputs, values, row, trees[tree].output, node)
    _finish(outputs, largest, divisor)
    return DONE
