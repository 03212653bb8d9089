"""The errors of rows that a model does not accept, and the check of numbers that JSON and npy bodies share."""

import json
from collections.abc import Mapping, Sequence
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


def text_needs_names(schema: RowSchema) -> FeaturesError:
    """Build the error for rows by position if a column holds text."""
    columns = zip(schema.names, schema.kinds, strict=True)
    return FeaturesError(
        f"The model has columns of text: {name_list([name for name, kind in columns if kind == ValueKind.TEXT])}.",
        allowed='{"rows": [{"column": value, ...}, ...]}',
        next_step="Send the rows by column name.",
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


def invalid_value(row: int, column: int, value: str, allowed: str = "finite numbers within float32") -> FeaturesError:
    """Build the error for one value in a row by position.

    Args:
        row: Index of the row.
        column: Index of the column.
        value: The value as the body writes it.
        allowed: What the column accepts.
    """
    return FeaturesError(
        f"Row {row}, column {column} is {shortened(value)}.",
        allowed=allowed,
        next_step="Replace missing values before you send a request, and send numbers without quotes.",
        row=row,
        column=column,
    )


def check_numbers(matrix: np.ndarray, schema: RowSchema) -> None:
    """Check that every number matches the kind of its column.

    Args:
        matrix: Shape (rows, columns), float64.
        schema: The model's columns.

    Raises:
        FeaturesError: A number does not match. The error names the first one.
    """
    if schema.accepts_any_number and np.abs(matrix).max() <= MAX_FLOAT32:  # false if the maximum is NaN
        return
    is_invalid = ~(np.abs(matrix) <= MAX_FLOAT32)
    with np.errstate(invalid="ignore"):  # the remainder of an infinite number is NaN
        for index, kind in enumerate(schema.kinds):
            if kind == ValueKind.WHOLE_NUMBER:
                is_invalid[:, index] |= matrix[:, index] % 1 != 0
            elif kind == ValueKind.BOOLEAN:
                is_invalid[:, index] |= ~np.isin(matrix[:, index], (0, 1))
    if is_invalid.any():
        row, column = divmod(int(is_invalid.argmax()), schema.width)
        allowed = ALLOWED_VALUES[schema.kinds[column]]
        raise invalid_value(row, column, json.dumps(float(matrix[row, column])), allowed=allowed)


def check_named_row(index: int, row: Mapping[str, object], schema: RowSchema) -> None:
    """Check that a row has exactly the model's columns, and that each value matches the kind of its column.

    Args:
        index: Index of the row in the request.
        row: A value of any JSON type for each column name.
        schema: The model's columns.

    Raises:
        FeaturesError: The row does not match. The error names the first few columns of each kind of fault.
    """
    columns = list(zip(schema.names, schema.kinds, strict=True))
    missing = [name for name in schema.names if name not in row]
    unknown = [name for name in row if name not in schema.name_set]
    invalid = [(name, kind) for name, kind in columns if name in row and not _matches(row[name], kind)]
    if not (missing or unknown or invalid):
        return
    shown = invalid[:MAX_SHOWN_COLUMNS]
    problems = [
        *([f"lacks {name_list(missing)}"] if missing else []),
        *([f"has columns that the model does not know: {name_list(unknown)}"] if unknown else []),
        *(f"has {shortened(json.dumps(row[name]))} in {name!r}" for name, _ in shown),
    ]
    raise FeaturesError(
        f"Row {index} {'; it '.join(problems)}.",
        allowed=", ".join(f"{ALLOWED_VALUES[kind]} in {name!r}" for name, kind in shown)
        or f"the {schema.width} columns of the model, each once, in any order",
        next_step="GET /model lists the columns.",
        row=index,
    )


def name_list(names: Sequence[str], quote: str = "'") -> str:
    """Join the first few names of columns."""
    text = ", ".join(f"{quote}{shortened(name)}{quote}" for name in names[:MAX_SHOWN_COLUMNS])
    return text + (", ..." if len(names) > MAX_SHOWN_COLUMNS else "")


def _matches(value: object, kind: ValueKind) -> bool:
    if kind == ValueKind.TEXT:
        return isinstance(value, str)
    if isinstance(value, bool) or kind == ValueKind.BOOLEAN:
        return isinstance(value, bool) and kind == ValueKind.BOOLEAN
    if not isinstance(value, int | float) or not abs(value) <= MAX_FLOAT32:
        return False
    return kind == ValueKind.NUMBER or value % 1 == 0
