"""Converts data frames to the rows of a request, and back.

The rows of a request are a matrix: float64 with NaN for a missing value, or objects with None for a missing value if a
column holds text or dates. A date is ISO 8601 text in a row, and a datetime64 in a frame.
"""

from datetime import datetime

import numpy as np
import pandas as pd
from mlflow.types import DataType

from app.models.signature import Column, Columns


def to_rows(frame: pd.DataFrame, columns: Columns) -> np.ndarray:
    """Convert a data frame to the rows of a request.

    Args:
        frame: A data frame that holds the columns, in any order.
        columns: The model's columns.

    Returns:
        Shape (rows, columns), float64; dtype object if a column holds text or dates.

    Raises:
        KeyError: The frame lacks a column.
        ValueError: A column of numbers holds something else.
    """
    if not columns.hold_text:
        numbers: np.ndarray = frame[columns.names].to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers
    rows = np.empty((len(frame), len(columns)), dtype=object)
    for index, column in enumerate(columns):
        values = frame[column.name]
        if column.type == DataType.datetime:
            values = values.map(lambda value: value.isoformat(), na_action="ignore")
        values = values.astype(object)
        rows[:, index] = values.where(values.notna(), None)
    return rows


def to_frame(rows: np.ndarray, columns: Columns) -> pd.DataFrame:
    """Convert the rows of a request to the data frame that an estimator was fitted on.

    Integers and booleans with a missing value become float64, because no column of theirs can hold one.

    Args:
        rows: Shape (rows, columns), as `to_rows` returns them.
        columns: The model's columns.
    """
    if columns.accept_any_number and rows.dtype == np.float64:
        return pd.DataFrame(rows, columns=columns.names)
    return pd.DataFrame(
        {column.name: _series(rows[:, index], column) for index, column in enumerate(columns)}, columns=columns.names
    )


def _series(values: np.ndarray, column: Column) -> pd.Series:
    if column.type == DataType.string:
        is_missing = pd.isna(values)
        return pd.Series(np.where(is_missing, np.nan, values) if is_missing.any() else values, dtype=object)
    if column.type == DataType.datetime:
        return pd.Series(
            np.array([None if value is None else datetime.fromisoformat(value) for value in values], "datetime64[us]")
        )
    numbers = values.astype(np.float64)
    is_cast = column.type == DataType.float or not np.isnan(numbers).any()
    return pd.Series(numbers.astype(column.type.to_pandas()) if is_cast else numbers)
