"""The target column: labels of classes or numbers, and what a model predicts from them.

`app.training.data.split` checks that each class has enough rows.
"""

from typing import Final

import numpy as np
import pandas as pd

from app.errors import DataError
from app.training.data.dataset import Rows, Task

MAX_INTEGER_CLASSES: Final = 100
"""A target with more different whole numbers than this is a number to predict, unless a classifier is given."""

MAX_CLASSES: Final = 1000
"""Largest number of classes. A column with more holds names or numbers; each leaf stores one count per class."""

MAX_EXACT_INTEGER: Final = 2.0**53
"""Whole numbers up to this size are exact in float64."""


def task_of(target: pd.Series) -> Task:
    """Return what a model predicts if no estimator decides it.

    Fractions are numbers to predict, and so are more than `MAX_INTEGER_CLASSES` different whole numbers. Everything
    else is labels.

    Args:
        target: Shape (rows,), from `normalize_target`.
    """
    if pd.api.types.is_float_dtype(target):
        return "regression"
    is_integer = pd.api.types.is_integer_dtype(target)
    return "regression" if is_integer and target.nunique() > MAX_INTEGER_CLASSES else "classification"


def normalize_target(target: pd.Series, *, source: str) -> pd.Series:
    """Return whole numbers as int64, other numbers as float64, booleans as bool, and everything else as text.

    Raises:
        DataError: A value is missing or infinite.
    """
    is_missing = target.isna().to_numpy()
    if is_missing.any():
        raise DataError(
            f"{source} has {int(is_missing.sum())} rows without a value in the target column {target.name!r}. The "
            f"first is data row {int(np.argmax(is_missing)) + 1}.",
            next_step="Fill or drop these rows.",
        )
    if isinstance(target.dtype, pd.CategoricalDtype):
        target = target.astype(target.cat.categories.dtype)
    kind = pd.api.types.infer_dtype(target)
    if kind == "boolean":
        return target.astype(bool)
    if not pd.api.types.is_numeric_dtype(target) and kind not in {
        "integer",
        "floating",
        "mixed-integer-float",
        "decimal",
    }:
        return target.astype(str).astype(object)
    if pd.api.types.is_integer_dtype(target) or kind == "integer":
        return target.astype(np.int64)
    return _floats(target.astype(np.float64), source)


def check_target(rows: Rows, task: Task) -> None:
    """Check that an estimator of a task can be fitted on the target.

    Args:
        rows: All rows, before the split.
        task: What the estimator predicts.

    Raises:
        DataError: The target has only one value, too many classes, or values that the task does not take.
    """
    target = rows.target
    if task == "regression" and (pd.api.types.is_bool_dtype(target) or not pd.api.types.is_numeric_dtype(target)):
        raise DataError(
            f"The target column {target.name!r} holds labels such as {_first(target)!r}, and a regressor "
            "predicts numbers.",
            allowed="numbers",
            next_step="Use a classifier, or give a column of numbers as --target.",
        )
    if task == "classification" and pd.api.types.is_float_dtype(target):
        raise DataError(
            f"The target column {target.name!r} has fractions, which cannot be class labels.",
            allowed="integers, booleans or text",
            next_step="Use a regressor, give another column as --target, or put the values into classes.",
        )
    count = target.nunique()
    if count == 1:
        value = f"the class {_first(target)!r}" if task == "classification" else f"the value {_first(target)}"
        raise DataError(
            f"The target column {target.name!r} has only {value}.",
            allowed="two different values or more",
            next_step="Add rows with another value, or give another column as --target.",
        )
    if task == "classification" and count > MAX_CLASSES:
        raise DataError(
            f"The target column {target.name!r} has {count} classes in {len(target)} rows.",
            allowed=f"up to {MAX_CLASSES} classes",
            next_step="If the column is a number to predict, use a regressor. Otherwise give another column as "
            "--target, or merge rare classes.",
        )


def _first(target: pd.Series) -> object:
    """Return the first value as Python's own type, for a message."""
    return target.head(1).tolist()[0]


def _floats(target: pd.Series, source: str) -> pd.Series:
    """Return int64 if every number is whole, else float64."""
    is_infinite = np.isinf(target.to_numpy())
    if is_infinite.any():
        raise DataError(
            f"{source} has {int(is_infinite.sum())} infinite values in the target column {target.name!r}. The first is "
            f"data row {int(np.argmax(is_infinite)) + 1}.",
            allowed="finite numbers",
            next_step="Correct or drop these rows.",
        )
    is_whole = (target % 1 == 0).all() and (target.abs() <= MAX_EXACT_INTEGER).all()
    return target.astype(np.int64) if is_whole else target
