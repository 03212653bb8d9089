"""Converts decoded rows to a matrix, for the protocols whose bodies do not name the rows as `POST /predict` does.

The process that reads large bodies imports this module, so it imports neither MLflow nor pandas.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from app.errors import FeaturesError
from app.serving.requests import row_errors
from app.serving.requests.json_rows import Value, mixed_matrix
from app.serving.requests.row_schema import RowSchema

NUMBERS: Final = frozenset({int, float})
"""Python types of decoded numbers."""

NUMBERS_OR_MISSING: Final = NUMBERS | {type(None)}


def check_count(count: int, max_rows: int) -> None:
    """Check the number of rows.

    Raises:
        FeaturesError: There is none.
        TooLargeError: There are more than `max_rows`.
    """
    if count == 0:
        raise FeaturesError("The request has no row.", allowed="at least one row", next_step="Send a row.")
    if count > max_rows:
        raise row_errors.too_many_rows(count, max_rows)


def to_matrix(rows: Sequence[Sequence[Value]], schema: RowSchema) -> np.ndarray:
    """Convert rows by position to a matrix.

    Args:
        rows: At least one row. Each value is a decoded JSON value; None is a missing value.
        schema: The model's columns.

    Returns:
        Shape (rows, columns), float64 with NaN for a missing value; dtype object with None for a missing value if a
        column holds text.

    Raises:
        FeaturesError: A row does not match the columns. The error names the first fault.
    """
    if set(map(len, rows)) != {schema.width}:
        index, row = next((index, row) for index, row in enumerate(rows) if len(row) != schema.width)
        raise row_errors.wrong_width(index, len(row), schema)
    if not schema.holds_numbers_only:
        return mixed_matrix(list(zip(*rows, strict=True)), rows, schema)
    values = list(chain.from_iterable(rows))
    accepted = NUMBERS_OR_MISSING if schema.optional else NUMBERS
    matrix = None
    if accepted.issuperset(map(type, values)):
        try:
            matrix = np.array(values, dtype=np.float64).reshape(len(rows), schema.width)
        except OverflowError:  # an integer beyond float64
            matrix = None
    if matrix is None:
        for index, row in enumerate(rows):
            row_errors.check_positional_row(index, row, schema)
        raise AssertionError("no row has a fault")
    row_errors.check_numbers(matrix, schema, missing="null")
    return matrix
