"""The training job: read the data, hold out rows, check the model, search parameters, fit the model, and register it.

`app.training.inputs` reads data and model, `app.training.models` fits the model, and `app.training.registration`
registers it.
"""

import logging
import time
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Final

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from sklearn.base import BaseEstimator

from app.command import run_command, single_command_app
from app.errors import MantaError, PlatformError
from app.models.registry import Registry
from app.settings import Settings, settings
from app.training import provenance, ray_cluster, registration, run_tags
from app.training.command_line import create_command
from app.training.data import sources
from app.training.data.dataset import Dataset
from app.training.data.folds import check_folds
from app.training.data.leaks import find_leaks
from app.training.data.split import Split, split_dataset
from app.training.data.targets import check_target
from app.training.evaluation import scores
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.gate_decision import GateConfig, HeldOutRows
from app.training.evaluation.metrics import check_margin, check_metric, choose_metric
from app.training.evaluation.predictions import gives_probabilities
from app.training.fitted_model import FittedModel
from app.training.inputs import Inputs, read_inputs
from app.training.models import trial_fit
from app.training.models.estimators import task_of
from app.training.models.parameters import to_json
from app.training.options import DEFAULT_FOLDS, TrainOptions
from app.training.ray_cluster import RayWorkers
from app.training.reference import FeatureSample
from app.training.registration import TrainingResult

log = logging.getLogger("manta.train")

HELP: Final = "Train a model, compare it with the champion on held-out rows, and register it in MLflow."

DIGEST_LENGTH: Final = 36
"""MLflow's limit for the digest of a data set. The complete fingerprint is a tag."""


def train(options: TrainOptions, settings: Settings) -> TrainingResult:
    """Fit a model, evaluate it and register it.

    Args:
        options: Checked options.
        settings: Addresses of MLflow and Ray, experiment and registered model.

    Raises:
        DataError: The data cannot be used; no run is started.
        ModelCodeError: The model of the user's file cannot be used; no run is started.
        PlatformError: The cluster has no free CPU, or its workers are lost.
        RegistryUnavailableError: MLflow does not answer. If the model was already fitted it is saved, and the message
            says how to register it.
    """
    if options.name is not None:
        settings = settings.model_copy(update={"model_name": options.name})
    inputs = read_inputs(options, settings)
    dataset, task = inputs.dataset, inputs.task
    log.info("%s: %d rows, %d features", dataset.name, *dataset.rows.features.shape)
    check_target(dataset.rows, task)
    trial_model = trial_fit.check(inputs.definition, dataset.rows, inputs.parameters, seed=options.seed)
    gate = _configure_gate(options, trial_model)
    for leak in find_leaks(dataset.rows, task):
        log.warning("%s", leak)
    split = split_dataset(dataset, task=task, test_size=options.test_size, seed=options.seed)
    scores.check_target(gate.metric, split.test.target.to_numpy())
    if options.trials is not None:
        check_folds(split.train, task=task, count=options.folds or DEFAULT_FOLDS)
    registry = Registry(settings)
    with _connect_if_needed(options, settings, inputs, row_count=len(split.train)) as workers:
        tags = {
            **provenance.origin_tags(options, settings),
            **inputs.definition.tags,
            run_tags.DATA_SOURCE: dataset.source,
            run_tags.DATA_FINGERPRINT: dataset.fingerprint,
            **dataset.tags,
            **provenance.data_change_tags(registry, settings.experiment, dataset),
        }
        fitted = None
        try:
            with registry.run(settings.experiment, tags=tags, run_id=options.resume) as run_id:
                log.info("run %s in %s", run_id, settings.mlflow_tracking_uri)
                _log_dataset(dataset)
                for file_name, text in inputs.definition.files.items():
                    mlflow.log_text(text, file_name)
                if inputs.space and workers is not None:
                    from app.training.search import tuner  # noqa: PLC0415 - Ray Tune takes half a second to import

                    best = tuner.search(
                        options, inputs, split, workers, metric=gate.metric, registry=registry, run_id=run_id
                    )
                    inputs = replace(inputs, parameters=best)
                fitted = _fit(options, inputs, split, workers, gate=gate, tags=tags)
                return registration.register(fitted, registry, settings, run_id=run_id)
        except MantaError as error:
            if fitted is None:
                raise
            next_step = registration.save_for_later(fitted, run_id=run_id, settings=settings)
            raise type(error)(error.detail, allowed=error.allowed, next_step=next_step) from error


def _configure_gate(options: TrainOptions, model: BaseEstimator) -> GateConfig:
    """Return what the gate asks for, with the default metric for what the model predicts.

    Raises:
        ParameterError: The metric cannot judge the model, or `--margin` is too large for the metric.
    """
    task = task_of(model)
    metric = choose_metric(options.metric, task)
    check_metric(metric, task, gives_probabilities=gives_probabilities(model))
    check_margin(options.margin, metric)
    return GateConfig(metric=metric, margin=options.margin, force=options.force)


def _connect_if_needed(
    options: TrainOptions, settings: Settings, inputs: Inputs, *, row_count: int
) -> AbstractContextManager[RayWorkers | None]:
    """Connect to the Ray cluster for a search or a large forest; every other fit needs no cluster."""
    is_search = options.trials is not None
    if settings.ray_address and (is_search or inputs.definition.needs_cluster(inputs.parameters, row_count=row_count)):
        return ray_cluster.connect(settings.ray_address, timeout_s=options.timeout)
    if is_search:
        raise PlatformError(
            "A search needs a Ray cluster, and RAY_ADDRESS is not set.",
            next_step="Submit it as a job: manta train --trials 30, or ray job submit.",
        )
    return nullcontext()


def _fit(
    options: TrainOptions,
    inputs: Inputs,
    split: Split,
    workers: RayWorkers | None,
    *,
    gate: GateConfig,
    tags: dict[str, str],
) -> FittedModel:
    """Fit the model, and collect what the gate and the registry need."""
    start_s = time.perf_counter()
    model = inputs.definition.fit(split.train, inputs.parameters, seed=options.seed, workers=workers, n_jobs=-1)
    fit_s = time.perf_counter() - start_s
    description = inputs.definition.describe(model)
    log.info("%s: fitted in %.2f s", description, fit_s)
    return FittedModel(
        model=model,
        held_out=HeldOutRows(
            rows=split.test,
            baseline=Baseline.of(split.train, gate.metric),
            split_description=split.description,
        ),
        gate=gate,
        promote=not options.no_promote,
        dataset=inputs.dataset.name,
        description=description,
        tags=tags | {run_tags.MODEL_PARAMETERS: to_json(inputs.parameters)},
        params=inputs.parameters
        | {"dataset": inputs.dataset.name, "test_size": options.test_size, "seed": options.seed},
        fit_s=fit_s,
        sample=None if options.no_reference else FeatureSample.of(split.train.features, source="training"),
    )


def _log_dataset(dataset: Dataset) -> None:
    """Log source, schema and digest of the data as an input of the run; the rows are not uploaded."""
    is_file_or_url = "://" in dataset.source or sources.is_local_file(dataset.source)
    target_name = str(dataset.rows.target.name)
    table = dataset.rows.features.assign(**{target_name: dataset.rows.target})
    with warnings.catch_warnings():
        # This schema describes the data. The signature of the model says which columns may miss values.
        warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer", UserWarning)
        mlflow.log_input(
            from_pandas(
                table,
                # MLflow knows Azure's URLs by their scheme with TLS only, which means the same to pyarrow.
                source=dataset.source.replace("abfs://", "abfss://", 1)
                if is_file_or_url
                else CodeDatasetSource(tags={"function": dataset.source}),
                targets=target_name,
                name=dataset.name,
                digest=dataset.fingerprint[:DIGEST_LENGTH],
            ),
            context="training",
        )


def run(options: TrainOptions) -> None:
    """Train, and print the result as the last line."""
    registration.configure_logging()
    registration.print_result(train(options, settings()))


def main() -> None:
    """Run `python -m app.train`."""
    run_command(single_command_app(create_command(run, help_text=HELP)))
