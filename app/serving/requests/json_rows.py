"""Converts the JSON body of a prediction request to a matrix, and names the first invalid value if it cannot."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Final, TypeGuard

import msgspec
import numpy as np
from mlflow.types import DataType
from pydantic import ValidationError

from app.errors import FeaturesError, TooLargeError
from app.models.signature import Columns
from app.serving.requests.body import invalid_body, shortened
from app.serving.schemas import PredictRequest, PredictRows

FORM: Final = '{"features": [[number, ...], ...]} or {"rows": [{"column": value, ...}, ...]}'
"""The two forms of a prediction request, for error messages."""

VALUE_DEPTH: Final = 3
"""Length of the location of one value in a body: features, row, column."""

MAX_FLOAT32: Final = float(np.finfo(np.float32).max)
"""Largest accepted number. Trees compare in float32, where larger numbers are infinite."""

MAX_SHOWN_COLUMNS: Final = 3
"""Columns that an error message names before it shortens the list."""

ALLOWED_VALUES: Final = {
    DataType.double: "a finite number within float32",
    DataType.float: "a finite number within float32",
    DataType.long: "a whole number",
    DataType.integer: "a whole number",
    DataType.boolean: "true or false",
    DataType.string: "text",
}
"""The values that a column of each signature type accepts, for error messages."""

NAMED_ROWS_ERRORS: Final = {("features", "missing"), ("rows", "extra_forbidden")}
"""The errors of a body with rows by name when it is validated as rows by position."""

NamedRow = dict[str, Any]
"""A value of any JSON type for each column name."""

Rows = list[list[float]] | list[NamedRow]
"""Rows by position, or rows by column name."""


class _NumericRows(msgspec.Struct, forbid_unknown_fields=True):
    """A valid body with rows by position."""

    features: list[list[Annotated[float, msgspec.Meta(ge=-MAX_FLOAT32, le=MAX_FLOAT32)]]]


_numeric_rows_decoder: Final = msgspec.json.Decoder(_NumericRows)


def read(body: bytes, *, columns: Columns, max_rows: int) -> np.ndarray:
    """Convert the JSON body of a prediction request to a matrix.

    Valid rows by position are decoded by a fast path. Every other body is decoded again by `decode` and `to_matrix`,
    which accept both forms and say exactly what is invalid.

    Args:
        body: JSON in one of the forms of `FORM`.
        columns: The model's columns.
        max_rows: Maximum number of rows.

    Returns:
        Shape (rows, columns), float64; dtype object if a column holds text.

    Raises:
        InvalidBodyError: The body is not JSON, or has neither form.
        FeaturesError: A row does not match the columns.
        TooLargeError: The body has more than `max_rows` rows.
    """
    matrix = None if columns.hold_text else _read_numeric_rows(body, width=len(columns), max_rows=max_rows)
    if matrix is None:
        return to_matrix(decode(body, max_rows=max_rows), columns=columns)
    if not columns.accept_any_number:
        check_numbers(matrix, columns)
    return matrix


def decode(body: bytes, *, max_rows: int) -> Rows:
    """Decode the rows of a JSON body.

    Args:
        body: JSON in one of the forms of `FORM`.
        max_rows: Maximum number of rows.

    Returns:
        At least one row. Values by position are finite numbers; nothing else has been checked.

    Raises:
        InvalidBodyError: The body is not JSON, or has neither form.
        FeaturesError: A value by position is not a finite number. The message names row and column, counted from 0.
        TooLargeError: The body has more than `max_rows` rows.
    """
    try:
        rows: Rows = PredictRequest.model_validate_json(body).features
    except ValidationError as error:
        details = error.errors(include_url=False)
        first = details[0]
        if {(*detail["loc"], detail["type"]) for detail in details} == NAMED_ROWS_ERRORS:
            rows = _decode_named_rows(body)
        elif len(first["loc"]) == VALUE_DEPTH:
            raise _invalid_value(int(first["loc"][1]), int(first["loc"][2]), first["input"]) from error
        else:
            raise invalid_body(first, form=FORM) from error
    if len(rows) > max_rows:
        raise too_many_rows(len(rows), max_rows)
    return rows


def to_matrix(rows: Rows, *, columns: Columns) -> np.ndarray:
    """Convert decoded rows to a matrix in the order of the model's columns.

    Args:
        rows: The result of `decode`.
        columns: The model's columns.

    Returns:
        Shape (rows, columns), float64; dtype object if a column holds text.

    Raises:
        FeaturesError: A row has a wrong length or wrong columns, or a value does not match the type of its column.
    """
    if _are_named(rows):
        for index, row in enumerate(rows):
            _check_named_row(index, row, columns)
        values = [[row[column.name] for column in columns] for row in rows]
        return np.array(values, dtype=object if columns.hold_text else np.float64)
    if columns.hold_text:
        raise text_needs_names(columns)
    for index, values_of_row in enumerate(rows):
        if len(values_of_row) != len(columns):
            raise wrong_width(index, len(values_of_row), columns)
    matrix = np.array(rows, dtype=np.float64)
    check_numbers(matrix, columns)
    return matrix


def _read_numeric_rows(body: bytes, *, width: int, max_rows: int) -> np.ndarray | None:
    """Decode rows by position to a matrix, or return None if anything is invalid."""
    try:
        rows = _numeric_rows_decoder.decode(body).features
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not 0 < len(rows) <= max_rows or any(len(row) != width for row in rows):
        return None
    values = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=len(rows) * width)
    return values.reshape(len(rows), width)


def _are_named(rows: Rows) -> TypeGuard[list[NamedRow]]:
    return isinstance(rows[0], dict)


def _decode_named_rows(body: bytes) -> list[NamedRow]:
    try:
        return PredictRows.model_validate_json(body).rows
    except ValidationError as error:
        raise invalid_body(error.errors(include_url=False)[0], form=FORM) from error


def check_numbers(matrix: np.ndarray, columns: Columns) -> None:
    """Check that every number matches the type of its column.

    Raises:
        FeaturesError: A number does not match. The error names the first one.
    """
    if columns.accept_any_number and np.abs(matrix).max() <= MAX_FLOAT32:  # false if the maximum is NaN
        return
    is_invalid = ~(np.abs(matrix) <= MAX_FLOAT32)
    for index, column in enumerate(columns):
        if column.type in (DataType.long, DataType.integer):
            is_invalid[:, index] |= matrix[:, index] % 1 != 0
        elif column.type == DataType.boolean:
            is_invalid[:, index] |= ~np.isin(matrix[:, index], (0, 1))
    locations = np.argwhere(is_invalid)
    if len(locations):
        row, column_index = locations[0].tolist()
        allowed = ALLOWED_VALUES[columns[column_index].type]
        raise _invalid_value(row, column_index, matrix[row, column_index], allowed=allowed)


def _check_named_row(index: int, row: NamedRow, columns: Columns) -> None:
    """Check that a row has exactly the model's columns, and that each value matches the type of its column."""
    column_names = {column.name for column in columns}
    missing = [column.name for column in columns if column.name not in row]
    unknown = [name for name in row if name not in column_names]
    invalid = [column for column in columns if column.name in row and not _matches(row[column.name], column.type)]
    if not (missing or unknown or invalid):
        return
    problems = [
        *([f"lacks {_name_list(missing)}"] if missing else []),
        *([f"has columns that the model does not know: {_name_list(unknown)}"] if unknown else []),
        *(f"has {shortened(row[column.name])} in {column.name!r}" for column in invalid[:MAX_SHOWN_COLUMNS]),
    ]
    allowed = [f"{ALLOWED_VALUES[column.type]} in {column.name!r}" for column in invalid[:MAX_SHOWN_COLUMNS]]
    raise FeaturesError(
        f"Row {index} {'; it '.join(problems)}.",
        allowed=", ".join(allowed) or f"the {len(columns)} columns of the model, each once, in any order",
        next_step="GET /model lists the columns.",
        row=index,
    )


def _matches(value: object, column_type: DataType) -> bool:
    if column_type == DataType.string:
        return isinstance(value, str)
    if isinstance(value, bool) or column_type == DataType.boolean:
        return isinstance(value, bool) and column_type == DataType.boolean
    if not isinstance(value, int | float) or not abs(value) <= MAX_FLOAT32:
        return False
    return column_type in (DataType.double, DataType.float) or value % 1 == 0


def _name_list(names: Sequence[str], quote: str = "'") -> str:
    text = ", ".join(f"{quote}{name}{quote}" for name in names[:MAX_SHOWN_COLUMNS])
    return text + (", ..." if len(names) > MAX_SHOWN_COLUMNS else "")


def text_needs_names(columns: Columns) -> FeaturesError:
    """Build the error for rows by position if a column holds text."""
    text_columns = [column.name for column in columns if column.type == DataType.string]
    return FeaturesError(
        f"The model has columns of text: {_name_list(text_columns)}.",
        allowed='{"rows": [{"column": value, ...}, ...]}',
        next_step="Send the rows by column name.",
    )


def wrong_width(row: int, width: int, columns: Columns) -> FeaturesError:
    """Build the error for a row with a wrong number of values."""
    return FeaturesError(
        f"Row {row} has {width} values.",
        allowed=f"{len(columns)} values per row ({_name_list(columns.names, quote='')})",
        next_step="GET /model lists the columns in their order.",
        row=row,
    )


def too_many_rows(count: int, limit: int) -> TooLargeError:
    """Build the error for a request with more rows than the limit."""
    return TooLargeError(
        f"The request has {count} rows.",
        allowed=f"up to {limit} rows",
        next_step="Split the rows over several requests.",
    )


def _invalid_value(
    row: int, column: int, value: object, allowed: str = "finite numbers within float32"
) -> FeaturesError:
    return FeaturesError(
        f"Row {row}, column {column} is {shortened(value)}.",
        allowed=allowed,
        next_step="Replace missing values before you send a request, and send numbers without quotes.",
        row=row,
        column=column,
    )
