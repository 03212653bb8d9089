"""The forest that the benchmarks measure, and its training rows."""

from typing import Final

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

FEATURE_COUNT: Final = 20
TREE_COUNT: Final = 75
LEAVES_PER_TREE: Final = 101
"""With `TREE_COUNT` trees this gives about 15,000 nodes."""

COLUMNS: Final = [f"x{index}" for index in range(FEATURE_COUNT)]


def make_rows(*, class_count: int = 2) -> tuple[pd.DataFrame, pd.Series]:
    """Generate 20,000 rows and their labels, with enough noise that a forest of this size has impure leaves."""
    values, class_indices = make_classification(
        20_000, FEATURE_COUNT, n_informative=8, n_redundant=4, n_classes=class_count, flip_y=0.05, random_state=0
    )
    return pd.DataFrame(values, columns=COLUMNS), pd.Series(np.array(["low", "high", "middle"])[class_indices])


def fit_forest(*, tree_count: int = TREE_COUNT, class_count: int = 2) -> RandomForestClassifier:
    """Fit a forest on arrays without column names; it predicts on one core."""
    features, labels = make_rows(class_count=class_count)
    model = RandomForestClassifier(tree_count, max_leaf_nodes=LEAVES_PER_TREE, random_state=0, n_jobs=-1)
    return model.fit(features.to_numpy(), labels).set_params(n_jobs=1)
