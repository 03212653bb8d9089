"""Converts a body in numpy's npy format to a matrix. Large batches are faster in this format than in JSON.

The checks that both formats share are in `app.serving.requests.json_rows`.
"""

import io
import tokenize
from typing import Final

import numpy as np
from numpy.lib import format as npy

from app.errors import InvalidBodyError
from app.models.signature import Columns
from app.serving.requests import json_rows

HEADER_ERRORS: Final = (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
"""What numpy raises for a damaged header. It reads the header as a Python literal."""


def read(body: bytes, *, columns: Columns, max_rows: int) -> np.ndarray:
    """Convert an npy body to a matrix. Nothing in the body is run or unpickled.

    Args:
        body: An npy file with an array of numbers or booleans of shape (rows, columns).
        columns: The model's columns.
        max_rows: Maximum number of rows.

    Returns:
        Shape (rows, columns), float64.

    Raises:
        InvalidBodyError: The body is not such a file.
        FeaturesError: The array does not match the columns.
        TooLargeError: The array has more than `max_rows` rows.
    """
    stream = io.BytesIO(body)
    try:
        format_version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if format_version == (1, 0) else npy.read_array_header_2_0
        shape, is_by_column, dtype = read_header(stream)
    except HEADER_ERRORS as error:
        raise _invalid_npy(f"The body is not an .npy file: {error}") from error
    if dtype.kind not in "fiub" or len(shape) != 2:  # noqa: PLR2004 - rows and columns
        raise _invalid_npy(f"The body holds an array of {dtype} of shape {shape}.")
    rows, width = shape
    if rows > max_rows:
        raise json_rows.too_many_rows(rows, max_rows)
    if width != len(columns):
        raise json_rows.wrong_width(0, width, columns)
    data = body[stream.tell() :]
    if rows < 1 or len(data) != rows * width * dtype.itemsize:
        raise _invalid_npy(f"The body holds {len(data)} bytes of data for an array of {dtype} of shape {shape}.")
    if columns.hold_text:
        raise json_rows.text_needs_names(columns)
    values = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if is_by_column else "C")
    matrix = np.ascontiguousarray(values, dtype=np.float64)
    json_rows.check_numbers(matrix, columns)
    return matrix


def _invalid_npy(detail: str) -> InvalidBodyError:
    return InvalidBodyError(
        detail.rstrip(".") + ".",
        allowed="an array of numbers of shape (rows, columns) with at least one row, as numpy.save writes it",
        next_step="Send the output of numpy.save(file, rows, allow_pickle=False).",
    )
