"""The files of a model of trees: one .npy file for each array.

Nothing in the files is trusted: every format, length and index is checked, so that compiled code stays inside its
arrays.
"""

from pathlib import Path
from typing import Final

import numpy as np

from app.models.trees import index_check
from app.models.trees.flat_model import FlatModel
from app.models.trees.flat_trees import NODE, SET_WORDS, TREE, WIDE_NODE, FlatTrees
from app.serving.loading.arrays import read_array
from app.serving.loading.manifest import TreeSums

FLOATS: Final = (np.dtype(np.float64), np.dtype(np.float32))

ARRAYS: Final[dict[str, tuple[tuple[np.dtype, ...], int]]] = {
    "nodes": ((NODE, WIDE_NODE), 1),
    "flags": ((np.dtype(np.uint8),), 1),
    "values": (FLOATS, 2),
    "trees": ((TREE,), 1),
    "kinds": ((np.dtype(np.uint8),), 1),
    "sets": ((np.dtype(np.uint32),), 2),
    "categories": ((np.dtype(np.float64),), 1),
    "category_ends": ((np.dtype(np.uint32),), 1),
}
"""Formats and number of dimensions of each array of `FlatTrees`."""

BASELINE: Final = "baseline.npy"

NAMES: Final = frozenset({BASELINE, *(f"{name}.npy" for name in ARRAYS)})
"""Names of the files."""


def write(folder: Path, flat: FlatModel) -> None:
    """Write the arrays of a model into a folder."""
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", np.ascontiguousarray(getattr(flat.trees, name)), allow_pickle=False)
    np.save(folder / BASELINE, flat.baseline, allow_pickle=False)


def read(folder: Path, sums: TreeSums, *, width: int, outputs: int, is_mapped: bool = False) -> FlatModel:
    """Read the arrays of a model.

    Args:
        folder: The files.
        sums: The description of the model.
        width: Number of columns.
        outputs: Number of sums of a row.
        is_mapped: See `read_array`.

    Raises:
        ValueError: An array is damaged, does not fit the others, or has an index outside another array.
        OSError: A file cannot be read.
    """
    arrays = {
        name: read_array(folder / f"{name}.npy", formats, dimensions, is_mapped=is_mapped)
        for name, (formats, dimensions) in ARRAYS.items()
    }
    baseline = read_array(folder / BASELINE, FLOATS, 1)
    trees = FlatTrees(**arrays)
    nodes = trees.nodes.shape
    if len(trees.trees) == 0 or trees.flags.shape != nodes or trees.values.shape[:1] != nodes:
        raise ValueError(f"the shapes {nodes}, {trees.flags.shape} and {trees.values.shape} do not fit each other")
    if baseline.shape != (outputs,) or baseline.dtype != trees.values.dtype or trees.sets.shape[1] != SET_WORDS:
        raise ValueError(f"the shapes {baseline.shape} and {trees.sets.shape} do not fit {outputs} outputs")
    measured = index_check.measure(trees, outputs=outputs) if trees.width == width else None
    if measured is None:
        raise ValueError("a tree has an index outside its arrays")
    return FlatModel(
        trees=FlatTrees(**arrays | {"trees": measured}),
        baseline=baseline,
        link=sums.link,
        divisor=sums.divisor,
        takes_missing=sums.takes_missing,
    )
