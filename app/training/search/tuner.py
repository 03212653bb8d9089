"""The search for a forest's parameters: trials by Ray Tune and Optuna, cross-validated on the training rows alone.

What a trial may try is decided in `app.training.hyperparameters`, and how trials are recorded in
`app.training.search.trial_runs`.
"""

import json
import logging
import tempfile
from collections.abc import Callable
from typing import Any, Final

import numpy as np
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
from app.training.data.split import Split
from app.training.evaluation.resampled_metrics import LOSSES
from app.training.hyperparameters import Forest, Range, Space, defaults_in, is_whole, parse_space
from app.training.options import FOLDS, TrainOptions
from app.training.ray_cluster import Cluster
from app.training.search.objective import score_folds
from app.training.search.trial_runs import Recorder, Trial, ended

log = logging.getLogger("manta.train")

KEPT_SHARE: Final = 2
"""After one fold, two and four, a trial goes on if it is among the better half of those that came so far."""

RETRIES: Final = 3
"""How often a trial starts again after its worker was lost."""

TERMS_TAG: Final = "search.terms"
"""Tag of a run: what its search was asked for, so that no other one resumes it."""


def best(
    chosen: TrainOptions, fixed: Forest, parts: Split, workers: Cluster, *, registry: Registry, run_id: str
) -> Forest:
    """Search the space and give the parameters that did best over all folds.

    Args:
        chosen: How many trials, over which space, by which metric.
        fixed: Parameters that are given; those of the space are searched all the same unless an option set them.
        parts: Of which only the training rows are looked at.
        workers: The cluster that runs trials side by side.
        registry: Where the nested runs go.
        run_id: The run of the search. If it holds trials already they count, and Optuna learns from them.

    Raises:
        ParameterError: The run to resume searched something else.
        PlatformError: No trial came to its end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    client = MlflowClient(tracking_uri=registry.uri)
    parent = client.get_run(run_id)
    space = {name: domain for name, domain in parse_space(chosen.space).items() if name not in chosen.forest()}
    folds, wanted = chosen.folds or FOLDS, chosen.trials or 0
    _check_terms(client, parent.data.tags, run_id, _terms(chosen, fixed, space, parts, folds))
    earlier = ended(client, parent)
    log.info(
        "%d of %d trials are done; a search that is cut off goes on with --resume %s", len(earlier), wanted, run_id
    )
    recorder = Recorder(client, parent, folds=folds, earlier=len(earlier), wanted=wanted)
    if len(earlier) < wanted:
        # The first trial is scikit-learn's own forest, so that the search ends no worse than it.
        start = defaults_in(space, columns=parts.train_features.shape[1])
        mode = "min" if chosen.metric in LOSSES else "max"
        searcher = OptunaSearch(
            {name: distribution(name, domain) for name, domain in space.items()},
            metric="score",
            mode=mode,
            # With the same seed a resumed search would propose what was tried already.
            seed=(chosen.seed + len(earlier)) % 2**32,
            points_to_evaluate=[start] if start is not None and not earlier else None,
        )
        for trial in earlier:
            searcher.add_evaluated_point(trial.config, trial.score, pruned=not trial.is_complete)
        _run(_objective(chosen, fixed, parts, folds), searcher, recorder, workers, trials=wanted - len(earlier))
    sign = -1 if chosen.metric in LOSSES else 1
    complete = [trial for trial in [*earlier, *recorder.trials] if trial.is_complete]
    if not complete:
        raise PlatformError(
            "No trial came to its end.", next_step=f"See Ray's log of the workers, then go on with --resume {run_id}."
        )
    winner: Trial = max(complete, key=lambda trial: sign * trial.score)
    log.info("the best of %d trials has %s %.4f", len(earlier) + len(recorder.trials), chosen.metric, winner.score)
    return Forest.model_validate(fixed.model_dump() | winner.config)


def distribution(name: str, domain: Range | list[Any]) -> BaseDistribution:
    """What Optuna draws a parameter from."""
    if isinstance(domain, list):
        return CategoricalDistribution(domain)
    if is_whole(name):
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(float(domain.low), float(domain.high), log=domain.log)


def _objective(chosen: TrainOptions, fixed: Forest, parts: Split, folds: int) -> Callable[..., None]:
    """A trial with its data in the object store, once for all."""
    objective: Callable[..., None] = tune.with_parameters(
        score_folds,
        rows=np.ascontiguousarray(parts.train_features, dtype=np.float32),
        labels=np.unique(parts.train_target, return_inverse=True)[1],
        fixed=fixed.model_dump(),
        metric=chosen.metric,
        folds=folds,
        seed=chosen.seed,
    )
    return objective


def _run(
    objective: Callable[..., None], searcher: OptunaSearch, recorder: Recorder, workers: Cluster, *, trials: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="manta-search-") as folder:
        tune.Tuner(
            tune.with_resources(objective, {"cpu": workers.share}),
            tune_config=tune.TuneConfig(
                metric="score",
                mode=searcher.mode,
                search_alg=searcher,
                scheduler=ASHAScheduler(max_t=recorder.folds, grace_period=1, reduction_factor=KEPT_SHARE),
                num_samples=trials,
                max_concurrent_trials=workers.lanes,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                callbacks=[recorder, JsonLoggerCallback()],  # type: ignore[no-untyped-call]
                failure_config=tune.FailureConfig(max_failures=RETRIES),
                verbose=0,
            ),
        ).fit()


def _terms(chosen: TrainOptions, fixed: Forest, space: Space, parts: Split, folds: int) -> dict[str, Any]:
    """All that decides what a trial's score means."""
    return {
        "space": {name: d if isinstance(d, list) else d.model_dump() for name, d in sorted(space.items())},
        "fixed": fixed.model_dump(exclude=set(space)),
        "metric": chosen.metric,
        "folds": folds,
        "seed": chosen.seed,
        "test_size": chosen.test_size,
        "training_rows": len(parts.train_target),
    }


def _check_terms(client: MlflowClient, tags: dict[str, str], run_id: str, terms: dict[str, Any]) -> None:
    """Remember what the run searches, or make sure that it is what it searched before."""
    if TERMS_TAG not in tags:
        client.set_tag(run_id, TERMS_TAG, json.dumps(terms))
        return
    before = json.loads(tags[TERMS_TAG])
    differing = [name for name in terms if terms[name] != before.get(name)]
    if differing:
        raise ParameterError(
            f"The run {run_id} searched with another {' and '.join(differing)}, so that its trials do not count here.",
            next_step="Give the same options as before, or drop --resume.",
        )
