"""Reads the rows of a prediction request, and says exactly which value is at fault when they cannot be used."""

from typing import Final

import numpy as np
from pydantic import ValidationError

from app.body import explain, shown
from app.errors import FeaturesError, TooLargeError
from app.schemas import PredictRequest

FORM: Final = '{"features": [[number, ...], ...]}'
"""The form of a request, for messages."""

CELL: Final = 3
"""Parts of a value's location in the body: features, row, column."""

LARGEST: Final = float(np.finfo(np.float32).max)
"""The largest number that trees, which compare in float32, can tell from infinity."""

NAMES_SHOWN: Final = 3
"""Columns that a message names before it shortens the list."""


def decode(body: bytes, *, max_rows: int) -> list[list[float]]:
    """Read the rows of a request.

    Args:
        body: JSON of the form `FORM`.
        max_rows: The most rows of one request.

    Returns:
        One row or more of finite numbers; their lengths are still unchecked.

    Raises:
        InvalidBodyError: It is not JSON, or not of that form.
        FeaturesError: A value is no finite number; the message names its row and column, counted from 0.
        TooLargeError: It has too many rows.
    """
    try:
        rows = PredictRequest.model_validate_json(body).features
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        if len(fault["loc"]) == CELL:
            raise _unusable(int(fault["loc"][1]), int(fault["loc"][2]), fault["input"]) from error
        raise explain(fault, form=FORM) from error
    if len(rows) > max_rows:
        raise TooLargeError(
            f"features has {len(rows)} rows.", allowed=f"up to {max_rows} rows", next_step="Send them in parts."
        )
    return rows


def to_matrix(rows: list[list[float]], *, columns: tuple[str, ...]) -> np.ndarray:
    """Make rows a matrix for a model.

    Args:
        rows: Finite numbers, one list a row.
        columns: Names of the model's features.

    Returns:
        Shape (rows, columns), float64.

    Raises:
        FeaturesError: A row has another width, or a value is beyond float32, in which trees compare.
    """
    width = len(columns)
    for index, row in enumerate(rows):
        if len(row) != width:
            names = ", ".join(columns[:NAMES_SHOWN]) + (", ..." if width > NAMES_SHOWN else "")
            raise FeaturesError(
                f"Row {index} has {len(row)} values.",
                allowed=f"{width} values a row ({names})",
                next_step="GET /model lists the columns in their order.",
                row=index,
            )
    matrix = np.array(rows, dtype=np.float64)
    beyond = np.argwhere(np.abs(matrix) > LARGEST)
    if len(beyond):
        row_index, column = beyond[0].tolist()
        raise _unusable(row_index, column, rows[row_index][column])
    return matrix


def _unusable(row: int, column: int, given: object) -> FeaturesError:
    return FeaturesError(
        f"Row {row}, column {column} is {shown(given)}.",
        allowed="finite numbers within float32",
        next_step="Fill missing values before asking for a prediction, and send numbers without quotes.",
        row=row,
        column=column,
    )
