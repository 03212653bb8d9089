"""Converts the JSON body of a prediction request to a matrix, and stops at the first fault.

The decoders accept only the types that a model can use, so a body of any other form ends at its first wrong value.
`app.serving.requests.json_faults` says what is wrong there. The process that reads large bodies imports this module,
so it imports neither MLflow nor pandas.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Annotated, Final, NoReturn, TypeAlias

import msgspec
import numpy as np

from app.errors import FeaturesError
from app.serving.requests import row_errors
from app.serving.requests.json_faults import DECODE_ERRORS, UNKNOWN_ROWS, explain
from app.serving.requests.limits import SMALL_BODY_BYTES
from app.serving.requests.row_errors import MAX_FLOAT32
from app.serving.requests.row_schema import RowSchema, ValueKind

BEGINS_WITH_ROWS: Final = re.compile(rb'\s*\{\s*"rows"\s*:')
"""Beginning of a body with rows by name."""

PROBE_BYTES: Final = 4096
"""Bytes at the beginning of a body with too many brackets or commas that are searched for a more precise error."""

ACCEPTED_TYPES: Final[dict[ValueKind, frozenset[type]]] = {
    ValueKind.NUMBER: frozenset({int, float}),
    ValueKind.WHOLE_NUMBER: frozenset({int, float}),
    ValueKind.BOOLEAN: frozenset({bool}),
    ValueKind.TEXT: frozenset({str}),
}
"""Python types of the decoded values that each kind of column accepts."""

Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-MAX_FLOAT32, le=MAX_FLOAT32)]
"""A number that every model accepts."""

Value: TypeAlias = bool | int | float | str
"""A value of a row by name."""

NamedRows: TypeAlias = Sequence[Mapping[str, Value]]
"""Rows by name."""


class _Features(msgspec.Struct, forbid_unknown_fields=True):
    """A body with rows by position."""

    features: list[list[Number]]


class _NumberRows(msgspec.Struct, forbid_unknown_fields=True):
    """A body with rows by name for a model that takes numbers only."""

    rows: list[dict[str, Number]]


class _MixedRows(msgspec.Struct, forbid_unknown_fields=True):
    """A body with rows by name for a model that takes booleans or text."""

    rows: list[dict[str, Value]]


_features_decoder: Final = msgspec.json.Decoder(_Features)
_number_rows_decoder: Final = msgspec.json.Decoder(_NumberRows)
_mixed_rows_decoder: Final = msgspec.json.Decoder(_MixedRows)


def read(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    """Convert the JSON body of a prediction request to a matrix.

    Args:
        body: JSON in one of the forms of `row_errors.FORM`.
        schema: The model's columns.
        max_rows: Maximum number of rows.

    Returns:
        Shape (rows, columns), float64; dtype object if a column holds text.

    Raises:
        InvalidBodyError: The body is not JSON, or has neither form.
        FeaturesError: A row does not match the columns. The message names the first fault that was found; rows and
            columns count from 0.
        TooLargeError: The body has more than `max_rows` rows.
    """
    if BEGINS_WITH_ROWS.match(body):
        return _read_by_name(body, schema=schema, max_rows=max_rows)
    if len(body) > SMALL_BODY_BYTES:
        _check_size(body, schema=schema, max_rows=max_rows)
    try:
        rows = _decode_positional_rows(body, schema)
    except DECODE_ERRORS as error:
        if UNKNOWN_ROWS in str(error):  # the key is written with escapes
            return _read_by_name(body, schema=schema, max_rows=max_rows)
        raise explain(body, error, schema=schema) from error
    _check_count(len(rows), "features", max_rows)
    if schema.holds_text:
        raise row_errors.text_needs_names(schema)
    width = schema.width
    if set(map(len, rows)) != {width}:
        index, row = next((index, row) for index, row in enumerate(rows) if len(row) != width)
        raise row_errors.wrong_width(index, len(row), schema)
    matrix = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=len(rows) * width).reshape(-1, width)
    if not schema.accepts_any_number:
        row_errors.check_numbers(matrix, schema)
    return matrix


def _read_by_name(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    if len(body) > SMALL_BODY_BYTES and not schema.holds_text:
        # A name may contain braces. Text could contain any number of them.
        count = body.count(b"{") // (1 + sum(name.count("{") for name in schema.names))
        if count > max_rows + 1:
            _probe(body, schema, _decode_named_rows)
            raise row_errors.too_many_rows(count - 1, max_rows)
    try:
        rows = _decode_named_rows(body, schema)
    except DECODE_ERRORS as error:
        raise explain(body, error, schema=schema) from error
    _check_count(len(rows), "rows", max_rows)
    if any(row.keys() != schema.name_set for row in rows):
        _raise_first_fault(rows, schema)
    values = map(_values_getter(schema), rows)
    if not schema.holds_numbers_only:
        return _mixed_matrix(list(zip(*values, strict=True)), rows, schema)
    numbers = np.fromiter(chain.from_iterable(values), dtype=np.float64, count=len(rows) * schema.width)
    matrix = numbers.reshape(len(rows), schema.width)
    if not (schema.accepts_any_number or _are_valid(matrix, schema)):
        _raise_first_fault(rows, schema)
    return matrix


def _decode_positional_rows(body: bytes | bytearray, _: RowSchema) -> list[list[float]]:
    return _features_decoder.decode(body).features


def _decode_named_rows(body: bytes | bytearray, schema: RowSchema) -> NamedRows:
    if schema.holds_numbers_only:
        return _number_rows_decoder.decode(body).rows
    return _mixed_rows_decoder.decode(body).rows


def _mixed_matrix(columns: Sequence[tuple[Value, ...]], rows: NamedRows, schema: RowSchema) -> np.ndarray:
    """Build the matrix of a model that takes booleans or text from the values of each column."""
    matrix = np.empty((len(rows), schema.width), dtype=object if schema.holds_text else np.float64)
    for index, (kind, values) in enumerate(zip(schema.kinds, columns, strict=True)):
        if not set(map(type, values)) <= ACCEPTED_TYPES[kind] or not _fit(values, kind):
            _raise_first_fault(rows, schema)
        matrix[:, index] = values
    return matrix


def _fit(values: tuple[Value, ...], kind: ValueKind) -> bool:
    """Whether the numbers of a column are in the accepted range, and whole where they must be."""
    if kind not in (ValueKind.NUMBER, ValueKind.WHOLE_NUMBER):
        return True
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond float64
        return False
    return _are_valid(numbers[:, np.newaxis], RowSchema(names=("",), kinds=(kind,)))


def _are_valid(matrix: np.ndarray, schema: RowSchema) -> bool:
    try:
        row_errors.check_numbers(matrix, schema)
    except FeaturesError:
        return False
    return True


def _raise_first_fault(rows: NamedRows, schema: RowSchema) -> NoReturn:
    """Raise the error of the first row that does not match the columns."""
    for index, row in enumerate(rows):
        row_errors.check_named_row(index, row, schema)
    raise AssertionError("no row has a fault")


def _values_getter(schema: RowSchema) -> Callable[[Mapping[str, Value]], tuple[Value, ...]]:
    """Return a function that gets the values of a row in the order of the columns."""
    if schema.width == 1:
        [name] = schema.names
        return lambda row: (row[name],)
    return itemgetter(*schema.names)


def _check_count(count: int, key: str, max_rows: int) -> None:
    if count == 0:
        raise row_errors.invalid_form(f"{key} is []: it has no row.")
    if count > max_rows:
        raise row_errors.too_many_rows(count, max_rows)


def _check_size(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> None:
    """Refuse a large body with more rows or values than a valid one, before it is decoded.

    A valid body with rows by position has one bracket for each row and one for the list of rows, and as many commas as
    values, less one. It contains no text except for the key.
    """
    row_count = body.count(b"[") - 1
    if row_count <= max_rows and body.count(b",") < max_rows * schema.width:
        return
    _probe(body, schema, _decode_positional_rows)
    if row_count > max_rows:
        raise row_errors.too_many_rows(row_count, max_rows)
    start = body.find(b"[") + 1
    for index in range(row_count):
        start = body.find(b"[", start) + 1
        end = body.find(b"]", start)
        count = body.count(b",", start, end if end >= 0 else len(body)) + 1
        if count != schema.width:
            raise row_errors.wrong_width(index, count, schema)


def _probe(
    body: bytes | bytearray, schema: RowSchema, decode: Callable[[bytes | bytearray, RowSchema], object]
) -> None:
    """Raise the error of a fault at the beginning of a body, if there is one."""
    try:
        decode(body[:PROBE_BYTES], schema)
    except msgspec.ValidationError as error:
        raise explain(body, error, schema=schema) from error
    except DECODE_ERRORS:
        return  # at least because the beginning is cut
