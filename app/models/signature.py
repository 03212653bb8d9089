"""The columns that a model takes, and the MLflow signature that records them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError

NUMERIC_TYPES: Final = frozenset({DataType.double, DataType.float, DataType.long, DataType.integer, DataType.boolean})
"""Types of a signature's column that hold numbers."""

OUTPUT_TYPES: Final = {"f": DataType.double, "i": DataType.long, "u": DataType.long, "b": DataType.boolean}
"""Type of a signature's output for each kind of numpy dtype. Every other kind is text."""

RETRAIN: Final = "Train and register the model again with this release: manta train."
"""Next step of an error about a stored model that this release cannot use."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """One feature of a model."""

    name: str
    type: DataType = DataType.double


class Columns(tuple[Column, ...]):  # noqa: SLOT001 - a slot would leave no place for the cached properties
    """The features of a model, in the order of the values in a row."""

    @cached_property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self]

    @cached_property
    def hold_text(self) -> bool:
        """Whether at least one column holds text."""
        return any(column.type == DataType.string for column in self)

    @cached_property
    def accept_any_number(self) -> bool:
        """Whether every column accepts any finite number within float32."""
        return all(column.type in (DataType.double, DataType.float) for column in self)


def infer_signature(example: pd.DataFrame, predictions: np.ndarray) -> ModelSignature:
    """Build the signature of a model from its input example and its answers.

    Args:
        example: Shape (rows, columns). A numeric column is recorded as float64, every other column as text.
        predictions: Shape (rows,).
    """
    return ModelSignature(
        inputs=Schema([ColSpec(_column_type(example[name].dtype), str(name)) for name in example.columns]),
        outputs=Schema([ColSpec(OUTPUT_TYPES.get(predictions.dtype.kind, DataType.string))]),
    )


def read_columns(signature: ModelSignature | None, model: BaseEstimator, *, label: str) -> Columns:
    """Read the columns of a stored model from its signature, and compare them with the estimator.

    Args:
        signature: The signature of the MLflow model; None if it has none.
        model: The estimator.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The signature has no named columns, has columns of other types than numbers and text, or
            does not match the columns that the estimator was fitted on.
    """
    inputs = signature.inputs if signature is not None else None
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        raise ModelRefusedError(f"{label} has no signature with named columns.", next_step=RETRAIN)
    unsupported = [column.name for column in inputs.inputs if column.type not in NUMERIC_TYPES | {DataType.string}]
    if unsupported:
        raise ModelRefusedError(
            f"The signature of {label} has columns that are neither numbers nor text: "
            f"{', '.join(map(str, unsupported))}.",
            next_step=RETRAIN,
        )
    columns = Columns(Column(name=str(column.name), type=column.type) for column in inputs.inputs)
    width = getattr(model, "n_features_in_", len(columns))
    if len(columns) != width:
        raise ModelRefusedError(
            f"The signature of {label} has {len(columns)} columns, but its estimator takes {width}.", next_step=RETRAIN
        )
    fitted_names = list(getattr(model, "feature_names_in_", []))
    if fitted_names and fitted_names != columns.names:
        raise ModelRefusedError(
            f"The columns in the signature of {label} differ in name or order from those that the estimator was "
            "fitted on.",
            next_step=RETRAIN,
        )
    return columns


def _column_type(dtype: np.dtype) -> DataType:
    return DataType.double if pd.api.types.is_numeric_dtype(dtype) else DataType.string
