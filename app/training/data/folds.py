"""The folds of a cross-validation on the training rows.

`app.training.data.split` holds the test rows out.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.model_selection import GroupKFold, KFold, StratifiedGroupKFold, StratifiedKFold

from app.errors import DataError
from app.training.data.dataset import Rows, Task


def folds(rows: Rows, *, task: Task, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Divide rows into folds, and yield the positions of the training rows and of the test rows of each fold.

    Classes have the same share in every fold. Rows of one group are in the same fold. With times, the test rows of a
    fold are later than its training rows, and each fold trains on the rows of all earlier folds.

    Args:
        rows: The training rows of a split, checked by `check_folds`.
        task: Whether the target holds classes.
        count: Number of folds, at least 2.
        seed: The same seed makes the same folds. It does not matter for times.
    """
    if rows.times is not None:
        yield from _windows(rows, count)
        return
    is_classification = task == "classification"
    if rows.groups is not None:
        splitter = (StratifiedGroupKFold if is_classification else GroupKFold)(count, shuffle=True, random_state=seed)
    else:
        splitter = (StratifiedKFold if is_classification else KFold)(count, shuffle=True, random_state=seed)
    yield from splitter.split(rows.features, rows.target, rows.groups)


def check_folds(rows: Rows, *, task: Task, count: int) -> None:
    """Check that a cross-validation can use a number of folds.

    Args:
        rows: The training rows of a split.
        task: Whether the target holds classes, all of which every fold must have.
        count: Number of folds.

    Raises:
        DataError: A class has fewer rows than there are folds, there are fewer groups than folds, or a fold by time
            has no rows or only one class to train on.
    """
    if rows.groups is not None and rows.groups.nunique() < count:
        raise DataError(
            f"The training rows have {rows.groups.nunique()} groups in column {rows.groups.name!r}.",
            allowed=f"at least as many groups as folds, {count}",
            next_step="Use fewer --folds, or a column with more groups as --group.",
        )
    if rows.times is not None:
        _check_windows(rows, task, count)
    elif task == "classification":
        counts = rows.target.value_counts()
        small_classes = ", ".join(f"{label!r} ({number})" for label, number in counts[counts < count].items())
        if small_classes:
            raise DataError(
                f"Some classes have fewer training rows than there are folds: {small_classes}.",
                allowed=f"at least {count} training rows per class",
                next_step="Add rows, merge or drop these classes, or use fewer --folds.",
            )
    elif len(rows) < count:
        raise DataError(
            f"There are {len(rows)} training rows and {count} folds.",
            allowed="at least one training row per fold",
            next_step="Add rows, or use fewer --folds.",
        )


def _windows(rows: Rows, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield expanding windows. Rows of one time are never divided between training rows and test rows."""
    if rows.times is None:
        return
    order = np.argsort(rows.times.to_numpy(), kind="stable")
    times = rows.times.to_numpy()[order]
    starts = [np.searchsorted(times, times[len(times) * part // (count + 1)]) for part in range(1, count + 1)]
    for start, end in zip(starts, [*starts[1:], len(times)], strict=True):
        yield order[:start], order[start:end]


def _check_windows(rows: Rows, task: Task, count: int) -> None:
    for train, test in _windows(rows, count):
        class_count = rows.target.iloc[train].nunique() if task == "classification" else 2
        if len(train) == 0 or len(test) == 0 or class_count < 2:  # noqa: PLR2004 - classes
            raise DataError(
                f"The training rows cannot be divided by time into {count} folds: a fold has {len(train)} training "
                f"rows and {len(test)} test rows" + (f" of {class_count} class." if class_count == 1 else "."),
                allowed="rows of two classes or more before each fold, and rows of different times in each fold",
                next_step="Use fewer --folds, or a column with finer times as --time.",
            )
