"""Which rows training never sees, and whether there are enough of each class.

Where the rows come from is decided in `app.training.data.sources`, and what the held-out ones judge in
`app.training.evaluation.promotion_gate`.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.errors import DataError
from app.training.data.sources import Dataset


@dataclass(frozen=True, kw_only=True)
class Split:
    """A data set in two parts that share no row."""

    train_features: pd.DataFrame
    test_features: pd.DataFrame
    train_target: pd.Series
    test_target: pd.Series


def split(dataset: Dataset, *, test_size: float, seed: int) -> Split:
    """Hold out a test set with every class in the same share as in the whole.

    What a row holds decides its side, not its place: when rows come or go, nearly all others stay where they were. So a
    model that was trained on an earlier state of the data can be judged on rows that it has not seen.

    Args:
        dataset: What to split.
        test_size: Share of the rows to hold out, above 0 and below 1.
        seed: The same seed holds out the same rows.

    Raises:
        DataError: A class has too few rows to stand in both parts.
    """
    needed = max(2, math.ceil(1 / test_size), math.ceil(1 / (1 - test_size)))
    counts = dataset.target.value_counts()
    small = counts[counts < needed]
    if len(small):
        listed = ", ".join(f"{label!r} ({count})" for label, count in small.items())
        raise DataError(
            f"{dataset.source} has classes with too few rows to train on and to hold out: {listed}.",
            allowed=f"at least {needed} rows a class at a test share of {test_size}",
            next_step="Add rows, merge or drop these classes, or change --test-size.",
        )
    order = np.argsort(_draws(dataset, seed))
    features, target = dataset.features.iloc[order], dataset.target.iloc[order]
    rank = target.groupby(target).cumcount()
    is_held_out = (rank < (target.map(counts) * test_size).round()).to_numpy()
    return Split(
        train_features=features[~is_held_out],
        test_features=features[is_held_out],
        train_target=target[~is_held_out],
        test_target=target[is_held_out],
    )


def _draws(dataset: Dataset, seed: int) -> np.ndarray:
    """A random number for each row, of shape (rows,), that depends on what the row holds and on the seed alone."""
    parts = [pd.util.hash_pandas_object(part, index=False).to_numpy() for part in (dataset.features, dataset.target)]
    draws: np.ndarray = pd.util.hash_array(sum(parts) + pd.util.hash_array(np.array([seed], dtype=np.uint64)))
    return draws


def check_folds(parts: Split, folds: int) -> None:
    """Make sure that the training rows can be cut into folds of which each has every class.

    Raises:
        DataError: A class has fewer training rows than there are folds.
    """
    counts = parts.train_target.value_counts()
    small = counts[counts < folds]
    if len(small):
        listed = ", ".join(f"{label!r} ({count})" for label, count in small.items())
        raise DataError(
            f"There are classes with fewer rows to train on than there are folds: {listed}.",
            allowed=f"at least {folds} training rows a class",
            next_step="Add rows, merge or drop these classes, or take fewer --folds.",
        )
