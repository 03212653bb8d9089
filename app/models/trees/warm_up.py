"""Compiles the kernel into numba's cache, for an image: `python -m app.models.trees.warm_up`."""

from typing import Final

import numpy as np

from app.models.trees import compiled_links, index_check, kernel
from app.models.trees.flat_trees import NODE, PLAIN, WIDE_NODE, FlatTrees, LibraryTree

FORMATS: Final = ((NODE, np.float64), (WIDE_NODE, np.float64), (NODE, np.float32))
"""Formats of nodes and leaves: forests and boosting by stages; histogram boosting and LightGBM; XGBoost."""


def warm_up() -> None:
    """Compile the kernel for all formats, or read it from the disk cache."""
    for node, number in FORMATS:
        leaf = LibraryTree(
            left=np.array([-1]),
            right=np.array([-1]),
            feature=np.zeros(1, dtype=np.int64),
            threshold=np.zeros(1),
            missing_left=np.zeros(1, dtype=bool),
            value=np.zeros((1, 1), dtype=number),
        )
        trees = FlatTrees.lay_out([leaf], node=node, kinds=np.array([PLAIN]))
        if trees is not None:
            index_check.measure(trees, outputs=1)
            kernel.compile_for(trees)
            sums = np.zeros((1, 2), dtype=number)
            compiled_links.exponential(sums[:, 0].copy())
            compiled_links.ordered_softmax(sums)
            compiled_links.narrow_logistic(sums[:, 0].astype(np.float32))
            compiled_links.wide_logistic(sums[:, 0].astype(np.float64), compiled_links.FIRST)


if __name__ == "__main__":
    warm_up()
