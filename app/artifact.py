"""How a trained classifier is stored in MLflow, and what a stored one must be before it may serve.

Models are stored by skops, whose loading builds known types and runs no code from the file. Where versions and
aliases are kept is decided in `app.registry`.
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
from sklearn.base import ClassifierMixin, is_classifier
from skops.io.exceptions import UntrustedTypesFoundException

from app.errors import ModelRefusedError

TRUSTED_TYPES: Final = ["sklearn.tree._tree.Tree"]
"""Types beyond skops' own list that a file may hold: data without code, checked again by `app.predictor`."""

NUMERIC: Final = frozenset({DataType.double, DataType.float, DataType.long, DataType.integer, DataType.boolean})
"""Column types of a signature that a request's numbers satisfy."""

EXAMPLE_PROBABILITIES: Final = "example_probabilities"
"""Key of the model's metadata: what the classifier answered to its input example when it was stored."""

EXAMPLE_LABELS: Final = "example_labels"
"""Key of the model's metadata: the true labels of the input example."""

RETRAIN: Final = "Train and register it again with this release: manta train."


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A stored classifier, read and found fit to serve."""

    model: ClassifierMixin
    columns: tuple[str, ...]
    """Names of the features, in the order in which rows hold them."""
    example: pd.DataFrame
    """Shape (rows, columns): the input example, which the classifier must answer as it did when stored."""
    example_probabilities: np.ndarray
    """Shape (rows, classes), float64: what it answered."""
    example_labels: list[str | int]
    """The true labels of the example's rows, which training held out."""


def log(model: ClassifierMixin, *, example: pd.DataFrame, labels: pd.Series) -> str:
    """Store a fitted classifier in the active MLflow run.

    Args:
        model: A fitted classifier with `predict_proba`.
        example: A few rows of shape (rows, columns), float64, stored beside it with their answers. Its columns are
            the signature's.
        labels: Shape (rows,), the true labels of the example.

    Returns:
        The model's URI, for `Registry.register`.
    """
    probabilities = model.predict_proba(example)
    info = mlflow.sklearn.log_model(
        model,
        name="model",
        serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
        skops_trusted_types=TRUSTED_TYPES,
        signature=ModelSignature(
            inputs=Schema([ColSpec(DataType.double, str(name)) for name in example.columns]),
            outputs=Schema([ColSpec(DataType.string if model.classes_.dtype == object else DataType.long)]),
        ),
        input_example=example,
        metadata={EXAMPLE_PROBABILITIES: probabilities.tolist(), EXAMPLE_LABELS: labels.tolist()},
        # Inferring them starts a process that imports everything again: 19 times the time of all the rest.
        pip_requirements=[f"{name}=={installed(name)}" for name in ("mlflow", "numpy", "scikit-learn", "skops")],
    )
    return str(info.model_uri)


def read(folder: Path, *, label: str) -> Artifact:
    """Read a stored classifier without running code from it.

    Args:
        folder: The artifact as MLflow's client downloaded it.
        label: What messages call it.

    Raises:
        ModelRefusedError: It is no classifier, is stored in a format whose loading runs code, was fitted by another
            scikit-learn, or lacks a fitting signature or input example.
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
    if not isinstance(example, pd.DataFrame) or not {EXAMPLE_PROBABILITIES, EXAMPLE_LABELS} <= answers.keys():
        raise ModelRefusedError(
            f"{label} was stored without an input example and what the model answered to it.", next_step=RETRAIN
        )
    return Artifact(
        model=model,
        columns=columns,
        example=example,
        example_probabilities=np.array(answers[EXAMPLE_PROBABILITIES], dtype=np.float64),
        example_labels=answers[EXAMPLE_LABELS],
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


def _load(path: Path, label: str) -> ClassifierMixin:
    try:
        model = skops.io.load(path, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException as error:
        raise ModelRefusedError(
            f"{label} holds types that are not trusted: {error}", next_step="Use one of scikit-learn's own estimators."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError, zipfile.BadZipFile) as error:
        raise ModelRefusedError(f"{label} cannot be read: {error}", next_step=RETRAIN) from error
    if not is_classifier(model) or not hasattr(model, "predict_proba"):
        raise ModelRefusedError(
            f"{label} is a {type(model).__name__}, which does not answer with class probabilities.",
            allowed="a scikit-learn classifier with predict_proba",
            next_step="Load another version.",
        )
    return model


def _check_signature(signature: ModelSignature | None, model: ClassifierMixin, label: str) -> tuple[str, ...]:
    """The names of the features, or a refusal where the signature and the model do not fit."""
    inputs = signature.inputs if signature is not None else None
    if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
        raise ModelRefusedError(f"{label} has no signature with named columns.", next_step=RETRAIN)
    others = [column.name for column in inputs.inputs if column.type not in NUMERIC]
    if others:
        raise ModelRefusedError(
            f"The signature of {label} has columns that are not numbers: {', '.join(map(str, others))}.",
            next_step=RETRAIN,
        )
    columns = tuple(str(name) for name in inputs.input_names())
    if len(columns) != model.n_features_in_:
        raise ModelRefusedError(
            f"The signature of {label} has {len(columns)} columns, and its model takes {model.n_features_in_}.",
            next_step=RETRAIN,
        )
    return columns
