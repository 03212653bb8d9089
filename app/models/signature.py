"""The columns that a model takes, and the MLflow signature that records them."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.formats import boosters

NUMERIC_TYPES: Final = frozenset({DataType.double, DataType.float, DataType.long, DataType.integer, DataType.boolean})
"""Types of a signature's column that hold numbers."""

TEXT_TYPES: Final = frozenset({DataType.string, DataType.datetime})
"""Types of a signature's column whose values are text in a request."""

TYPES_OF_CONTENTS: Final = {
    "boolean": DataType.boolean,
    "integer": DataType.long,
    "integer-na": DataType.double,
    "floating": DataType.double,
    "mixed-integer-float": DataType.double,
    "decimal": DataType.double,
    "string": DataType.string,
    "empty": DataType.string,
    "datetime64": DataType.datetime,
}
"""Type of a signature's column for the content of a column, as pandas' `infer_dtype` calls it."""

OUTPUT_TYPES: Final = {"f": DataType.double, "i": DataType.long, "u": DataType.long, "b": DataType.boolean}
"""Type of a signature's output for each kind of numpy dtype. Every other kind is text."""

RETRAIN: Final = "Train and register the model again with this release: manta train."
"""Next step of an error about a stored model that this release cannot use."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One feature of a model."""

    name: str
    type: DataType = DataType.double
    is_optional: bool = False
    """Whether the model takes rows without a value in this column."""


class Columns(tuple[Column, ...]):  # noqa: SLOT001 - a slot would leave no place for the cached properties
    """The features of a model, in the order of the values in a row."""

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self]

    @cached_property
    def hold_text(self) -> bool:
        """Whether at least one column holds text, or dates, which a row holds as text."""
        return any(column.type in TEXT_TYPES for column in self)

    @cached_property
    def accept_any_number(self) -> bool:
        """Whether every column accepts any number within float32."""
        return all(column.type == DataType.double for column in self)

    def difference_to(self, others: Self) -> str:
        """Say which columns of another model differ in name or type; empty if none does."""
        ours, theirs = ([(column.name, column.type) for column in columns] for columns in (self, others))
        if ours == theirs:
            return ""
        changed = sorted({str(name) for name, _ in set(ours) ^ set(theirs)}) or ["their order"]
        return f"its columns differ from those of the champion: {', '.join(changed[:5])}"

    def with_optional(self, names: Collection[str]) -> Self:
        """Return the same columns, of which exactly the named ones are optional."""
        return type(self)(replace(column, is_optional=column.name in names) for column in self)


def infer_columns(example: pd.DataFrame) -> Columns:
    """Read the columns of a model from its input example.

    Args:
        example: Shape (rows, columns). Categories are text, unless all of them are numbers.

    Raises:
        ModelRefusedError: A column holds durations, dates with a time zone, or objects that are neither numbers,
            text nor dates.
    """
    return Columns(Column(name=str(name), type=_column_type(example[name])) for name in example.columns)


def write_signature(columns: Columns, predictions: np.ndarray) -> ModelSignature:
    """Build the signature of a model.

    Args:
        columns: The model's columns. A column that is optional is not required in the signature.
        predictions: Shape (rows,), or (rows, outputs) for a model with several outputs.
    """
    output_type = OUTPUT_TYPES.get(predictions.dtype.kind, DataType.string)
    outputs = [None] if predictions.ndim == 1 else [f"output_{index}" for index in range(predictions.shape[1])]
    return ModelSignature(
        inputs=Schema([ColSpec(column.type, column.name, required=not column.is_optional) for column in columns]),
        outputs=Schema([ColSpec(output_type, name) for name in outputs]),
    )


def read_columns(signature: ModelSignature | None, model: BaseEstimator, *, label: str) -> Columns:
    """Read the columns of a stored model from its signature, and compare them with the estimator.

    Args:
        signature: The signature of the MLflow model; None if it has none.
        model: The estimator.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The number of columns is unknown, a column is neither numbers, text nor dates, or the
            signature does not match the columns that the estimator was fitted on.
    """
    inputs = signature.inputs if signature is not None else None
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        columns = _columns_by_position(inputs, model, label)
    else:
        columns = Columns(
            Column(name=str(column.name), type=column.type, is_optional=not column.required) for column in inputs.inputs
        )
    unsupported = [column.name for column in columns if column.type not in NUMERIC_TYPES | TEXT_TYPES]
    if unsupported:
        raise ModelRefusedError(
            f"The signature of {label} has columns that are neither numbers, text nor dates: {', '.join(unsupported)}.",
            next_step=RETRAIN,
        )
    width = getattr(model, "n_features_in_", len(columns))
    if len(columns) != width:
        raise ModelRefusedError(
            f"The signature of {label} has {len(columns)} columns, but its estimator takes {width}.", next_step=RETRAIN
        )
    fitted_names = list(getattr(model, "feature_names_in_", []))
    if fitted_names and fitted_names != boosters.fitted_names(model, columns.names):
        raise ModelRefusedError(
            f"The columns in the signature of {label} differ in name or order from those that the estimator was "
            "fitted on.",
            next_step=RETRAIN,
        )
    return columns


def _columns_by_position(inputs: Schema | None, model: BaseEstimator, label: str) -> Columns:
    """Build the columns of a model whose signature has no names, or which has no signature.

    Names are those that the estimator was fitted on, else `x0`, `x1` and so on, as in scikit-learn. Without a
    signature every column holds numbers.
    """
    width = getattr(model, "n_features_in_", 0)
    types: list[Any]  # MLflow's type names every kind of input
    if inputs is None:
        types = [DataType.double] * width
    elif inputs.is_tensor_spec():
        tensor: Any = inputs.inputs[0]  # MLflow's type names every kind of input
        if len(inputs.inputs) != 1 or len(tensor.shape) != 2:  # noqa: PLR2004 - rows and columns
            raise _no_columns(label)
        kind = DataType.double if tensor.type.kind in OUTPUT_TYPES else DataType.string
        types = [kind] * max(int(tensor.shape[1]), width)
    else:
        types = inputs.input_types()
    if not types:
        raise _no_columns(label)
    names = list(getattr(model, "feature_names_in_", [])) or [f"x{index}" for index in range(len(types))]
    if len(names) != len(types):
        raise ModelRefusedError(
            f"The signature of {label} has {len(types)} columns, but its estimator takes {len(names)}.",
            next_step=RETRAIN,
        )
    return Columns(Column(name=str(name), type=kind) for name, kind in zip(names, types, strict=True))


def _no_columns(label: str) -> ModelRefusedError:
    return ModelRefusedError(
        f"{label} has no signature, and its estimator does not say how many columns it takes.",
        allowed="a signature with columns, or with one array of shape (rows, columns)",
        next_step="Log the model with mlflow.sklearn.log_model(..., input_example=a data frame of a few rows).",
    )


def _column_type(values: pd.Series) -> DataType:
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = pd.Series(values.cat.categories, name=values.name)
    content = pd.api.types.infer_dtype(values, skipna=True)
    if isinstance(values.dtype, pd.DatetimeTZDtype) or content not in TYPES_OF_CONTENTS:
        raise ModelRefusedError(
            f"Column {values.name!r} holds values of the type {values.dtype if values.dtype != object else content}.",
            allowed="numbers, booleans, text, categories, and dates without a time zone",
            next_step="Convert the column before you train. For dates with a time zone: .dt.tz_convert(None).",
        )
    # pandas keeps whole numbers as objects only beside a missing value, where the model gets float64.
    return DataType.double if content == "integer" and values.dtype == object else TYPES_OF_CONTENTS[content]
