"""The files of a model in MLflow: how a fitted model is stored, and which stored models may be read.

Models are stored with skops. Loading a skops file builds known types only and runs no code from the file.
`app.models.formats` has the other formats. Model versions and aliases are in `app.models.registry`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from sklearn.base import BaseEstimator, is_classifier, is_regressor

from app.errors import ModelRefusedError
from app.models.answers import Answers
from app.models.fitted_release import check_fitted_release
from app.models.formats import boosters, storable, table
from app.models.formats.stored_model import SKOPS, SKOPS_STORAGE, Storage, StoredModel
from app.models.frames import to_frame, to_rows
from app.models.optional_columns import find_optional
from app.models.signature import RETRAIN, Columns, infer_columns, read_columns, write_signature
from app.models.skops_nodes import check_nodes
from app.models.trusted_types import TRUSTED_TYPES
from app.settings import settings

USE_STORABLE: Final = "Use an estimator of scikit-learn that can be stored: docs/explanation/estimators.md has a table."
"""Next step of an error about a type that is not trusted."""

EXAMPLE_PREDICTIONS: Final = "example_predictions"
"""Key of the MLflow metadata: the model's predictions for its input example when it was stored."""

EXAMPLE_PROBABILITIES: Final = "example_probabilities"
"""Key of the MLflow metadata: the class probabilities for the input example, if the model has any."""

EXAMPLE_LABELS: Final = "example_labels"
"""Key of the MLflow metadata: the true labels of the input example."""


EXAMPLE_PATHS: Final = frozenset({"artifact_path", "serving_input_path"})
"""Keys of the MLflow metadata: files of the input example."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A stored model that passed the checks of `read`."""

    model: BaseEstimator
    columns: Columns
    example: pd.DataFrame
    """Shape (rows, columns): the input example, without a row if none was stored. The model must give the same answers
    as when it was stored."""
    example_predictions: list[Any] | None
    """One prediction, or one list of predictions, per row of the example; None if they were not recorded."""
    example_probabilities: np.ndarray | None
    """Shape (rows, classes), float64: class probabilities for the example; None if they were not recorded."""
    example_labels: list[Any]
    """The true labels of the example, which are held-out rows; empty if they were not recorded."""
    storage: Storage = SKOPS_STORAGE
    """How the model is stored."""

    @property
    def example_rows(self) -> np.ndarray:
        """The input example as the rows of a request; see `to_rows`."""
        return to_rows(self.example, self.columns)


def log(
    model: BaseEstimator,
    *,
    example: pd.DataFrame,
    labels: pd.Series | pd.DataFrame | None = None,
    name: str | None = None,
) -> str:
    """Store a fitted model in the active MLflow run.

    Args:
        model: A fitted classifier or regressor of scikit-learn, or a pipeline that ends in one.
        example: A few rows of shape (rows, columns), stored with the model and its answers to them. Their columns
            become the signature; see `infer_columns`. A column in which the model takes a missing value is recorded
            as optional.
        labels: Shape (rows,), or (rows, outputs) for a model with several outputs: the true labels of the example.
            Without them, nothing shows whether the predictions for the example are right.
        name: The registered model, to which the signature of a pickle is bound; None for the default.

    Returns:
        The model's URI, for `Registry.register`.

    Raises:
        ModelRefusedError: A column of the example has a type that no request can send, or no format can hold the model.
    """
    predictions = model.predict(example)
    columns = infer_columns(example)
    columns = find_optional(
        columns,
        to_rows(example.head(1), columns),
        lambda row: Answers(predictions=model.predict(to_frame(row, columns))),
    )
    true_labels = [] if labels is None else labels.to_numpy().tolist()
    metadata = {EXAMPLE_PREDICTIONS: predictions.tolist(), EXAMPLE_LABELS: true_labels}
    probabilities = model.predict_proba(example) if hasattr(model, "predict_proba") else None
    if isinstance(probabilities, np.ndarray):
        metadata[EXAMPLE_PROBABILITIES] = probabilities.tolist()
    options: dict[str, Any] = {
        "name": "model",
        "signature": write_signature(columns, predictions),
        "input_example": example,
        "metadata": metadata,
        # MLflow would start a process that imports everything again: 19 times as long as the rest of this call.
        "pip_requirements": [
            f"{name}=={package_version(name)}" for name in ("mlflow", "numpy", "scikit-learn", "skops")
        ],
    }
    model_uri = table.write(model, registered_name=name or settings().model_name, options=options)
    if model_uri is not None:
        return model_uri
    try:
        info = mlflow.sklearn.log_model(
            model,
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
            skops_trusted_types=[*TRUSTED_TYPES, *boosters.trusted_types()],
            **options,
        )
    except MlflowException:
        storable.check_storable(model, owner="this run")
        raise
    return str(info.model_uri)


def read(folder: Path, *, label: str) -> Artifact:
    """Read a stored model without running code from it.

    Args:
        folder: The artifact, as MLflow's client downloaded it.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The model is neither a classifier nor a regressor, is stored in a format that runs code when
            it is loaded, was fitted with another minor version of scikit-learn, has damaged metadata, names a file
            outside its folder, or has a signature that does not match the model.
    """
    try:
        mlflow_model = Model.load(folder)
        stored = _find_estimator(folder, mlflow_model, label)
        model = load_estimator(stored.path, label, stored.storage)
        columns = read_columns(mlflow_model.signature, model, label=label)
        example = _read_example(folder, mlflow_model, columns, label)
        metadata = mlflow_model.metadata or {}
        probabilities = metadata.get(EXAMPLE_PROBABILITIES)
        return Artifact(
            model=model,
            columns=columns,
            example=example[columns.names],
            example_predictions=metadata.get(EXAMPLE_PREDICTIONS),
            example_probabilities=None if probabilities is None else np.array(probabilities, dtype=np.float64),
            example_labels=metadata.get(EXAMPLE_LABELS, []),
            storage=stored.storage,
        )
    except (ModelRefusedError, MemoryError):
        raise
    except Exception as error:  # YAML, MLflow and pandas raise many types for damaged metadata
        raise ModelRefusedError(
            f"{label} is not an MLflow model that can be read: {type(error).__name__}: {error}", next_step=RETRAIN
        ) from error


def find_estimator(folder: Path, *, label: str) -> Path:
    """Return the path of the estimator's file in an artifact that passed the checks of `read`."""
    return _find_estimator(folder, Model.load(folder), label).path


def _find_estimator(folder: Path, mlflow_model: Model, label: str) -> StoredModel:
    flavor = mlflow_model.flavors.get("sklearn", {})
    if not flavor and (name_and_storage := table.find_file(mlflow_model.flavors)):
        name, storage = name_and_storage
        return StoredModel(path=_inside(folder, name, label), storage=storage)
    _check_flavor(flavor, label)
    return StoredModel(path=_inside(folder, flavor["pickled_model"], label))


def _read_example(folder: Path, mlflow_model: Model, columns: Columns, label: str) -> pd.DataFrame:
    """Read the input example, whose columns have names only if it was stored as a data frame."""
    info = mlflow_model.saved_input_example_info or {}
    for key in EXAMPLE_PATHS & info.keys():
        _inside(folder, info[key], label)
    example = mlflow_model.load_input_example(str(folder)) if info else None
    if example is None:
        return to_frame(np.empty((0, len(columns)), dtype=object), columns)
    if isinstance(example, pd.DataFrame):
        return example
    return pd.DataFrame(np.atleast_2d(example), columns=columns.names)


def _inside(folder: Path, path: str, label: str) -> Path:
    """Return the path of a file that the metadata names, unless the file is outside the folder."""
    root = folder.resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        raise ModelRefusedError(
            f"The metadata of {label} names a file outside its folder: {path}.",
            allowed="relative paths inside the model's folder",
            next_step=RETRAIN,
        )
    return file


def _check_flavor(flavor: Mapping[str, object], label: str) -> None:
    """Refuse other libraries, formats that run code when loaded, and models of another minor scikit-learn version."""
    if not flavor:
        raise ModelRefusedError(
            f"{label} is no model of a supported library.",
            allowed=f"scikit-learn, {', '.join(table.FLAVORS)}",
            next_step=RETRAIN,
        )
    stored_format = flavor.get("serialization_format")
    if stored_format != mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS:
        raise ModelRefusedError(
            f"{label} is stored as {stored_format}. Loading that format runs code from the file.",
            allowed="skops",
            next_step="Log the model with mlflow.sklearn.log_model(..., serialization_format='skops').",
        )
    check_fitted_release(str(flavor.get("sklearn_version")), label=label)


def load_estimator(path: Path, label: str, storage: Storage = SKOPS_STORAGE) -> BaseEstimator:
    """Read a fitted estimator from its file.

    Args:
        path: The file.
        label: Name of the model in error messages.
        storage: How the model is stored.

    Raises:
        ModelRefusedError: The file is damaged, needs a package that is not installed here, holds types that are not
            trusted, or no classifier and no regressor.
    """
    # skops imports all of scikit-learn, which takes a second and a replica that serves trees does not need.
    from skops import io  # noqa: PLC0415
    from skops.io.exceptions import UntrustedTypesFoundException  # noqa: PLC0415

    try:
        if storage.format == SKOPS:
            check_nodes(path)
            model = io.load(path, trusted=[*TRUSTED_TYPES, *boosters.trusted_types()])
        else:
            model = table.load(path, storage, label=label)
    except UntrustedTypesFoundException as error:
        raise boosters.missing_package(str(error), label=label) or ModelRefusedError(
            f"{label} holds types that are not trusted: {error}", next_step=USE_STORABLE
        ) from error
    except ModelRefusedError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes its reader raise anything
        raise ModelRefusedError(
            f"{label} cannot be read: {type(error).__name__}: {error}", next_step=RETRAIN
        ) from error
    if not isinstance(model, BaseEstimator) or not (is_classifier(model) or is_regressor(model)):
        raise ModelRefusedError(
            f"{label} is a {type(model).__name__}, which is neither a classifier nor a regressor.",
            allowed="a scikit-learn classifier or regressor, or a pipeline that ends in one",
            next_step="Load another version.",
        )
    return model
