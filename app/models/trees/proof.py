"""Generates the rows on which flat trees are compared with their library."""

from typing import Final

import numpy as np
from mlflow.types import DataType

from app.models.signature import Columns
from app.models.trees.flat_model import FlatModel
from app.models.trees.flat_trees import BY_CATEGORY, CATEGORY, LEAF

ROWS: Final = 256
"""Generated rows, which scikit-learn predicts in some milliseconds."""

MISSING_SHARE: Final = 0.1
"""Share of missing values in half of the values of an optional column."""

MAX_FLOAT32: Final = float(np.finfo(np.float32).max)

FLOATS: Final = (DataType.float, DataType.double)


def generate_rows(flat: FlatModel, columns: Columns) -> np.ndarray:
    """Generate rows on and next to the thresholds of the trees, with missing values and unknown categories.

    Args:
        flat: The model.
        columns: The model's columns.

    Returns:
        Shape (rows, columns), float64.
    """
    random = np.random.default_rng(0)
    trees = flat.trees
    rows = np.empty((ROWS, trees.width))
    is_split = (trees.nodes["threshold"] != LEAF) & (trees.flags & BY_CATEGORY == 0)
    splits = trees.nodes[is_split]
    for index, column in enumerate(columns):
        if trees.kinds[index] == CATEGORY:
            start = trees.category_ends[index - 1] if index else 0
            known = trees.categories[start : trees.category_ends[index]]
            values = random.choice(np.append(known, known.max(initial=0) + 1), ROWS)
        else:
            thresholds = splits["threshold"][splits["feature"] == index].astype(np.float64)
            values = _near(thresholds[np.abs(thresholds) < MAX_FLOAT32], random)
        if column.type is DataType.boolean:
            values = (values > 0).astype(np.float64)
        elif column.type not in FLOATS:
            values = np.round(values)
        if column.is_optional:
            values[(random.random(ROWS) < MISSING_SHARE) & (np.arange(ROWS) >= ROWS // 2)] = np.nan
        rows[:, index] = values
    return rows


def _near(thresholds: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return values of which three quarters are on or next to a threshold."""
    values = random.normal(size=ROWS)
    if not len(thresholds):
        return values
    exact = random.choice(thresholds, ROWS)
    rounded = exact.astype(np.float32)
    near = [exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf)]
    near += [np.nextafter(rounded, np.float32(limit)).astype(np.float64) for limit in (np.inf, -np.inf)]
    near += [rounded.astype(np.float64), values, values * np.abs(exact).max()]
    return np.stack(near)[random.integers(len(near), size=ROWS), np.arange(ROWS)]
