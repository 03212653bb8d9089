"""Rows and answers of a model as columns of a Parquet file.

Every feature has the prefix `feature.`, so that the name of a feature never equals the name of another column.
"""

from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from app.models.answers import Answers
from app.models.signature import TEXT_TYPES, Columns

FEATURE_PREFIX: Final = "feature."
"""Beginning of the name of a column that holds a feature."""

PREDICTION: Final = "prediction"
"""Column with the answer to a row: a class or a number, or a list of them for a model with several outputs."""

PROBABILITIES: Final = "probabilities"
"""Column with the probability of each class, in the order of `classes`; null without probabilities."""

LABEL: Final = "label"
"""Column with the true class or number of a row."""


def feature_columns(rows: np.ndarray, columns: Columns) -> dict[str, pa.Array]:
    """Convert the rows of a request to columns.

    Args:
        rows: Shape (rows, columns); see `app.models.frames`.
        columns: The model's columns.

    Returns:
        One column for each feature, by its name with the prefix: float64, or string if it holds text or dates. A
        missing value is null.
    """
    arrays = {}
    for index, column in enumerate(columns):
        values = rows[:, index]
        if column.type in TEXT_TYPES:
            array = pa.array([None if pd.isna(value) else str(value) for value in values], pa.string())
        else:
            array = pa.array(values.astype(np.float64), pa.float64(), from_pandas=True)
        arrays[FEATURE_PREFIX + column.name] = array
    return arrays


def feature_rows(table: pa.Table, columns: Columns) -> np.ndarray:
    """Convert logged features to the rows of a request: the inverse of `feature_columns`.

    Args:
        table: A table with a column for each of the model's columns.
        columns: The model's columns.

    Returns:
        Shape (rows, columns); see `app.models.frames`.
    """
    if not columns.hold_text:
        return np.column_stack([table[FEATURE_PREFIX + name].to_numpy() for name in columns.names])
    rows = np.empty((table.num_rows, len(columns)), dtype=object)
    for index, name in enumerate(columns.names):
        rows[:, index] = table[FEATURE_PREFIX + name].to_pylist()
    return rows


def answer_columns(answers: Answers) -> dict[str, pa.Array]:
    """Convert the answers of a model to columns."""
    probabilities = answers.probabilities
    if probabilities is None:
        lists = pa.nulls(len(answers.predictions), pa.list_(pa.float64()))
    else:
        rows, classes = probabilities.shape
        lists = pa.ListArray.from_arrays(
            pa.array(np.arange(0, rows * classes + 1, classes, dtype=np.int32)), pa.array(probabilities.ravel())
        )
    return {PREDICTION: values(answers.predictions), PROBABILITIES: lists}


def read_answers(table: pa.Table) -> Answers:
    """Convert logged answers to the predictions and probabilities of a model: the inverse of `answer_columns`."""
    lists = table[PROBABILITIES].to_pylist()
    return Answers(
        predictions=np.array(table[PREDICTION].to_pylist()),
        probabilities=None if None in lists else np.array(lists, dtype=np.float64),
    )


def values(array: np.ndarray) -> pa.Array:
    """Convert classes or numbers to a column. Values of several types become text.

    Args:
        array: Shape (rows,), or (rows, outputs).
    """
    if array.ndim == 1 and array.dtype != object:
        return pa.array(array)
    items: list[Any] = array.tolist()
    try:
        return pa.array(items)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([str(item) for item in items], pa.string())


def feature_names(table: pa.Table) -> list[str]:
    """Return the names of the features that a table holds, in its order."""
    return [name.removeprefix(FEATURE_PREFIX) for name in table.column_names if name.startswith(FEATURE_PREFIX)]
