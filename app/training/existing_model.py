"""Registers a model that was fitted elsewhere, such as in a notebook, through the gate of every other model.

`app.training.registration` evaluates, stores and registers the model.
"""

import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import mlflow
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline

from app.errors import DataError, ModelRefusedError
from app.models import artifact, registry_errors
from app.models.estimator import build_estimator
from app.models.predictor import compile_model
from app.models.registry import Registry
from app.models.signature import Columns
from app.settings import Settings
from app.training import provenance, registration, run_tags
from app.training.data.dataset import Dataset, Rows, Task
from app.training.data.targets import check_target
from app.training.evaluation import scores
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, HeldOutRows
from app.training.evaluation.metrics import check_margin, check_metric, choose_metric
from app.training.evaluation.predictions import gives_probabilities
from app.training.fitted_model import FittedModel
from app.training.named_data import read_data
from app.training.reference import FeatureSample
from app.training.registration import TrainingResult

PICKLE_ENDINGS: Final = (".pkl", ".pickle", ".joblib")
"""Endings of files whose format runs code when it is read."""

COLUMNS_SHOWN: Final = 5
"""Maximum number of columns that a message lists."""


@dataclass(frozen=True, kw_only=True)
class RegisterOptions:
    """The options of `manta register`."""

    location: str
    """A skops file, a folder with an MLflow model, or an MLflow URI such as `models:/m-...` or `runs:/RUN/model`."""
    data: str
    """Rows that the model was not fitted on; see `--data` of `manta train`."""
    target: str
    metric: str | None = None
    """None for the default of the task."""
    margin: float = 0.0
    promote: bool = True
    reference: bool = True
    force: bool = False


def register(options: RegisterOptions, settings: Settings) -> TrainingResult:
    """Check a fitted model for serving, evaluate it on rows that it has not seen, and register it.

    Args:
        options: The model, the rows, and what the gate asks for.
        settings: Address of MLflow, experiment and registered model.

    Raises:
        ModelRefusedError: The model cannot be read or cannot serve.
        ModelNotFoundError: MLflow has no model at this URI.
        DataError: The rows cannot be read, or lack columns of the model.
        ParameterError: The metric or the margin is not possible for this model.
        RegistryUnavailableError: MLflow does not answer.
    """
    model, columns = read_model(options.location, settings)
    task: Task = "classification" if is_classifier(model) else "regression"
    metric = choose_metric(options.metric, task)
    check_metric(metric, task, gives_probabilities=gives_probabilities(model))
    check_margin(options.margin, metric)
    dataset = read_data(options.data, settings, target=options.target)
    rows = _rows_for(model, columns, dataset)
    check_target(rows, task)
    scores.check_target(metric, rows.target.to_numpy())
    registry = Registry(settings)
    tags = {
        run_tags.DATA_SOURCE: dataset.source,
        run_tags.DATA_FINGERPRINT: dataset.fingerprint,
        run_tags.MODEL_SOURCE: options.location,
        **{f"{run_tags.PACKAGE_PREFIX}{name}": number for name, number in provenance.package_versions().items()},
        **dataset.tags,
    }
    fitted = FittedModel(
        model=model,
        held_out=HeldOutRows(
            rows=rows,
            baseline=Baseline.of(rows, metric),
            split_description=f"all {len(rows)} rows with the fingerprint {dataset.fingerprint}",
        ),
        gate=GateConfig(metric=metric, margin=options.margin, force=options.force),
        promote=options.promote,
        dataset=dataset.name,
        description=f"{_last_step(model)} that was fitted elsewhere",
        tags=tags,
        params={"dataset": dataset.name},
        fit_s=0.0,
        sample=FeatureSample.of(rows.features, source="held_out") if options.reference else None,
    )
    with registry.run(settings.experiment, tags=tags) as run_id:
        return registration.register(fitted, registry, settings, run_id=run_id)


def read_model(location: str, settings: Settings) -> tuple[BaseEstimator, list[str]]:
    """Read a fitted model without running code from its files, and check it for serving.

    Args:
        location: A skops file, a folder with an MLflow model, or an MLflow URI.
        settings: Address of MLflow.

    Returns:
        The model, and the names of its columns; no names if the model does not know them.

    Raises:
        ModelRefusedError: The model cannot be read or cannot serve.
        ModelNotFoundError: MLflow has no model at this URI.
        RegistryUnavailableError: MLflow does not answer.
    """
    path = Path(location)
    if path.is_file():
        if path.name.lower().endswith(PICKLE_ENDINGS):
            raise ModelRefusedError(
                f"{location} is a pickle. Loading a pickle runs code from the file.",
                allowed="a skops file, or a model in MLflow",
                next_step="Store it again: skops.io.dump(model, 'model.skops'), or manta.log_model(model, rows).",
            )
        model = artifact.load_estimator(path, location)
        build_estimator(model, Columns(), label=location)
        return model, list(getattr(model, "feature_names_in_", []))
    if path.is_dir():
        return _read_folder(path, location)
    with tempfile.TemporaryDirectory(prefix="manta-model-") as folder:
        next_step = "Give a skops file, or a URI that MLflow's page shows: models:/m-..., runs:/RUN/model."
        with registry_errors.of_lookup(
            settings.mlflow_tracking_uri, f"There is no model at {location!r}.", next_step=next_step
        ):
            mlflow.set_tracking_uri(settings.mlflow_tracking_uri)  # its argument does not reach every part of MLflow
            downloaded = mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=folder)
        return _read_folder(Path(downloaded), location)


def log_model(model: BaseEstimator, example: pd.DataFrame, labels: pd.Series | None = None) -> str:
    """Store a fitted model in MLflow so that it can be registered and served: `manta.log_model`.

    The model goes into the active MLflow run, or into a new run. It is stored without code, and read back for a check.

    Args:
        model: A fitted classifier or regressor of scikit-learn, or a pipeline that ends in one.
        example: A few rows of shape (rows, columns) with named columns, which become the signature.
        labels: Shape (rows,): the true labels of the rows, shown with them; None if they are not known.

    Returns:
        The model's URI, for `manta register URI --data FILE --target COLUMN`.

    Raises:
        ModelRefusedError: The model cannot serve.
        RegistryUnavailableError: MLflow does not answer.
    """
    with (
        registry_errors.of_run(mlflow.get_tracking_uri()),
        nullcontext() if mlflow.active_run() else mlflow.start_run(),
    ):
        uri = artifact.log(model, example=example, labels=labels)
    with tempfile.TemporaryDirectory(prefix="manta-model-") as folder:
        _read_folder(Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder)), uri)
    return uri


def _read_folder(folder: Path, label: str) -> tuple[BaseEstimator, list[str]]:
    stored = artifact.read(folder, label=label)
    compile_model(stored, label=label)
    return stored.model, stored.columns.names


def _rows_for(model: BaseEstimator, columns: list[str], dataset: Dataset) -> Rows:
    """Return the rows with the columns of the model in its order.

    Raises:
        DataError: The rows lack columns of the model, or have another number of columns.
    """
    features = dataset.rows.features
    missing = [name for name in columns if name not in features.columns]
    if missing:
        raise DataError(
            f"{dataset.source} lacks columns of the model: {', '.join(missing[:COLUMNS_SHOWN])}"
            + (f" and {len(missing) - COLUMNS_SHOWN} more." if len(missing) > COLUMNS_SHOWN else "."),
            next_step="Give rows with the columns that the model was fitted on.",
        )
    width = getattr(model, "n_features_in_", features.shape[1])
    if not columns and features.shape[1] != width:
        raise DataError(
            f"{dataset.source} has {features.shape[1]} columns beside the target, and the model takes {width}.",
            next_step="Give rows with the columns that the model was fitted on, in the same order.",
        )
    return Rows(
        features=features[columns] if columns else features,
        target=dataset.rows.target,
        weights=dataset.rows.weights,
        groups=dataset.rows.groups,
    )


def _last_step(model: BaseEstimator) -> str:
    """Return the class of a model, or of the last step of a pipeline."""
    return type(model.steps[-1][1] if isinstance(model, Pipeline) else model).__name__
