"""The training job: read, hold out, search, fit, and hand over to the registry.

Where the rows come from is decided in `app.training.data.sources`, how the forest is fitted over a cluster in
`app.training.distributed_forest`, and what becomes of it in `app.training.registration`.
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
from app.training import distributed_forest, options, provenance, ray_cluster, registration, run_tags
from app.training.data import sources, split
from app.training.evaluation.promotion_gate import HeldOut, Terms
from app.training.hyperparameters import Forest
from app.training.ray_cluster import Cluster
from app.training.registration import Candidate, Result

log = logging.getLogger("manta.train")

HELP: Final = "Train a random forest, judge it on held-out rows and register it in MLflow."

DIGEST_LENGTH: Final = 36
"""MLflow's limit for the digest of a data set; the whole fingerprint is a tag."""

SMALL: Final = 2_000_000
"""Rows times trees up to which a forest is fitted in this process: a cluster's workers first import for seconds."""

PROGRESS_S: Final = 2.0
"""The shortest pause between two lines of progress."""


def plan(chosen: options.TrainOptions, defaults: Settings) -> tuple[sources.Dataset, Forest]:
    """Read the data that the options name, and settle the forest's parameters.

    `--synthetic` derives both from width, height and steps, as the original of this project did.

    Raises:
        ParameterError: There is no such bundled data set.
        DataError: The data cannot be used.
    """
    if chosen.synthetic:
        width, height, steps = (
            default if given is None else given
            for given, default in ((chosen.width, 50), (chosen.height, 25), (chosen.steps, 100))
        )
        derived = {"max_depth": max(2, height), "max_features": min(1.0, 0.3 + steps / 500)}
        rows = sources.make_synthetic(n_samples=min(5000, 500 + 10 * steps), seed=chosen.seed)
        return rows, Forest.model_validate({"n_estimators": max(10, width)} | derived | chosen.forest())
    parameters = Forest.model_validate(chosen.forest())
    if chosen.data is not None and chosen.target is not None:
        return sources.read_file(chosen.data, target=chosen.target), parameters
    return sources.load_bundled(chosen.dataset or defaults.dataset), parameters


def train(chosen: options.TrainOptions, configured: Settings) -> Result:
    """Fit a forest, judge it and register it.

    Args:
        chosen: Options, checked.
        configured: Where MLflow and Ray are, and the names to register under.

    Raises:
        DataError: The data cannot be used; no run is started.
        PlatformError: The cluster has no free CPU, or loses its workers.
        RegistryUnavailableError: MLflow does not answer. If the forest was fitted by then it is kept, and the message
            says how to register it.
    """
    dataset, parameters = plan(chosen, configured)
    parts = split.split_dataset(dataset, test_size=chosen.test_size, seed=chosen.seed)
    if chosen.trials is not None:
        split.check_folds(parts, chosen.folds or options.FOLDS)
    log.info("%s: %d rows, %d features", dataset.name, *dataset.features.shape)
    registry = Registry(configured)
    with _cluster_for(chosen, configured, parameters, rows=len(parts.train_target)) as workers:
        tags = {
            **provenance.origin(chosen, configured),
            run_tags.DATA_SOURCE: dataset.source,
            run_tags.DATA_FINGERPRINT: dataset.fingerprint,
            **dataset.tags,
            **provenance.changed(registry, configured.experiment, dataset),
        }
        candidate = None
        try:
            with registry.run(configured.experiment, tags=tags, run_id=chosen.resume) as run_id:
                log.info("run %s in %s", run_id, configured.mlflow_tracking_uri)
                _log_dataset(dataset)
                if chosen.trials is not None and workers is not None:
                    from app.training.search import tuner  # noqa: PLC0415 - Ray Tune takes half a second to import

                    parameters = tuner.best(chosen, parameters, parts, workers, registry=registry, run_id=run_id)
                candidate = _candidate(chosen, parameters, parts, workers, dataset=dataset.name, tags=tags)
                return registration.publish(candidate, registry, model_name=configured.model_name, run_id=run_id)
        except MantaError as error:
            if candidate is None:
                raise
            how = registration.kept(candidate, run_id=run_id, configured=configured)
            raise type(error)(error.detail, allowed=error.allowed, next_step=how) from error


def _candidate(
    chosen: options.TrainOptions,
    parameters: Forest,
    parts: split.Split,
    workers: Cluster | None,
    *,
    dataset: str,
    tags: dict[str, str],
) -> Candidate:
    """Fit the forest, and put together what judges it."""
    started = time.perf_counter()
    model = _fit(parameters, parts, workers, seed=chosen.seed)
    fit_s = time.perf_counter() - started
    log.info("%d trees fitted in %.2f s", parameters.n_estimators, fit_s)
    return Candidate(
        model=model,
        rows=HeldOut(
            features=parts.test_features,
            target=parts.test_target,
            shares=parts.train_target.value_counts(normalize=True).to_dict(),
            how=f"{chosen.test_size:g} of the rows, seed {chosen.seed}",
        ),
        terms=Terms(metric=chosen.metric, margin=chosen.margin, force=chosen.force),
        promote=not chosen.no_promote,
        dataset=dataset,
        tags=tags,
        params=parameters.model_dump() | {"dataset": dataset, "test_size": chosen.test_size, "seed": chosen.seed},
        fit_s=fit_s,
    )


def _cluster_for(
    chosen: options.TrainOptions, configured: Settings, parameters: Forest, *, rows: int
) -> AbstractContextManager[Cluster | None]:
    """The cluster that the job runs in, where the work is worth it."""
    if configured.ray_address and (chosen.trials is not None or not _is_small(parameters, rows)):
        return ray_cluster.connected(configured.ray_address, timeout_s=chosen.timeout)
    if chosen.trials is not None:
        raise PlatformError(
            "A search runs on a Ray cluster, and RAY_ADDRESS names none.",
            next_step="Submit it as a job: manta train --trials 30, or ray job submit.",
        )
    return nullcontext()


def _is_small(parameters: Forest, rows: int) -> bool:
    return rows * parameters.n_estimators <= SMALL


def _fit(parameters: Forest, parts: split.Split, workers: Cluster | None, *, seed: int) -> RandomForestClassifier:
    """The forest, by the cluster's workers or by the cores of this process: it is the same, bit for bit."""
    model = RandomForestClassifier(**parameters.model_dump(), random_state=seed)
    if workers is None or _is_small(parameters, len(parts.train_target)):
        model.set_params(n_jobs=-1).fit(parts.train_features, parts.train_target)
        return model.set_params(n_jobs=None)
    said = time.monotonic()

    def tell(trees: int) -> None:
        nonlocal said
        if time.monotonic() - said >= PROGRESS_S:
            said = time.monotonic()
            log.info("%d of %d trees", trees, parameters.n_estimators)

    return distributed_forest.fit(model, parts.train_features, parts.train_target, cluster=workers, on_trees=tell)


def _log_dataset(dataset: sources.Dataset) -> None:
    """Record the data's source, schema and digest as an input of the run; the rows themselves are not uploaded."""
    is_location = "://" in dataset.source or sources.is_local_file(dataset.source)
    table = dataset.features.assign(**{str(dataset.target.name): dataset.target})
    mlflow.log_input(
        from_pandas(
            table,
            source=dataset.source if is_location else CodeDatasetSource(tags={"function": dataset.source}),
            targets=str(dataset.target.name),
            name=dataset.name,
            digest=dataset.fingerprint[:DIGEST_LENGTH],
        ),
        context="training",
    )


def run(chosen: options.TrainOptions) -> None:
    """Train, and print the result as the last line."""
    registration.start_log()
    registration.show(train(chosen, settings()))


def main() -> None:
    """Run `python -m app.train`."""
    run_command(single_command_app(options.command(run, help_text=HELP)))
