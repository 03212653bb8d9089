"""The hyperparameter search with Ray Tune and Optuna, cross-validated on the training rows only.

`app.training.models.search_space` defines the search space. `app.training.search.trial_runs` records the trials.
"""

import json
import logging
import tempfile
from collections.abc import Callable
from typing import Final

import optuna
from mlflow import MlflowClient
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from app.errors import ParameterError, PlatformError
from app.models.registry import Registry
from app.training import run_tags
from app.training.data.folds import folds as divide
from app.training.data.split import Split
from app.training.evaluation.metrics import find_metric
from app.training.inputs import Inputs
from app.training.models.parameters import Parameters, ParameterValues, to_json
from app.training.models.search_space import Domain, contains, is_integer
from app.training.options import DEFAULT_FOLDS, TrainOptions
from app.training.ray_cluster import RayWorkers
from app.training.search.objective import score_folds
from app.training.search.trial_runs import TrialRecorder, TrialResult, read_ended_trials

log = logging.getLogger("manta.train")

REDUCTION_FACTOR: Final = 2
"""After one, two and four folds a trial continues if it is in the better half of the trials so far."""

MAX_RETRIES: Final = 3
"""How often a trial starts again after its worker was lost."""


def search(
    options: TrainOptions,
    inputs: Inputs,
    split: Split,
    workers: RayWorkers,
    *,
    metric: str,
    registry: Registry,
    run_id: str,
) -> ParameterValues:
    """Search the space, and return the parameters with the best score over all folds.

    Args:
        options: Number of trials, number of folds and seed.
        inputs: The model, the search space, and the parameters without a search.
        split: The data; the search uses only the training rows.
        workers: The CPUs of the cluster, which runs trials in parallel.
        metric: Metric of the score.
        registry: Where the nested runs are recorded.
        run_id: The run of the search. Trials that it already has count, and Optuna learns from them.

    Raises:
        ParameterError: The run to resume searched with other options.
        PlatformError: No trial scored every fold. The message has the reason of the last trial that failed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    client = MlflowClient(tracking_uri=registry.uri)
    parent = client.get_run(run_id)
    folds, trial_count = options.folds or DEFAULT_FOLDS, options.trials or 0
    _check_conditions(client, parent.data.tags, run_id, _conditions(options, inputs, split, folds, metric))
    earlier_trials = read_ended_trials(client, parent)
    log.info(
        "%d of %d trials are done; to continue this search after an interruption: --resume %s",
        len(earlier_trials),
        trial_count,
        run_id,
    )
    recorder = TrialRecorder(client, parent, folds=folds, earlier_count=len(earlier_trials), total_count=trial_count)
    if len(earlier_trials) < trial_count:
        searcher = _searcher(options, inputs, earlier_trials, metric)
        objective = _objective(options, inputs, split, folds, metric)
        _run_trials(objective, searcher, recorder, workers, count=trial_count - len(earlier_trials))
    sign = find_metric(metric).sign
    complete = [trial for trial in [*earlier_trials, *recorder.results] if trial.is_complete]
    if not complete:
        reason = f" The last trial that failed: {recorder.failures[-1]}" if recorder.failures else ""
        raise PlatformError(
            f"No trial scored every fold.{reason}",
            next_step=f"Correct the reason. If neither the file nor the options change: --resume {run_id}",
        )
    best = max(complete, key=lambda trial: sign * trial.score)
    log.info("the best of %d trials has %s %.4f", len(earlier_trials) + len(recorder.results), metric, best.score)
    return inputs.parameters | best.config


def distribution(name: str, domain: Domain, parameters: Parameters) -> BaseDistribution:
    """Return the Optuna distribution of a parameter."""
    if isinstance(domain, list):
        return CategoricalDistribution(domain)
    if is_integer(name, domain, parameters):
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(float(domain.low), float(domain.high), log=domain.log)


def _searcher(options: TrainOptions, inputs: Inputs, earlier_trials: list[TrialResult], metric: str) -> OptunaSearch:
    """Create Optuna's searcher, and add the earlier trials to it."""
    # The first trial has the default parameters, so the best trial is at least as good as the defaults.
    point = inputs.definition.default_point(feature_count=inputs.dataset.rows.features.shape[1])
    defaults = {name: point[name] for name in inputs.space} if contains(inputs.space, point) else None
    parameters = inputs.definition.parameters
    searcher = OptunaSearch(
        {name: distribution(name, domain, parameters) for name, domain in inputs.space.items()},
        metric="score",
        mode="min" if find_metric(metric).is_loss else "max",
        # With the same seed a resumed search would propose the parameters of the earlier trials again.
        seed=(options.seed + len(earlier_trials)) % 2**32,
        points_to_evaluate=[defaults] if defaults is not None and not earlier_trials else None,
    )
    for trial in earlier_trials:
        searcher.add_evaluated_point(trial.config, trial.score, pruned=not trial.is_complete)
    return searcher


def _objective(options: TrainOptions, inputs: Inputs, split: Split, folds: int, metric: str) -> Callable[..., None]:
    """Bind the objective to its data, which goes into Ray's object store once."""
    objective: Callable[..., None] = tune.with_parameters(
        score_folds,
        definition=inputs.definition,
        rows=split.train,
        folds=list(divide(split.train, task=inputs.task, count=folds, seed=options.seed)),
        fixed_parameters=inputs.parameters,
        metric=metric,
        seed=options.seed,
    )
    return objective


def _run_trials(
    objective: Callable[..., None], searcher: OptunaSearch, recorder: TrialRecorder, workers: RayWorkers, *, count: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="manta-search-") as folder:
        tune.Tuner(
            tune.with_resources(objective, {"cpu": workers.cpus_per_task}),
            tune_config=tune.TuneConfig(
                metric="score",
                mode=searcher.mode,
                search_alg=searcher,
                scheduler=ASHAScheduler(max_t=recorder.folds, grace_period=1, reduction_factor=REDUCTION_FACTOR),
                num_samples=count,
                max_concurrent_trials=workers.parallel_tasks,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                callbacks=[recorder, JsonLoggerCallback()],  # type: ignore[no-untyped-call] # Ray's API has no types
                failure_config=tune.FailureConfig(max_failures=MAX_RETRIES),
                verbose=0,
            ),
        ).fit()


def _conditions(options: TrainOptions, inputs: Inputs, split: Split, folds: int, metric: str) -> dict[str, object]:
    """Return everything that the score of a trial depends on, except the parameters of the trial, for JSON."""
    fixed = {name: value for name, value in inputs.parameters.items() if name not in inputs.space}
    return {
        "space": {
            name: domain if isinstance(domain, list) else domain.model_dump()
            for name, domain in sorted(inputs.space.items())
        },
        "fixed": json.loads(to_json(fixed)),
        **inputs.definition.tags,
        "metric": metric,
        "folds": folds,
        "seed": options.seed,
        "test_size": options.test_size,
        "training_rows": len(split.train.target),
    }


def _check_conditions(client: MlflowClient, tags: dict[str, str], run_id: str, conditions: dict[str, object]) -> None:
    """Record the conditions of a new search, or check that a resumed search has the recorded ones.

    Raises:
        ParameterError: The resumed search has other conditions.
    """
    if run_tags.SEARCH_CONDITIONS not in tags:
        client.set_tag(run_id, run_tags.SEARCH_CONDITIONS, json.dumps(conditions))
        return
    recorded_conditions = json.loads(tags[run_tags.SEARCH_CONDITIONS])
    differing = [name for name in conditions if conditions[name] != recorded_conditions.get(name)]
    if differing:
        raise ParameterError(
            f"The run {run_id} searched with another {' and '.join(differing)}, so its trials cannot be used here.",
            next_step="Give the same options as before, or drop --resume.",
        )
