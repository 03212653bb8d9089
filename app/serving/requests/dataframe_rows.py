"""Converts the JSON body of MLflow's scoring protocol to a matrix.

A body has one of the keys `dataframe_split`, `dataframe_records`, `instances` and `inputs`, as MLflow's scoring server
accepts them. As there, other keys of the body and columns that the model does not have are ignored. The process that
reads large bodies imports this module, so it imports neither MLflow nor pandas.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
import numpy as np

from app.errors import FeaturesError, InvalidBodyError
from app.serving.requests import decoded_rows, row_errors
from app.serving.requests.json_faults import DECODE_ERRORS
from app.serving.requests.json_rows import Value
from app.serving.requests.row_schema import RowSchema

KEYS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""Keys of a body. A body has exactly one of them."""

FORM: Final = (
    '{"dataframe_split": {"columns": [...], "data": [[...], ...]}}, {"dataframe_records": [{...}, ...]}, '
    '{"instances": [...]} or {"inputs": ...}'
)
"""The forms of a body, for error messages."""

Items: TypeAlias = list[list[Value] | dict[str, Value] | Value]
"""Rows by position or by name, or the values of the only column."""


class _Split(msgspec.Struct):
    """A data frame as pandas' `to_dict(orient="split")` gives it."""

    data: list[list[Value]]
    columns: list[str] | None = None


class _Body(msgspec.Struct):
    dataframe_split: _Split | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: list[dict[str, Value]] | msgspec.UnsetType = msgspec.UNSET
    instances: Items | msgspec.UnsetType = msgspec.UNSET
    inputs: Items | dict[str, list[Value]] | msgspec.UnsetType = msgspec.UNSET


_decoder: Final = msgspec.json.Decoder(_Body)


def read(body: bytes | bytearray, *, schema: RowSchema, max_rows: int) -> np.ndarray:
    """Convert a body to a matrix; see `app.serving.requests.body_forms.read`.

    Raises:
        InvalidBodyError: The body is not JSON, or has none of the forms of `FORM`.
        FeaturesError: A row does not match the columns.
        TooLargeError: The body has more than `max_rows` rows.
    """
    try:
        content = _decoder.decode(body)
    except DECODE_ERRORS as error:
        raise _invalid(f"The body cannot be read: {error or 'it is nested too deeply'}.") from error
    given = [key for key in KEYS if getattr(content, key) is not msgspec.UNSET]
    if len(given) != 1:
        raise _invalid(f"The body has {' and '.join(given) or 'none of the keys'}.")
    if isinstance(content.dataframe_split, _Split):
        rows = _from_split(content.dataframe_split, schema, max_rows)
    elif isinstance(content.dataframe_records, list):
        rows = _from_records(content.dataframe_records, schema, max_rows)
    elif isinstance(content.inputs, dict):
        rows = _from_columns(content.inputs, schema, max_rows)
    else:
        items = content.inputs if isinstance(content.inputs, list) else content.instances
        rows = _from_items(items if isinstance(items, list) else [], schema, max_rows)
    return decoded_rows.to_matrix(rows, schema)


def positions(names: Sequence[str], schema: RowSchema) -> list[int | None]:
    """Find each column of the model among the columns of a body.

    Args:
        names: Names of the columns in the body.
        schema: The model's columns.

    Returns:
        For each column of the model its index in the body; None for an optional column that the body lacks.

    Raises:
        FeaturesError: The body lacks a column, or has one twice.
    """
    if tuple(names) == schema.names:
        return list(range(schema.width))
    indices = {name: index for index, name in enumerate(names)}
    missing = [name for name in schema.names if name not in indices and name not in schema.optional_names]
    repeated = [name for index, name in enumerate(names) if indices[name] != index and name in schema.name_set]
    is_empty = schema.name_set.isdisjoint(names)  # such as CSV without a line of names
    if not (missing or repeated or is_empty):
        return [indices.get(name) for name in schema.names]
    lacking = row_errors.name_list(missing or schema.names)
    raise FeaturesError(
        f"The data frame has {row_errors.name_list(repeated)} twice."
        if repeated
        else f"The data frame lacks {lacking}.",
        allowed=f"the {schema.width} columns of the model, each once, in any order",
        next_step="GET /model lists the columns.",
    )


def _from_split(split: _Split, schema: RowSchema, max_rows: int) -> Sequence[Sequence[Value]]:
    decoded_rows.check_count(len(split.data), max_rows)
    if split.columns is None or tuple(split.columns) == schema.names:
        return split.data
    indices = positions(split.columns, schema)
    for index, row in enumerate(split.data):
        if len(row) != len(split.columns):
            raise FeaturesError(
                f"Row {index} has {len(row)} values.",
                allowed=f"{len(split.columns)} values per row, one for each of `columns`",
                next_step="Send the output of DataFrame.to_dict(orient='split').",
                row=index,
            )
    return [[None if index is None else row[index] for index in indices] for row in split.data]


def _from_records(records: Sequence[Mapping[str, Value]], schema: RowSchema, max_rows: int) -> list[list[Value]]:
    decoded_rows.check_count(len(records), max_rows)
    try:
        return [[record[name] for name in schema.names] for record in records]
    except KeyError:  # a record lacks a column, which may be optional
        for index, record in enumerate(records):
            if schema.name_set.isdisjoint(record):
                raise FeaturesError(
                    f"Row {index} has none of the model's columns.",
                    allowed=f"the {schema.width} columns of the model, in any order",
                    next_step="GET /model lists the columns.",
                    row=index,
                ) from None
            row_errors.check_named_row(index, {name: record[name] for name in schema.names if name in record}, schema)
    return [[record.get(name) for name in schema.names] for record in records]


def _from_columns(columns: Mapping[str, list[Value]], schema: RowSchema, max_rows: int) -> list[tuple[Value, ...]]:
    positions(list(columns), schema)
    lengths = {len(columns[name]) for name in schema.names if name in columns}
    if len(lengths) > 1:
        raise FeaturesError(
            f"The columns have {' and '.join(map(str, sorted(lengths)))} values.",
            allowed="as many values in every column",
            next_step="Send one value per row in every column.",
        )
    count = lengths.pop() if lengths else 0
    decoded_rows.check_count(count, max_rows)
    missing: list[Value] = [None] * count
    return list(zip(*(columns.get(name, missing) for name in schema.names), strict=True))


def _from_items(items: Items, schema: RowSchema, max_rows: int) -> Sequence[Sequence[Value]]:
    decoded_rows.check_count(len(items), max_rows)
    records = [item for item in items if isinstance(item, dict)]
    if len(records) == len(items):
        return _from_records(records, schema, max_rows)
    rows = [item for item in items if isinstance(item, list)]
    if len(rows) == len(items):
        return rows
    if rows or records:
        raise _invalid("The items are of several kinds.")
    # MLflow takes a list of values for the values of the only column.
    return [[item] for item in items if not isinstance(item, list | dict)]


def _invalid(detail: str) -> InvalidBodyError:
    return InvalidBodyError(detail, allowed=FORM, next_step=f"Example: {json.dumps({'inputs': [[1.5, 2.5]]})}")
