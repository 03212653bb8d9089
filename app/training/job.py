"""The training job: read the data, hold out rows, search parameters, fit the forest, and register it.

`app.training.data.sources` reads the rows, `app.training.distributed_forest` fits the forest on a cluster, and
`app.training.registration` registers it.
"""

import logging
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.pandas_dataset import from_pandas
from sklearn.ensemble import RandomForestClassifier

from app.command import run_command, single_command_app
from app.errors import MantaError, PlatformError
from app.models.registry import Registry
from app.settings import Settings, settings
from app.training import distributed_forest, provenance, ray_cluster, registration, run_tags
from app.training.command_line import create_command
from app.training.data import sources
from app.training.data.columns import check_complete_numbers
from app.training.data.dataset import Dataset
from app.training.data.folds import check_folds
from app.training.data.split import Split, split_dataset
from app.training.data.targets import check_target
from app.training.evaluation.baseline import Baseline
from app.training.evaluation.promotion_gate import GateConfig, HeldOutRows
from app.training.hyperparameters import ForestParameters
from app.training.options import DEFAULT_FOLDS, TrainOptions
from app.training.ray_cluster import RayWorkers
from app.training.registration import FittedModel, TrainingResult

log = logging.getLogger("manta.train")

HELP: Final = "Train a random forest, compare it with the champion on held-out rows, and register it in MLflow."

DIGEST_LENGTH: Final = 36
"""MLflow's limit for the digest of a data set. The complete fingerprint is a tag."""

LOCAL_FIT_LIMIT: Final = 2_000_000
"""Largest product of rows and trees for a fit in this process. A larger forest is worth the seconds in which new Ray
workers import scikit-learn."""

PROGRESS_INTERVAL_S: Final = 2.0
"""Shortest interval between two log lines of progress."""

SYNTHETIC_WIDTH: Final = 50
SYNTHETIC_HEIGHT: Final = 25
SYNTHETIC_STEPS: Final = 100
"""Defaults of `--width`, `--height` and `--steps`."""


def read_inputs(options: TrainOptions, settings: Settings) -> tuple[Dataset, ForestParameters]:
    """Read the data set that the options name, and return it with the parameters of the forest.

    With `--synthetic`, both depend on `--width`, `--height` and `--steps`, as in the original of this project.

    Raises:
        ParameterError: The bundled data set does not exist.
        DataError: The data cannot be used.
    """
    if options.synthetic:
        return _make_synthetic_inputs(options)
    parameters = ForestParameters.model_validate(options.forest_parameters())
    if options.data is not None and options.target is not None:
        dataset = sources.read_file(
            options.data, target=options.target, group=options.group, time=options.time, weight=options.weight
        )
        return dataset, parameters
    return sources.load_bundled(options.dataset or settings.dataset), parameters


def train(options: TrainOptions, settings: Settings) -> TrainingResult:
    """Fit a forest, evaluate it and register it.

    Args:
        options: Checked options.
        settings: Addresses of MLflow and Ray, experiment and registered model.

    Raises:
        DataError: The data cannot be used; no run is started.
        PlatformError: The cluster has no free CPU, or its workers are lost.
        RegistryUnavailableError: MLflow does not answer. If the forest was already fitted it is saved, and the message
            says how to register it.
    """
    dataset, parameters = read_inputs(options, settings)
    check_complete_numbers(dataset.rows.features, source=dataset.source)
    check_target(dataset.rows, "classification")
    split = split_dataset(dataset, task="classification", test_size=options.test_size, seed=options.seed)
    if options.trials is not None:
        check_folds(split.train, task="classification", count=options.folds or DEFAULT_FOLDS)
    log.info("%s: %d rows, %d features", dataset.name, *dataset.rows.features.shape)
    registry = Registry(settings)
    with _connect_if_needed(options, settings, parameters, row_count=len(split.train)) as workers:
        tags = {
            **provenance.origin_tags(options, settings),
            run_tags.DATA_SOURCE: dataset.source,
            run_tags.DATA_FINGERPRINT: dataset.fingerprint,
            **dataset.tags,
            **provenance.data_change_tags(registry, settings.experiment, dataset),
        }
        forest = None
        try:
            with registry.run(settings.experiment, tags=tags, run_id=options.resume) as run_id:
                log.info("run %s in %s", run_id, settings.mlflow_tracking_uri)
                _log_dataset(dataset)
                if options.trials is not None and workers is not None:
                    from app.training.search import tuner  # noqa: PLC0415 - Ray Tune takes half a second to import

                    parameters = tuner.search(options, parameters, split, workers, registry=registry, run_id=run_id)
                forest = _fit(options, parameters, split, workers, dataset=dataset.name, tags=tags)
                return registration.register(forest, registry, model_name=settings.model_name, run_id=run_id)
        except MantaError as error:
            if forest is None:
                raise
            next_step = registration.save_for_later(forest, run_id=run_id, settings=settings)
            raise type(error)(error.detail, allowed=error.allowed, next_step=next_step) from error


def _make_synthetic_inputs(options: TrainOptions) -> tuple[Dataset, ForestParameters]:
    width = SYNTHETIC_WIDTH if options.width is None else options.width
    height = SYNTHETIC_HEIGHT if options.height is None else options.height
    steps = SYNTHETIC_STEPS if options.steps is None else options.steps
    dataset = sources.make_synthetic(n_samples=min(5000, 500 + 10 * steps), seed=options.seed)
    parameters = {
        "n_estimators": max(10, width),
        "max_depth": max(2, height),
        "max_features": min(1.0, 0.3 + steps / 500),
    }
    return dataset, ForestParameters.model_validate(parameters | options.forest_parameters())


def _connect_if_needed(
    options: TrainOptions, settings: Settings, parameters: ForestParameters, *, row_count: int
) -> AbstractContextManager[RayWorkers | None]:
    """Connect to the Ray cluster for a search or a large fit; a small fit needs no cluster."""
    is_search = options.trials is not None
    if settings.ray_address and (is_search or not _is_local_fit(parameters, row_count)):
        return ray_cluster.connect(settings.ray_address, timeout_s=options.timeout)
    if is_search:
        raise PlatformError(
            "A search needs a Ray cluster, and RAY_ADDRESS is not set.",
            next_step="Submit it as a job: manta train --trials 30, or ray job submit.",
        )
    return nullcontext()


def _is_local_fit(parameters: ForestParameters, row_count: int) -> bool:
    return row_count * parameters.n_estimators <= LOCAL_FIT_LIMIT


def _fit(
    options: TrainOptions,
    parameters: ForestParameters,
    split: Split,
    workers: RayWorkers | None,
    *,
    dataset: str,
    tags: dict[str, str],
) -> FittedModel:
    """Fit the forest, and collect what the gate and the registry need."""
    start_s = time.perf_counter()
    model = _fit_model(parameters, split, workers, seed=options.seed)
    fit_s = time.perf_counter() - start_s
    log.info("%d trees fitted in %.2f s", parameters.n_estimators, fit_s)
    return FittedModel(
        model=model,
        held_out=HeldOutRows(
            rows=split.test,
            baseline=Baseline.of(split.train, options.metric),
            split_description=split.description,
        ),
        gate=GateConfig(metric=options.metric, margin=options.margin, force=options.force),
        promote=not options.no_promote,
        dataset=dataset,
        tags=tags,
        params=parameters.model_dump() | {"dataset": dataset, "test_size": options.test_size, "seed": options.seed},
        fit_s=fit_s,
    )


def _fit_model(
    parameters: ForestParameters, split: Split, workers: RayWorkers | None, *, seed: int
) -> RandomForestClassifier:
    """Fit the forest on the cluster, or in this process with all cores. The forest is the same, bit for bit."""
    model = RandomForestClassifier(**parameters.model_dump(), random_state=seed)
    if workers is None or _is_local_fit(parameters, len(split.train)):
        model.set_params(n_jobs=-1).fit(split.train.features, split.train.target)
        return model.set_params(n_jobs=None)
    last_log_s = time.monotonic()

    def log_progress(fitted_trees: int) -> None:
        nonlocal last_log_s
        if time.monotonic() - last_log_s >= PROGRESS_INTERVAL_S:
            last_log_s = time.monotonic()
            log.info("%d of %d trees", fitted_trees, parameters.n_estimators)

    return distributed_forest.fit(
        model, split.train.features, split.train.target, workers=workers, on_progress=log_progress
    )


def _log_dataset(dataset: Dataset) -> None:
    """Log source, schema and digest of the data as an input of the run; the rows are not uploaded."""
    is_file_or_url = "://" in dataset.source or sources.is_local_file(dataset.source)
    target_name = str(dataset.rows.target.name)
    table = dataset.rows.features.assign(**{target_name: dataset.rows.target})
    mlflow.log_input(
        from_pandas(
            table,
            source=dataset.source if is_file_or_url else CodeDatasetSource(tags={"function": dataset.source}),
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
