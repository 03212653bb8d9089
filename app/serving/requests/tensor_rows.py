"""Converts the tensors of an inference request to a matrix: one tensor of all columns, or one tensor for each column.

`app.serving.requests.tensors` decodes the request without its data. The process that reads large bodies imports this
module, so it imports neither MLflow nor pandas.
"""

import re
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np

from app.errors import FeaturesError
from app.serving.requests import decoded_rows, row_errors
from app.serving.requests.json_faults import DECODE_ERRORS
from app.serving.requests.json_rows import Value
from app.serving.requests.row_schema import RowSchema
from app.serving.requests.tensors import BYTES, DTYPES, InferenceRequest, Input, decode, invalid, label

NESTED: Final = re.compile(rb"\s*\[\s*\[")
"""Beginning of nested data."""

LENGTH: Final = struct.Struct("<I")
"""Length of a text in binary data. The text follows."""


def read(body: bytes | bytearray, *, schema: RowSchema, max_rows: int, head_bytes: int = 0) -> np.ndarray:
    """Convert a body to a matrix; see `app.serving.requests.body_forms.read`.

    Args:
        body: JSON, perhaps with binary data after it.
        schema: The model's columns.
        max_rows: Maximum number of rows.
        head_bytes: Bytes of the JSON at the beginning of the body; 0 if the whole body is JSON.

    Raises:
        InvalidBodyError: The body is no inference request, or the data of a tensor does not match its shape.
        FeaturesError: The tensors do not match the columns.
        TooLargeError: The tensors have more than `max_rows` rows.
    """
    request = decode(body, head_bytes=head_bytes)
    return read_decoded(request, body, schema=schema, max_rows=max_rows, head_bytes=head_bytes)


def read_decoded(
    request: InferenceRequest, body: bytes | bytearray, *, schema: RowSchema, max_rows: int, head_bytes: int = 0
) -> np.ndarray:
    """Convert a body whose JSON was decoded before; see `read`."""
    inputs = request.inputs
    whole = _is_whole(inputs, schema)
    if not whole:
        _check_columns(inputs, schema)
    decoded_rows.check_count(inputs[0].shape[0], max_rows)
    arrays = _values(inputs, memoryview(body)[head_bytes:] if head_bytes else memoryview(b""))
    if whole:
        return _whole_matrix(arrays[0], schema)
    by_name = {tensor.name: array.ravel() for tensor, array in zip(inputs, arrays, strict=True)}
    return _matrix_of_columns(by_name, len(arrays[0]), schema)


def _is_whole(inputs: Sequence[Input], schema: RowSchema) -> bool:
    """Whether the request has one tensor of all columns.

    Raises:
        FeaturesError: It has one tensor with another number of columns.
    """
    [first, *others] = inputs
    if others or (first.name in schema.name_set and first.shape[1:] in ([], [1])):
        return False
    width = first.shape[1] if len(first.shape) > 1 else 1
    if width != schema.width:
        raise row_errors.wrong_width(0, width, schema)
    return True


def _check_columns(inputs: Sequence[Input], schema: RowSchema) -> None:
    """Check that the request has one tensor of the same number of rows for each column."""
    names = [tensor.name for tensor in inputs]
    missing = [name for name in schema.names if name not in names and name not in schema.optional_names]
    unknown = [name for name in names if name not in schema.name_set]
    if missing or unknown or len(set(names)) != len(names):
        problems = [
            *([f"lacks {row_errors.name_list(missing)}"] if missing else []),
            *([f"has inputs that the model does not know: {row_errors.name_list(unknown)}"] if unknown else []),
        ]
        raise FeaturesError(
            f"The request {'; it '.join(problems) or 'has an input twice'}.",
            allowed=f"one input for each of the {schema.width} columns of the model, or one input of all columns",
            next_step="GET /v2/models/NAME lists the inputs of a model.",
        )
    for tensor in inputs:
        if tensor.shape[1:] not in ([], [1]) or tensor.shape[0] != inputs[0].shape[0]:
            raise FeaturesError(
                f"{label(tensor)} has the shape {tensor.shape}.",
                allowed=f"[{inputs[0].shape[0]}] or [{inputs[0].shape[0]}, 1], because the inputs hold one column each",
                next_step="GET /v2/models/NAME lists the inputs of a model.",
            )


def _values(inputs: Sequence[Input], binary: memoryview) -> list[np.ndarray]:
    """Read the data of every tensor: arrays of the tensors' shapes, of objects for text."""
    arrays, start = [], 0
    for tensor in inputs:
        size = tensor.binary_bytes
        if size is None:
            arrays.append(_json_values(tensor))
            continue
        if memoryview(tensor.data) or not 0 <= size <= len(binary) - start:
            raise invalid(
                f"{label(tensor)} has {size} bytes of binary data; {len(binary) - start} bytes are left in the body.",
                allowed="the bytes of each tensor after the JSON, and the header Inference-Header-Content-Length",
            )
        arrays.append(_binary_values(tensor, binary[start : start + size]))
        start += size
    if start != len(binary):
        raise invalid(f"{len(binary) - start} bytes of the body belong to no input.")
    return arrays


def _binary_values(tensor: Input, content: memoryview) -> np.ndarray:
    if tensor.datatype == BYTES:
        texts = _binary_texts(tensor, content)
        return _shaped(tensor, texts, np.dtype(object))
    dtype = DTYPES[tensor.datatype].newbyteorder("<")
    if len(content) != tensor.count * dtype.itemsize:
        raise _wrong_count(tensor, f"{len(content)} bytes")
    return np.frombuffer(content, dtype=dtype).reshape(tensor.shape)


def _binary_texts(tensor: Input, content: memoryview) -> list[str]:
    texts: list[str] = []
    start = 0
    while start < len(content):
        if start + LENGTH.size > len(content):
            raise _wrong_count(tensor, "a text without its length")
        [length] = LENGTH.unpack_from(content, start)
        start += LENGTH.size
        if start + length > len(content):
            raise _wrong_count(tensor, "a text that ends after the data")
        texts.append(_text(tensor, bytes(content[start : start + length])))
        start += length
    return texts


def _text(tensor: Input, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"{label(tensor)} holds a text that is not UTF-8.") from error


@cache
def _decoders(datatype: str) -> tuple[msgspec.json.Decoder[list[Any]], msgspec.json.Decoder[list[list[Any]]]]:
    """Return the decoders of flat and of nested data. The type of a value depends on the data type."""
    kinds: dict[str, Any] = {BYTES: str | None, "BOOL": bool, "FP16": float | None}
    kinds |= {"FP32": float | None, "FP64": float | None}
    kind = kinds.get(datatype, int)
    return msgspec.json.Decoder(list[kind]), msgspec.json.Decoder(list[list[kind]])  # type: ignore[valid-type] # a value


def _json_values(tensor: Input) -> np.ndarray:
    data = memoryview(tensor.data)
    if not data:
        raise invalid(f"{label(tensor)} has no data.")
    flat, nested = _decoders(tensor.datatype)
    is_nested = NESTED.match(data) is not None
    try:
        if is_nested:
            rows = nested.decode(data)
            if len(rows) != tensor.shape[0] or any(len(row) != tensor.count // len(rows) for row in rows):
                raise _wrong_count(tensor, f"{len(rows)} lists")
            values = [value for row in rows for value in row]
        else:
            values = flat.decode(data)
    except DECODE_ERRORS as error:
        raise invalid(f"The data of {label(tensor)[4:]} cannot be read: {error}.") from error
    dtype = DTYPES.get(tensor.datatype, np.dtype(object))
    return _shaped(tensor, values, dtype)


def _shaped(tensor: Input, values: Sequence[Value], dtype: np.dtype) -> np.ndarray:
    if len(values) != tensor.count:
        raise _wrong_count(tensor, f"{len(values)} values")
    try:
        with np.errstate(over="ignore"):  # a number beyond FP32 becomes infinite, and is refused later
            return np.array(values, dtype=dtype).reshape(tensor.shape)
    except OverflowError as error:
        raise invalid(f"{label(tensor)} holds a number that is no {tensor.datatype}.") from error


def _wrong_count(tensor: Input, given: str) -> Exception:
    return invalid(
        f"{label(tensor)} has {given} for the shape {tensor.shape} of {tensor.datatype}.",
        allowed=f"{tensor.count} values, flat or nested as the shape says",
    )


def _whole_matrix(array: np.ndarray, schema: RowSchema) -> np.ndarray:
    array = array.reshape(len(array), schema.width)
    if array.dtype == object or schema.holds_text:
        rows = _python_values(array)
        return decoded_rows.to_matrix(rows, schema)
    matrix = np.ascontiguousarray(array, dtype=np.float64)
    row_errors.check_numbers(matrix, schema)
    return matrix


def _matrix_of_columns(columns: dict[str, np.ndarray], count: int, schema: RowSchema) -> np.ndarray:
    if schema.holds_text or any(array.dtype == object for array in columns.values()):
        missing: list[Value] = [None] * count
        values = [_python_values(columns[name]) if name in columns else missing for name in schema.names]
        return decoded_rows.to_matrix(list(zip(*values, strict=True)), schema)
    matrix = np.full((count, schema.width), np.nan)
    for index, name in enumerate(schema.names):
        if name in columns:
            matrix[:, index] = columns[name]
    row_errors.check_numbers(matrix, schema)
    return matrix


def _python_values(array: np.ndarray) -> list[Any]:
    """Return the values as JSON would give them: None for NaN. Nested lists for a tensor of all columns."""
    if array.dtype.kind == "f":
        objects = array.astype(object)
        objects[np.isnan(array)] = None
        array = objects
    values: list[Any] = array.tolist()
    return values
