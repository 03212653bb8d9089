"""The columns of a model as the readers of request bodies need them, from the columns of its signature."""

from typing import Final

from mlflow.types import DataType

from app.models.signature import Columns
from app.serving.requests.row_schema import RowSchema, ValueKind

VALUE_KINDS: Final = {
    DataType.double: ValueKind.NUMBER,
    DataType.float: ValueKind.NUMBER,
    DataType.long: ValueKind.WHOLE_NUMBER,
    DataType.integer: ValueKind.WHOLE_NUMBER,
    DataType.boolean: ValueKind.BOOLEAN,
    DataType.string: ValueKind.TEXT,
    DataType.datetime: ValueKind.DATE,
}
"""What the readers of bodies accept for each type of a signature's column."""


def row_schema(columns: Columns) -> RowSchema:
    """Convert the columns of a model."""
    return RowSchema(
        names=tuple(columns.names),
        kinds=tuple(VALUE_KINDS[column.type] for column in columns),
        optional=frozenset(index for index, column in enumerate(columns) if column.is_optional),
    )
