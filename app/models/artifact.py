"""How a trained model is stored in MLflow, and what a stored one must be before it may serve.

Models are stored by skops, whose loading builds known types and runs no code from the file. Where versions and
aliases are kept is decided in `app.models.registry`.
"""

import zipfile
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Final

import mlflow.sklearn
import numpy as np
import pandas as pd
import skops.io
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from skops.io.exceptions import UntrustedTypesFoundException

from app.errors import ModelRefusedError
from app.models.signature import Column, Columns

TRUSTED_TYPES: Final = [
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    *(
        f"sklearn.gaussian_process.kernels.{kernel}"
        for kernel in (
            "CompoundKernel",
            "ConstantKernel",
            "DotProduct",
            "Exponentiation",
            "ExpSineSquared",
            "Matern",
            "Product",
            "RBF",
            "RationalQuadratic",
            "Sum",
            "WhiteKernel",
        )
    ),
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
]
"""Types that a file may hold beyond skops' trusted list. They hold data and no code.

`app.models.predictor` checks the indices of the two kinds of tree. `KDTree` and `BallTree` of the neighbours module are
not on the list, because their native code does not check its indices."""

NUMERIC: Final = frozenset({DataType.double, DataType.float, DataType.long, DataType.integer, DataType.boolean})
"""Column types of a signature that numbers satisfy."""

EXAMPLE_PREDICTIONS: Final = "example_predictions"
"""Key of the model's metadata: what the model answered to its input example when it was stored."""

EXAMPLE_PROBABILITIES: Final = "example_probabilities"
"""Key of the model's metadata: the class probabilities that it answered, where it answers with them."""

EXAMPLE_LABELS: Final = "example_labels"
"""Key of the model's metadata: the true labels of the input example."""

RETRAIN: Final = "Train and register it again with this release: manta train."


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A stored model, read and found fit to serve."""

    model: BaseEstimator
    columns: Columns
    example: pd.DataFrame
    """Shape (rows, columns): the input example, which the model must answer as it did when stored."""
    example_predictions: list[str | int | float] | None
    """What it answered, a value a row; None where nobody recorded it."""
    example_probabilities: np.ndarray | None
    """Shape (rows, classes), float64: the probabilities that it answered; None where nobody recorded them."""
    example_labels: list[str | int | float]
    """The true labels of the example's rows, which training held out; empty where nobody recorded them."""


def log(model: BaseEstimator, *, example: pd.DataFrame, labels: pd.Series) -> str:
    """Store a fitted model in the active MLflow run.

    Args:
        model: A fitted classifier or regressor of scikit-learn, or a pipeline that ends in one.
        example: A few rows of shape (rows, columns), stored beside it with their answers. Its columns are the
            signature's: numbers count as float64, anything else as text.
        labels: Shape (rows,), the true labels of the example.

    Returns:
        The model's URI, for `Registry.register`.
    """
    predictions = model.predict(example)
    answers = {EXAMPLE_PREDICTIONS: predictions.tolist(), EXAMPLE_LABELS: labels.tolist()}
    if hasattr(model, "predict_proba"):
        answers[EXAMPLE_PROBABILITIES] = model.predict_proba(example).tolist()
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        signature=ModelSignature(
            inputs=Schema([ColSpec(_column_type(example[name].dtype), str(name)) for name in example.columns]),
            outputs=Schema([ColSpec(_OUTPUTS.get(predictions.dtype.kind, DataType.string))]),
        ),
        input_example=example,
        metadata=answers,
        # Inferring them starts a process that imports everything again: 19 times the time of all the rest.
        pip_requirements=[f"{name}=={installed(name)}" for name in ("mlflow", "numpy", "scikit-learn", "skops")],
    )
    return str(info.model_uri)


def read(folder: Path, *, label: str) -> Artifact:
    """Read a stored model without running code from it.

    Args:
        folder: The artifact as MLflow's client downloaded it.
        label: What messages call it.

    Raises:
        ModelRefusedError: It is neither classifier nor regressor, is stored in a format whose loading runs code, was
            fitted by another scikit-learn, or lacks a fitting signature or input example.
    """
    try:
        stored = Model.load(folder)
        example = stored.load_input_example(str(folder))
    except (MlflowException, OSError) as error:
        raise ModelRefusedError(f"{label} holds no MLflow model.", next_step=RETRAIN) from error
    flavor = stored.flavors.get("sklearn", {})
    _check_flavor(flavor, label)
    model = _load(folder / flavor["pickled_model"], label)
    columns = _check_signature(stored.signature, model, label)
    answers = stored.metadata or {}
    if not isinstance(example, pd.DataFrame):
        raise ModelRefusedError(
            f"{label} was stored without an input example of named columns.",
            next_step="Log it with mlflow.sklearn.log_model(..., input_example=a data frame of a few rows).",
        )
    probabilities = answers.get(EXAMPLE_PROBABILITIES)
    return Artifact(
        model=model,
        columns=columns,
        example=example[columns.names],
        example_predictions=answers.get(EXAMPLE_PREDICTIONS),
        example_probabilities=None if probabilities is None else np.array(probabilities, dtype=np.float64),
        example_labels=answers.get(EXAMPLE_LABELS, []),
    )


def _check_flavor(flavor: dict[str, Any], label: str) -> None:
    """Refuse what is no scikit-learn model, what would run code, and what another scikit-learn fitted."""
    if not flavor:
        raise ModelRefusedError(f"{label} is no scikit-learn model.", next_step=RETRAIN)
    stored_format = flavor.get("serialization_format")
    if stored_format != mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS:
        raise ModelRefusedError(
            f"{label} is stored as {stored_format}, whose loading runs code from the file.",
            allowed="skops",
            next_step="Log it with mlflow.sklearn.log_model(..., serialization_format='skops').",
        )
    fitted_by, running = str(flavor.get("sklearn_version")), installed("scikit-learn")
    if fitted_by.split(".")[:2] != running.split(".")[:2]:
        raise ModelRefusedError(
            f"{label} was fitted by scikit-learn {fitted_by}, and scikit-learn {running} runs here.",
            allowed=f"a model of scikit-learn {'.'.join(running.split('.')[:2])}.*",
            next_step=RETRAIN,
        )


def _load(path: Path, label: str) -> BaseEstimator:
    try:
        model = skops.io.load(path, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException as error:
        raise ModelRefusedError(
            f"{label} holds types that are not trusted: {error}", next_step="Use one of scikit-learn's own estimators."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError, zipfile.BadZipFile) as error:
        raise ModelRefusedError(f"{label} cannot be read: {error}", next_step=RETRAIN) from error
    if not isinstance(model, BaseEstimator) or not (is_classifier(model) or is_regressor(model)):
        raise ModelRefusedError(
            f"{label} is a {type(model).__name__}, which predicts nothing.",
            allowed="a scikit-learn classifier or regressor, or a pipeline that ends in one",
            next_step="Load another version.",
        )
    return model


def _check_signature(signature: ModelSignature | None, model: BaseEstimator, label: str) -> Columns:
    """The features, or a refusal where the signature and the model do not fit."""
    inputs = signature.inputs if signature is not None else None
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        raise ModelRefusedError(f"{label} has no signature with named columns.", next_step=RETRAIN)
    others = [column.name for column in inputs.inputs if column.type not in NUMERIC | {DataType.string}]
    if others:
        raise ModelRefusedError(
            f"The signature of {label} has columns that are neither numbers nor text: {', '.join(map(str, others))}.",
            next_step=RETRAIN,
        )
    columns = Columns(Column(name=str(column.name), type=column.type) for column in inputs.inputs)
    width = getattr(model, "n_features_in_", len(columns))
    if len(columns) != width:
        raise ModelRefusedError(
            f"The signature of {label} has {len(columns)} columns, and its model takes {width}.", next_step=RETRAIN
        )
    fitted_on = list(getattr(model, "feature_names_in_", []))
    if fitted_on and fitted_on != columns.names:
        raise ModelRefusedError(
            f"The signature of {label} names other columns than its model was fitted on, or in another order.",
            next_step=RETRAIN,
        )
    return columns


_OUTPUTS: Final = {"f": DataType.double, "i": DataType.long, "u": DataType.long, "b": DataType.boolean}
"""MLflow's type of a prediction by numpy's kind; text otherwise."""


def _column_type(dtype: np.dtype) -> DataType:
    return DataType.double if pd.api.types.is_numeric_dtype(dtype) else DataType.string
