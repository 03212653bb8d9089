"""Reads the rows of a prediction request, and says exactly which value is at fault when they cannot be used."""

from collections.abc import Sequence
from itertools import chain
from typing import Annotated, Any, Final, TypeGuard

import msgspec
import numpy as np
from mlflow.types import DataType
from pydantic import ValidationError

from app.errors import FeaturesError, TooLargeError
from app.models.signature import Columns
from app.serving.requests.body import explain, shown
from app.serving.schemas import PredictRequest, PredictRows

FORM: Final = '{"features": [[number, ...], ...]} or {"rows": [{"column": value, ...}, ...]}'
"""The forms of a request, for messages."""

CELL: Final = 3
"""Parts of a value's location in the body: features, row, column."""

LARGEST: Final = float(np.finfo(np.float32).max)
"""The largest number that trees, which compare in float32, can tell from infinity."""

NAMES_SHOWN: Final = 3
"""Columns that a message names before it shortens the list."""

KINDS: Final = {
    DataType.double: "a finite number within float32",
    DataType.float: "a finite number within float32",
    DataType.long: "a whole number",
    DataType.integer: "a whole number",
    DataType.boolean: "true or false",
    DataType.string: "text",
}
"""What each type of a signature takes, for messages."""

NAMED: Final = {("features", "missing"), ("rows", "extra_forbidden")}
"""What is wrong with a body of rows by name, if it is read as one of rows by position."""

Rows = list[list[float]] | list[dict[str, Any]]
"""Rows by position, or by the names of the columns."""


class _Numbers(msgspec.Struct, forbid_unknown_fields=True):
    """Rows by position, where nothing is wrong with them."""

    features: list[list[Annotated[float, msgspec.Meta(ge=-LARGEST, le=LARGEST)]]]


_numbers: Final = msgspec.json.Decoder(_Numbers)


def read(body: bytes, *, columns: Columns, max_rows: int) -> np.ndarray:
    """Read the rows of a request for a model.

    Rows by position take a short way. What that way cannot use is read again by `decode` and `to_matrix`, which know
    the other form and say exactly what is wrong.

    Args:
        body: JSON of one of the forms of `FORM`.
        columns: The model's features.
        max_rows: The most rows of one request.

    Returns:
        Shape (rows, columns), float64; of dtype object where a column holds text.

    Raises:
        InvalidBodyError: It is not JSON, or not of that form.
        FeaturesError: A row does not fit the columns.
        TooLargeError: It has too many rows.
    """
    matrix = None if columns.hold_text else _read_numbers(body, width=len(columns), max_rows=max_rows)
    if matrix is None:
        return to_matrix(decode(body, max_rows=max_rows), columns=columns)
    if not columns.take_any_number:
        check_numbers(matrix, columns)
    return matrix


def decode(body: bytes, *, max_rows: int) -> Rows:
    """Read the rows of a request.

    Args:
        body: JSON of one of the forms of `FORM`.
        max_rows: The most rows of one request.

    Returns:
        One row or more; those by position hold finite numbers, and nothing else is checked yet.

    Raises:
        InvalidBodyError: It is not JSON, or not of that form.
        FeaturesError: A value is no finite number; the message names its row and column, counted from 0.
        TooLargeError: It has too many rows.
    """
    try:
        rows: Rows = PredictRequest.model_validate_json(body).features
    except ValidationError as error:
        faults = error.errors(include_url=False)
        if {(*fault["loc"], fault["type"]) for fault in faults} == NAMED:
            rows = _decode_named(body)
        elif len(faults[0]["loc"]) == CELL:
            raise _unusable(int(faults[0]["loc"][1]), int(faults[0]["loc"][2]), faults[0]["input"]) from error
        else:
            raise explain(faults[0], form=FORM) from error
    if len(rows) > max_rows:
        raise too_many(len(rows), max_rows)
    return rows


def to_matrix(rows: Rows, *, columns: Columns) -> np.ndarray:
    """Make rows a matrix for a model.

    Args:
        rows: As `decode` gave them.
        columns: The model's features.

    Returns:
        Shape (rows, columns), float64; of dtype object where a column holds text.

    Raises:
        FeaturesError: A row has another width or other columns, or a value is not of its column's type.
    """
    holds_text = columns.hold_text
    if _are_named(rows):
        for index, named in enumerate(rows):
            _check_named(index, named, columns)
        values = [[named[column.name] for column in columns] for named in rows]
        return np.array(values, dtype=object if holds_text else np.float64)
    if holds_text:
        raise needs_names(columns)
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise wrong_width(index, len(row), columns)
    matrix = np.array(rows, dtype=np.float64)
    check_numbers(matrix, columns)
    return matrix


def _read_numbers(body: bytes, *, width: int, max_rows: int) -> np.ndarray | None:
    """Rows by position as a matrix, or None where anything is wrong with them."""
    try:
        rows = _numbers.decode(body).features
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not 0 < len(rows) <= max_rows or any(len(row) != width for row in rows):
        return None
    values = np.fromiter(chain.from_iterable(rows), dtype=np.float64, count=len(rows) * width)
    return values.reshape(len(rows), width)


def _are_named(rows: Rows) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(rows[0], dict)


def _decode_named(body: bytes) -> list[dict[str, Any]]:
    try:
        return PredictRows.model_validate_json(body).rows
    except ValidationError as error:
        raise explain(error.errors(include_url=False)[0], form=FORM) from error


def check_numbers(matrix: np.ndarray, columns: Columns) -> None:
    """Refuse what a column's type does not hold, by position."""
    if columns.take_any_number and np.abs(matrix).max() <= LARGEST:  # false of NaN, too
        return
    wrong = ~(np.abs(matrix) <= LARGEST)
    for index, column in enumerate(columns):
        if column.type in (DataType.long, DataType.integer):
            wrong[:, index] |= matrix[:, index] % 1 != 0
        elif column.type == DataType.boolean:
            wrong[:, index] |= ~np.isin(matrix[:, index], (0, 1))
    found = np.argwhere(wrong)
    if len(found):
        row, column_index = found[0].tolist()
        kind = KINDS[columns[column_index].type]
        raise _unusable(row, column_index, matrix[row, column_index], allowed=kind)


def _check_named(index: int, row: dict[str, Any], columns: Columns) -> None:
    """Refuse a row that does not hold exactly the model's columns, each of its type."""
    wanted = {column.name for column in columns}
    missing = [column.name for column in columns if column.name not in row]
    unknown = [name for name in row if name not in wanted]
    wrong = [column for column in columns if column.name in row and not _fits(row[column.name], column.type)]
    if not (missing or unknown or wrong):
        return
    faults = [
        *([f"lacks {_short(missing)}"] if missing else []),
        *([f"has columns that the model does not know: {_short(unknown)}"] if unknown else []),
        *(f"has {shown(row[column.name])} in {column.name!r}" for column in wrong[:NAMES_SHOWN]),
    ]
    kinds = [f"{KINDS[column.type]} in {column.name!r}" for column in wrong[:NAMES_SHOWN]]
    raise FeaturesError(
        f"Row {index} {'; it '.join(faults)}.",
        allowed=", ".join(kinds) or f"the {len(columns)} columns of the model, each once, in any order",
        next_step="GET /model lists the columns.",
        row=index,
    )


def _fits(value: object, kind: DataType) -> bool:
    if kind == DataType.string:
        return isinstance(value, str)
    if isinstance(value, bool) or kind == DataType.boolean:
        return isinstance(value, bool) and kind == DataType.boolean
    if not isinstance(value, int | float) or not abs(value) <= LARGEST:
        return False
    return kind in (DataType.double, DataType.float) or value % 1 == 0


def _short(given: Sequence[str], quote: str = "'") -> str:
    names = ", ".join(f"{quote}{name}{quote}" for name in given[:NAMES_SHOWN])
    return names + (", ..." if len(given) > NAMES_SHOWN else "")


def needs_names(columns: Columns) -> FeaturesError:
    """The refusal of rows by position where columns hold text."""
    return FeaturesError(
        f"The model has columns of text: {_short([c.name for c in columns if c.type == DataType.string])}.",
        allowed='{"rows": [{"column": value, ...}, ...]}',
        next_step="Send the rows with the names of their columns.",
    )


def wrong_width(row: int, width: int, columns: Columns) -> FeaturesError:
    """The refusal of a row of another width."""
    return FeaturesError(
        f"Row {row} has {width} values.",
        allowed=f"{len(columns)} values a row ({_short(columns.names, quote='')})",
        next_step="GET /model lists the columns in their order.",
        row=row,
    )


def too_many(rows: int, limit: int) -> TooLargeError:
    """The refusal of a request with more rows than the limit."""
    return TooLargeError(
        f"The request has {rows} rows.", allowed=f"up to {limit} rows", next_step="Send them in parts."
    )


def _unusable(row: int, column: int, given: object, allowed: str = "finite numbers within float32") -> FeaturesError:
    return FeaturesError(
        f"Row {row}, column {column} is {shown(given)}.",
        allowed=allowed,
        next_step="Fill missing values before asking for a prediction, and send numbers without quotes.",
        row=row,
        column=column,
    )
