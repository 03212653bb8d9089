"""The forest that is measured, and rows to ask it about."""

from typing import Final

import numpy as np
import pandas as pd
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier

WIDTH: Final = 20
TREES: Final = 75
LEAVES: Final = 101
"""Leaves of a tree: about 15,000 nodes in all."""

COLUMNS: Final = [f"x{index}" for index in range(WIDTH)]


def rows(*, classes: int = 2) -> tuple[pd.DataFrame, pd.Series]:
    """20,000 rows that no forest of this size tells apart without impure leaves, and their labels."""
    values, labels = make_classification(
        20_000, WIDTH, n_informative=8, n_redundant=4, n_classes=classes, flip_y=0.05, random_state=0
    )
    return pd.DataFrame(values, columns=COLUMNS), pd.Series(np.array(["low", "high", "middle"])[labels])


def fitted(*, trees: int = TREES, classes: int = 2) -> RandomForestClassifier:
    """A forest of `trees` trees, fitted on arrays, that answers on one core."""
    values, labels = rows(classes=classes)
    model = RandomForestClassifier(trees, max_leaf_nodes=LEAVES, random_state=0, n_jobs=-1)
    return model.fit(values.to_numpy(), labels).set_params(n_jobs=1)
