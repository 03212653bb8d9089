"""The held-out test set, and the check that every class has enough rows.

`app.training.data.sources` reads the rows. `app.training.evaluation.promotion_gate` judges models on the held-out rows.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from app.errors import DataError
from app.training.data.dataset import Dataset, Rows


@dataclass(frozen=True, kw_only=True)
class Split:
    """The training rows and the test rows of a data set; no row is in both."""

    train: Rows
    test: Rows
    description: str
    """Test size and seed. A model with the same description was not trained on the test rows."""


def split_dataset(dataset: Dataset, *, test_size: float, seed: int) -> Split:
    """Hold out a stratified test set: every class has the same share as in the whole data set.

    A hash of the row's content decides its side, not its position. When rows are added or removed, nearly all other
    rows stay on their side. So a model that was trained on an earlier state of the data can be judged on rows that it
    has not seen.

    Args:
        dataset: The data set to split.
        test_size: Share of the rows to hold out, above 0 and below 1.
        seed: The same seed holds out the same rows.

    Raises:
        DataError: A class has too few rows for both parts.
    """
    min_rows = max(2, math.ceil(1 / test_size), math.ceil(1 / (1 - test_size)))
    counts = dataset.rows.target.value_counts()
    small_classes = counts[counts < min_rows]
    if len(small_classes):
        raise DataError(
            f"{dataset.source} has classes with too few rows to split into training and test rows: "
            f"{_list_counts(small_classes)}.",
            allowed=f"at least {min_rows} rows per class with --test-size {test_size}",
            next_step="Add rows, merge or drop these classes, or change --test-size.",
        )
    order = np.argsort(_row_hashes(dataset, seed))
    rows = dataset.rows.take(order)
    rank_in_class = rows.target.groupby(rows.target).cumcount()
    is_held_out = (rank_in_class < (rows.target.map(counts) * test_size).round()).to_numpy()
    return Split(
        train=rows.take(~is_held_out),
        test=rows.take(is_held_out),
        description=f"{test_size:g} of the rows, seed {seed}",
    )


def check_folds(split: Split, folds: int) -> None:
    """Check that every class of the training rows can be in every fold of a cross-validation.

    Raises:
        DataError: A class has fewer training rows than `folds`.
    """
    counts = split.train.target.value_counts()
    small_classes = counts[counts < folds]
    if len(small_classes):
        raise DataError(
            f"Some classes have fewer training rows than there are folds: {_list_counts(small_classes)}.",
            allowed=f"at least {folds} training rows per class",
            next_step="Add rows, merge or drop these classes, or use fewer --folds.",
        )


def _row_hashes(dataset: Dataset, seed: int) -> np.ndarray:
    """Hash each row's values, its label and the seed into a number; shape (rows,), uint64."""
    columns = (dataset.rows.features, dataset.rows.target)
    content_hashes = [pd.util.hash_pandas_object(column, index=False).to_numpy() for column in columns]
    seed_hash = pd.util.hash_array(np.array([seed], dtype=np.uint64))
    row_hashes: np.ndarray = pd.util.hash_array(sum(content_hashes) + seed_hash)
    return row_hashes


def _list_counts(counts: pd.Series) -> str:
    return ", ".join(f"{label!r} ({count})" for label, count in counts.items())
