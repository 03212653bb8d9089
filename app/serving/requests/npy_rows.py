"""Converts a body in numpy's npy format to a matrix. Large batches are faster in this format than in JSON.

numpy's own reader evaluates the header as a Python literal. Here the header must have the form in which numpy writes
it, so nothing of a body is evaluated or unpickled. The checks that both formats share are in
`app.serving.requests.row_errors`.
"""

import re
import struct
from typing import Final

import numpy as np

from app.errors import InvalidBodyError
from app.serving.requests import row_errors
from app.serving.requests.row_schema import RowSchema

MAGIC: Final = b"\x93NUMPY"
"""Beginning of every npy file."""

HEADER_SIZES: Final = {b"\1\0": struct.Struct("<H"), b"\2\0": struct.Struct("<I"), b"\3\0": struct.Struct("<I")}
"""Format of the header's size, for each version of npy."""

VERSION_END: Final = len(MAGIC) + 2
"""Position after the two bytes of the version."""

MAX_HEADER_BYTES: Final = 1024
"""Bytes of a header. numpy writes 118 for a matrix."""

HEADER: Final = re.compile(rb"\s*\{(?:[^{}]*)\}\s*")
"""A header: the text of one dictionary."""

ENTRIES: Final = {
    "descr": re.compile(rb"""['"]descr['"]\s*:\s*['"]([<>|=]?[biufcmMOSUV]\d{0,9})['"]"""),
    "fortran_order": re.compile(rb"""['"]fortran_order['"]\s*:\s*(True|False)"""),
    "shape": re.compile(rb"""['"]shape['"]\s*:\s*\(([\d\s,]{0,99})\)"""),
}
"""The entries of a header and their forms."""

MAX_DIGITS: Final = 12
"""Digits of a number in a shape."""


def read(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    """Convert an npy body to a matrix.

    The memory for the matrix is allocated only after the header was compared with the size of the body.

    Args:
        body: An npy file with an array of numbers or booleans of shape (rows, columns).
        schema: The model's columns.
        max_rows: Maximum number of rows.

    Returns:
        Shape (rows, columns), float64; NaN for a missing value of an optional column.

    Raises:
        InvalidBodyError: The body is not such a file.
        FeaturesError: The array does not match the columns.
        TooLargeError: The array has more than `max_rows` rows.
    """
    shape, is_by_column, dtype, start = _read_header(body)
    if dtype.kind not in "fiub" or len(shape) != 2:  # noqa: PLR2004 - rows and columns
        raise _invalid_npy(f"The body holds an array of {dtype} of shape {shape}.")
    rows, width = shape
    if rows > max_rows:
        raise row_errors.too_many_rows(rows, max_rows)
    if width != schema.width:
        raise row_errors.wrong_width(0, width, schema)
    data = memoryview(body)[start:]
    if rows < 1 or len(data) != rows * width * dtype.itemsize:
        raise _invalid_npy(f"The body holds {len(data)} bytes of data for an array of {dtype} of shape {shape}.")
    if schema.holds_text:
        raise row_errors.text_needs_json(schema)
    values = np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if is_by_column else "C")
    with np.errstate(over="ignore", invalid="ignore"):  # a number beyond float64 becomes infinite
        matrix = np.ascontiguousarray(values, dtype=np.float64)
    row_errors.check_numbers(matrix, schema)
    return matrix


def _read_header(body: bytes | bytearray) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Read the header.

    Returns:
        Shape, whether the data is stored by column, dtype, and the position of the data.
    """
    size_format = HEADER_SIZES.get(bytes(body[len(MAGIC) : VERSION_END]))
    if not body.startswith(MAGIC) or size_format is None or len(body) < VERSION_END + size_format.size:
        raise _invalid_npy("The body is not an .npy file: it has no beginning of a known version.")
    [size] = size_format.unpack_from(body, VERSION_END)
    start = VERSION_END + size_format.size
    end = start + size
    if size > MAX_HEADER_BYTES or end > len(body):
        raise _invalid_npy(f"The body is not an .npy file: its header has {size} bytes.")
    header = bytes(body[start:end])
    entries = {name: pattern.findall(header) for name, pattern in ENTRIES.items()}
    if not HEADER.fullmatch(header) or any(len(found) != 1 for found in entries.values()):
        raise _invalid_npy("The body is not an .npy file: its header is damaged, or its values are no numbers.")
    sides = re.findall(rb"\d+", entries["shape"][0])
    try:
        dtype = np.dtype(entries["descr"][0].decode())
    except (TypeError, ValueError, OverflowError) as error:  # numpy knows no such size
        raise _invalid_npy(f"The body is not an .npy file: {error}") from error
    if any(len(side) > MAX_DIGITS for side in sides):
        raise _invalid_npy("The body is not an .npy file: its shape is out of range.")
    return tuple(map(int, sides)), entries["fortran_order"][0] == b"True", dtype, end


def _invalid_npy(detail: str) -> InvalidBodyError:
    return InvalidBodyError(
        detail.rstrip(".") + ".",
        allowed="an array of numbers of shape (rows, columns) with at least one row, as numpy.save writes it",
        next_step="Send the output of numpy.save(file, rows, allow_pickle=False).",
    )
