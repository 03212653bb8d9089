"""Converts the JSON body of a prediction request to a matrix, and stops at the first fault.

The decoders accept only the types that a model can use, so a body of any other form ends at its first wrong value.
`app.serving.requests.json_faults` says what is wrong there. The process that reads large bodies imports this module,
so it imports neither MLflow nor pandas.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Annotated, Final, Generic, NoReturn, TypeAlias, TypeVar

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
    ValueKind.DATE: frozenset({str}),
}
"""Python types of the decoded values that each kind of column accepts."""

Number: TypeAlias = Annotated[float, msgspec.Meta(ge=-MAX_FLOAT32, le=MAX_FLOAT32)]
"""A number that every model accepts."""

Value: TypeAlias = bool | int | float | str | None
"""A value of a row for a model that takes booleans or text."""

PositionalRows: TypeAlias = Sequence[Sequence[Value]]
"""Rows by position."""

NamedRows: TypeAlias = Sequence[Mapping[str, Value]]
"""Rows by name."""

Cell = TypeVar("Cell")


class _Positional(msgspec.Struct, Generic[Cell], forbid_unknown_fields=True):
    """A body with rows by position."""

    features: list[list[Cell]]


class _Named(msgspec.Struct, Generic[Cell], forbid_unknown_fields=True):
    """A body with rows by name."""

    rows: list[dict[str, Cell]]


_numbers: Final = msgspec.json.Decoder(_Positional[Number])
_optional_numbers: Final = msgspec.json.Decoder(_Positional[Number | None])
_values: Final = msgspec.json.Decoder(_Positional[Value])

_named_numbers: Final = msgspec.json.Decoder(_Named[Number])
_named_optional_numbers: Final = msgspec.json.Decoder(_Named[Number | None])
_named_values: Final = msgspec.json.Decoder(_Named[Value])


def read(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    """Convert the JSON body of a prediction request to a matrix.

    Args:
        body: JSON in one of the forms of `row_errors.FORM`.
        schema: The model's columns.
        max_rows: Maximum number of rows.

    Returns:
        Shape (rows, columns), float64 with NaN for a missing value; dtype object with None for a missing value if a
        column holds text.

    Raises:
        InvalidBodyError: The body is not JSON, or has neither form.
        FeaturesError: A row does not match the columns. The message names the first fault that was found; rows and
            columns count from 0.
        TooLargeError: The body has more than `max_rows` rows.
    """
    if BEGINS_WITH_ROWS.match(body):
        return _read_by_name(body, schema=schema, max_rows=max_rows)
    if len(body) > SMALL_BODY_BYTES and not schema.holds_text:
        _check_size(body, schema=schema, max_rows=max_rows)
    try:
        rows = _decode_positional_rows(body, schema)
    except DECODE_ERRORS as error:
        if UNKNOWN_ROWS in str(error):  # the key is written with escapes
            return _read_by_name(body, schema=schema, max_rows=max_rows)
        raise explain(body, error, schema=schema) from error
    _check_count(len(rows), "features", max_rows)
    width = schema.width
    if set(map(len, rows)) != {width}:
        index, row = next((index, row) for index, row in enumerate(rows) if len(row) != width)
        raise row_errors.wrong_width(index, len(row), schema)
    if schema.holds_text:
        return mixed_matrix(list(zip(*rows, strict=True)), rows, schema)
    matrix = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=len(rows) * width).reshape(-1, width)
    if not schema.accepts_any_decoded_number:
        row_errors.check_numbers(matrix, schema, missing="null")
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
    get_values = _values_getter(schema)
    if any(row.keys() != schema.name_set for row in rows):
        required = schema.name_set - schema.optional_names
        if not all(required <= row.keys() <= schema.name_set for row in rows):
            _raise_first_fault(rows, schema)
        get_values = partial(_get_present_values, schema.names)
    values = map(get_values, rows)
    if not schema.holds_numbers_only:
        return mixed_matrix(list(zip(*values, strict=True)), rows, schema)
    numbers = np.fromiter(chain.from_iterable(values), dtype=np.float64, count=len(rows) * schema.width)
    matrix = numbers.reshape(len(rows), schema.width)
    if not (schema.accepts_any_decoded_number or _are_valid(matrix, schema)):
        _raise_first_fault(rows, schema)
    return matrix


def _decode_positional_rows(body: bytes | bytearray, schema: RowSchema) -> PositionalRows:
    if schema.holds_text:
        return _values.decode(body).features
    return (_optional_numbers if schema.optional else _numbers).decode(body).features


def _decode_named_rows(body: bytes | bytearray, schema: RowSchema) -> NamedRows:
    if not schema.holds_numbers_only:
        return _named_values.decode(body).rows
    return (_named_optional_numbers if schema.optional else _named_numbers).decode(body).rows


def mixed_matrix(
    columns: Sequence[tuple[Value, ...]], rows: NamedRows | PositionalRows, schema: RowSchema
) -> np.ndarray:
    """Build the matrix of a model that takes booleans or text.

    Args:
        columns: The values of each column.
        rows: The same values row by row, for the error.
        schema: The model's columns.

    Returns:
        As `read`.

    Raises:
        FeaturesError: A value does not match its column.
    """
    matrix = np.empty((len(rows), schema.width), dtype=object if schema.holds_text else np.float64)
    for index, (kind, values) in enumerate(zip(schema.kinds, columns, strict=True)):
        accepted = ACCEPTED_TYPES[kind] | {type(None)} if index in schema.optional else ACCEPTED_TYPES[kind]
        if not set(map(type, values)) <= accepted or not _fit(values, kind):
            _raise_first_fault(rows, schema)
        matrix[:, index] = values if schema.holds_text else np.array(values, dtype=np.float64)
    return matrix


def _fit(values: tuple[Value, ...], kind: ValueKind) -> bool:
    """Whether the values of a column, which have an accepted type, are in the accepted range."""
    if kind == ValueKind.DATE:
        return all(value is None or row_errors.is_date(str(value)) for value in values)
    if kind not in (ValueKind.NUMBER, ValueKind.WHOLE_NUMBER):
        return True
    try:
        numbers = np.array(values, dtype=np.float64)
    except OverflowError:  # an integer beyond float64
        return False
    return _are_valid(numbers[:, np.newaxis], RowSchema(names=("",), kinds=(kind,), optional=frozenset({0})))


def _are_valid(matrix: np.ndarray, schema: RowSchema) -> bool:
    try:
        row_errors.check_numbers(matrix, schema)
    except FeaturesError:
        return False
    return True


def _raise_first_fault(rows: NamedRows | PositionalRows, schema: RowSchema) -> NoReturn:
    """Raise the error of the first row that does not match the columns."""
    for index, row in enumerate(rows):
        row_errors.check_row(index, row, schema)
    raise AssertionError("no row has a fault")


def _values_getter(schema: RowSchema) -> Callable[[Mapping[str, Value]], tuple[Value, ...]]:
    """Return a function that gets the values of a row in the order of the columns."""
    if schema.width == 1:
        [name] = schema.names
        return lambda row: (row[name],)
    return itemgetter(*schema.names)


def _get_present_values(names: Sequence[str], row: Mapping[str, Value]) -> tuple[Value, ...]:
    """Return the values of a row in the order of the columns; None for a column that it lacks."""
    return tuple(map(row.get, names))


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
