"""The forms of request bodies, and the reader of each form.

The process that reads large bodies imports this module, so it imports neither MLflow nor pandas.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from app.serving.requests import csv_rows, dataframe_rows, json_rows, tensor_rows
from app.serving.requests.row_schema import RowSchema


class Form(IntEnum):
    """How a body writes rows."""

    ROWS = 0
    """JSON of `POST /predict`."""
    DATAFRAME = 1
    """JSON of MLflow's scoring protocol."""
    CSV = 2
    """CSV of MLflow's scoring protocol."""
    TENSORS = 3
    """JSON of the Open Inference Protocol, perhaps with binary data after it."""


@dataclass(frozen=True)
class BodyForm:
    """The form of one body."""

    form: Form
    head_bytes: int = 0
    """Bytes of the JSON at the beginning of tensors; 0 if the whole body is JSON."""


ROWS: Final = BodyForm(Form.ROWS)


def read(form: BodyForm, body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    """Convert a body to a matrix.

    Args:
        form: The form of the body.
        body: The body.
        schema: The model's columns.
        max_rows: Maximum number of rows.

    Returns:
        Shape (rows, columns), float64 with NaN for a missing value; dtype object with None for a missing value if a
        column holds text.

    Raises:
        InvalidBodyError: The body does not have its form.
        FeaturesError: A row does not match the columns.
        TooLargeError: The body has more than `max_rows` rows.
    """
    if form.form == Form.ROWS:
        return json_rows.read(body, schema=schema, max_rows=max_rows)
    if form.form == Form.DATAFRAME:
        return dataframe_rows.read(body, schema=schema, max_rows=max_rows)
    if form.form == Form.CSV:
        return csv_rows.read(body, schema=schema, max_rows=max_rows)
    return tensor_rows.read(body, schema=schema, max_rows=max_rows, head_bytes=form.head_bytes)
