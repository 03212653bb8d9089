"""The errors of rows that a model does not accept, and the check of numbers that JSON and npy bodies share."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from app.errors import FeaturesError, InvalidBodyError, TooLargeError
from app.serving.requests.row_schema import ALLOWED_VALUES, RowSchema, ValueKind

FORM: Final = '{"features": [[number, ...], ...]} or {"rows": [{"column": value, ...}, ...]}'
"""The two forms of a prediction request, for error messages."""

MAX_FLOAT32: Final = float(np.finfo(np.float32).max)
"""Largest accepted number. Trees compare in float32, where larger numbers are infinite."""

MAX_SHOWN_COLUMNS: Final = 3
"""Columns that an error message names before it shortens the list."""

MAX_SHOWN_CHARACTERS: Final = 60
"""Characters of an invalid value that an error message repeats."""


def shortened(text: str) -> str:
    """Cut a text to `MAX_SHOWN_CHARACTERS`."""
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "..."


def invalid_form(detail: str) -> InvalidBodyError:
    """Build the error for a body of another form than `FORM`."""
    return InvalidBodyError(detail, allowed=FORM, next_step="See /docs for an example.")


def not_json(reason: str) -> InvalidBodyError:
    """Build the error for a body that is not JSON."""
    return invalid_form(f"The body is not JSON: {reason}.")


def text_needs_json(schema: RowSchema) -> FeaturesError:
    """Build the error for an array of numbers if a column holds text."""
    columns = zip(schema.names, schema.kinds, strict=True)
    texts = [name for name, kind in columns if kind in (ValueKind.TEXT, ValueKind.DATE)]
    return FeaturesError(
        f"The model has columns of text: {name_list(texts)}.",
        allowed=FORM,
        next_step="Send the rows as JSON.",
    )


def wrong_width(row: int, width: int, schema: RowSchema) -> FeaturesError:
    """Build the error for a row with a wrong number of values."""
    return FeaturesError(
        f"Row {row} has {width} values.",
        allowed=f"{schema.width} values per row ({name_list(schema.names, quote='')})",
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


def invalid_value(row: int, column: int, value: str, schema: RowSchema) -> FeaturesError:
    """Build the error for one value in a row by position.

    Args:
        row: Index of the row.
        column: Index of the column, which may be outside of the schema.
        value: The value as the body writes it.
        schema: The model's columns.
    """
    is_known = column < schema.width
    is_text = is_known and schema.kinds[column] in (ValueKind.TEXT, ValueKind.DATE)
    return FeaturesError(
        f"Row {row}, column {column} is {shortened(value)}.",
        allowed=schema.allowed_value(column) if is_known else ALLOWED_VALUES[ValueKind.NUMBER],
        next_step="GET /model lists the columns in their order."
        if is_text
        else "Replace missing values before you send a request, and send numbers without quotes.",
        row=row,
        column=column,
    )


def check_numbers(matrix: np.ndarray, schema: RowSchema, *, missing: str = "NaN") -> None:
    """Check that every number matches the kind of its column.

    Args:
        matrix: Shape (rows, columns), float64; NaN for a missing value.
        schema: The model's columns.
        missing: How the body writes a missing value.

    Raises:
        FeaturesError: A number does not match. The error names the first one.
    """
    if schema.accepts_any_number and np.abs(matrix).max() <= MAX_FLOAT32:  # false if the maximum is NaN
        return
    is_invalid = ~(np.abs(matrix) <= MAX_FLOAT32)
    if schema.optional:
        is_invalid &= ~(np.isnan(matrix) & np.array(schema.is_optional))
    with np.errstate(invalid="ignore"):  # the remainder of an infinite number is NaN
        for index, kind in enumerate(schema.kinds):
            if kind == ValueKind.WHOLE_NUMBER:
                is_invalid[:, index] |= np.abs(matrix[:, index] % 1) > 0
            elif kind == ValueKind.BOOLEAN:
                is_invalid[:, index] |= ~np.isin(matrix[:, index], (0, 1)) & ~np.isnan(matrix[:, index])
    if is_invalid.any():
        row, column = divmod(int(is_invalid.argmax()), schema.width)
        value = float(matrix[row, column])
        raise invalid_value(row, column, missing if math.isnan(value) else json.dumps(value), schema)


def check_row(index: int, row: object, schema: RowSchema) -> None:
    """Check a row by name or by position.

    Args:
        index: Index of the row in the request.
        row: A decoded JSON value.
        schema: The model's columns.

    Raises:
        FeaturesError: The row does not match the columns.
    """
    if isinstance(row, dict):
        check_named_row(index, row, schema)
    elif isinstance(row, list):
        check_positional_row(index, row, schema)


def check_named_row(index: int, row: Mapping[str, object], schema: RowSchema) -> None:
    """Check that a row has exactly the model's columns, and that each value matches the kind of its column.

    Args:
        index: Index of the row in the request.
        row: A value of any JSON type for each column name.
        schema: The model's columns.

    Raises:
        FeaturesError: The row does not match. The error names the first few columns of each kind of fault.
    """
    missing = [name for name in schema.names if name not in row and name not in schema.optional_names]
    unknown = [name for name in row if name not in schema.name_set]
    invalid = [
        (index, name)
        for index, name in enumerate(schema.names)
        if name in row and not matches(row[name], schema, index)
    ]
    if not (missing or unknown or invalid):
        return
    shown = invalid[:MAX_SHOWN_COLUMNS]
    problems = [
        *([f"lacks {name_list(missing)}"] if missing else []),
        *([f"has columns that the model does not know: {name_list(unknown)}"] if unknown else []),
        *(f"has {shortened(json.dumps(row[name]))} in {name!r}" for _, name in shown),
    ]
    raise FeaturesError(
        f"Row {index} {'; it '.join(problems)}.",
        allowed=", ".join(f"{schema.allowed_value(index)} in {name!r}" for index, name in shown)
        or f"the {schema.width} columns of the model, each once, in any order",
        next_step="GET /model lists the columns.",
        row=index,
    )


def name_list(names: Sequence[str], quote: str = "'") -> str:
    """Join the first few names of columns."""
    text = ", ".join(f"{quote}{shortened(name)}{quote}" for name in names[:MAX_SHOWN_COLUMNS])
    return text + (", ..." if len(names) > MAX_SHOWN_COLUMNS else "")


def check_positional_row(index: int, row: Sequence[object], schema: RowSchema) -> None:
    """Check that a row has a value for each column, and that each value matches the kind of its column.

    Args:
        index: Index of the row in the request.
        row: Values of any JSON type.
        schema: The model's columns.

    Raises:
        FeaturesError: The row does not match. The error names the first fault.
    """
    if len(row) != schema.width:
        raise wrong_width(index, len(row), schema)
    for column, value in enumerate(row):
        if not matches(value, schema, column):
            raise invalid_value(index, column, json.dumps(value), schema)


def matches(value: object, schema: RowSchema, index: int) -> bool:
    """Whether a value of any JSON type matches the kind of a column."""
    kind = schema.kinds[index]
    if value is None:
        return index in schema.optional
    if kind in (ValueKind.TEXT, ValueKind.DATE):
        return isinstance(value, str) and (kind == ValueKind.TEXT or is_date(value))
    if isinstance(value, bool) or kind == ValueKind.BOOLEAN:
        return isinstance(value, bool) and kind == ValueKind.BOOLEAN
    if not isinstance(value, int | float) or not abs(value) <= MAX_FLOAT32:
        return False
    return kind == ValueKind.NUMBER or value % 1 == 0


def is_date(text: str) -> bool:
    """Whether a text is a date, or a date and time, in ISO 8601 without a time zone."""
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False
