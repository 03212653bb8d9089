"""Reads rows from a body in numpy's own format, which large batches send faster than JSON.

The checks that both forms share are in `app.serving.requests.json_rows`.
"""

import io
import tokenize
from typing import Final

import numpy as np
from numpy.lib import format as npy

from app.errors import InvalidBodyError
from app.models.signature import Columns
from app.serving.requests import json_rows

FAULTS: Final = (ValueError, TypeError, KeyError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
"""What numpy raises where a header, which it reads as a literal of Python, is damaged."""


def read(body: bytes, *, columns: Columns, max_rows: int) -> np.ndarray:
    """Read rows by position from a file of numpy's own format, without running code from it.

    Args:
        body: The file: an array of numbers or booleans of shape (rows, columns).
        columns: The model's features.
        max_rows: The most rows of one request.

    Returns:
        Shape (rows, columns), float64.

    Raises:
        InvalidBodyError: It is no such file.
        FeaturesError: It does not fit the columns.
        TooLargeError: It has too many rows.
    """
    stream = io.BytesIO(body)
    try:
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, is_by_column, dtype = read_header(stream)
    except FAULTS as error:
        raise _no_npy(f"The body is no .npy file: {error}") from error
    if dtype.kind not in "fiub" or len(shape) != 2:  # noqa: PLR2004 - rows and columns
        raise _no_npy(f"The body holds an array of {dtype} of shape {shape}.")
    rows, width = shape
    if rows > max_rows:
        raise json_rows.too_many(rows, max_rows)
    if width != len(columns):
        raise json_rows.wrong_width(0, width, columns)
    data = body[stream.tell() :]
    if rows < 1 or len(data) != rows * width * dtype.itemsize:
        raise _no_npy(f"The body holds {len(data)} bytes of data for an array of {dtype} of shape {shape}.")
    if columns.hold_text:
        raise json_rows.needs_names(columns)
    values = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if is_by_column else "C")
    matrix = np.ascontiguousarray(values, dtype=np.float64)
    json_rows.check_numbers(matrix, columns)
    return matrix


def _no_npy(fault: str) -> InvalidBodyError:
    return InvalidBodyError(
        fault.rstrip(".") + ".",
        allowed="an array of numbers of shape (rows, columns), one row or more, as numpy.save writes it",
        next_step="Send what numpy.save(file, rows, allow_pickle=False) writes.",
    )
