"""Rows on or next to the thresholds of a forest: they show every comparison that differs from scikit-learn's."""

import numpy as np
from sklearn.base import BaseEstimator


def rows_near_thresholds(model: BaseEstimator, count: int, *, seed: int) -> np.ndarray:
    """Generate rows. In half of the rows, every value is on or next to a threshold of the forest.

    Args:
        model: A fitted forest.
        count: Number of rows.
        seed: Seed of the random choice.

    Returns:
        Shape (count, features), float64. The first half holds normally distributed values. Each value of the second
        half is a threshold, the next float64 or float32 below or above it, or half a float32 step away from it.
    """
    random = np.random.default_rng(seed)
    width = model.n_features_in_
    rows = random.normal(scale=2, size=(count, width))
    trees = [member.tree_ for member in model.estimators_]
    features = np.concatenate([tree.feature for tree in trees])
    thresholds = np.concatenate([tree.threshold for tree in trees])
    half = count // 2
    for column in range(width):
        column_thresholds = thresholds[(features == column) & np.isfinite(thresholds)]
        if not len(column_thresholds):
            continue
        exact = random.choice(column_thresholds, half)
        rounded = exact.astype(np.float32)
        above, below = (np.nextafter(rounded, np.float32(limit)).astype(np.float64) for limit in (np.inf, -np.inf))
        near = [exact, np.nextafter(exact, np.inf), np.nextafter(exact, -np.inf), rounded.astype(np.float64)]
        near += [above, below, (exact + above) / 2, (exact + below) / 2]
        rows[-half:, column] = np.stack(near)[random.integers(len(near), size=half), np.arange(half)]
    return rows
