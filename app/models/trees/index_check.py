"""Whether every index of flat trees stays inside its array, so that compiled code may walk them."""

from typing import Final

import numpy as np

from app.models.trees.compiled import compiled
from app.models.trees.flat_trees import BY_CATEGORY, CATEGORY, LEAF, SET_WORDS, ZERO_IS_MISSING, FlatTrees

MAX_CODES: Final = 32 * SET_WORDS
"""Categories of a column: as many as a set has bits."""


def measure(trees: FlatTrees, *, outputs: int) -> np.ndarray | None:
    """Check every index of the arrays, and measure the depths of the trees.

    Args:
        trees: Arrays of the right formats and lengths.
        outputs: Number of outputs.

    Returns:
        Shape (trees,), dtype `TREE`: the trees with their depths. None if a walk down a tree could leave an array, or
        would not end.
    """
    ends = trees.category_ends.astype(np.int64)
    measured = trees.trees.copy()
    is_sound = (
        len(ends) == trees.width
        and bool(((np.diff(ends, prepend=0) >= 0) & (np.diff(ends, prepend=0) <= MAX_CODES)).all())
        and (len(ends) == 0 or ends[-1] == len(trees.categories))
        and bool((trees.kinds <= ZERO_IS_MISSING).all())
        and bool((trees.trees["output"].astype(np.int64) + trees.values.shape[1] <= outputs).all())
        and _measure(trees.nodes, trees.flags, measured, trees.kinds, len(trees.sets))
    )
    return measured if is_sound else None


@compiled
def _measure(nodes: np.ndarray, flags: np.ndarray, trees: np.ndarray, kinds: np.ndarray, set_count: int) -> bool:
    """Fill the depths. Return False if an index is outside its range: children must follow their parent."""
    levels = np.zeros(len(nodes), np.uint32)
    for tree in range(len(trees)):
        first = np.int64(trees[tree].root)
        end = np.int64(trees[tree + 1].root) if tree + 1 < len(trees) else len(nodes)
        if (tree == 0 and first != 0) or first >= end or end > len(nodes):
            return False
        trees[tree].depth = 0
        for index in range(first, end):
            threshold, left, feature = nodes[index].threshold, np.int64(nodes[index].left), nodes[index].feature
            if feature >= len(kinds):  # a walk that waits at a leaf reads the feature of the leaf too
                return False
            if threshold == LEAF:
                if left != index:
                    return False
                trees[tree].depth = max(trees[tree].depth, levels[index])
                continue
            if np.isnan(threshold) or left <= index or left + 1 >= end:
                return False
            if flags[index] & BY_CATEGORY:
                is_set = 0 <= threshold < set_count and threshold == np.floor(threshold)
                if not is_set or kinds[feature] != CATEGORY:
                    return False
            levels[left] = max(levels[left], levels[index] + np.uint32(1))
            levels[left + 1] = max(levels[left + 1], levels[index] + np.uint32(1))
    return True
