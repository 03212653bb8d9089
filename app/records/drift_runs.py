"""The runs of MLflow that hold the judgements of `manta drift`. `app.drift.job` writes them."""

import time
from dataclasses import dataclass, replace
from typing import Final

import mlflow
from mlflow.entities import Run

from app.models import registry_errors
from app.settings import Settings

EXPERIMENT_SUFFIX: Final = "-drift"
"""End of the name of the experiment with the judgements: `manta-drift` beside the trainings in `manta`."""

MODEL_TAG: Final = "drift.model"
VERSION_TAG: Final = "drift.version"
VERDICT_TAG: Final = "drift.verdict"

DECISION_TAG: Final = "retrain.decision"
"""Tag of a scheduled judgement: whether retraining begins, and why."""

BEGAN_TAG: Final = "retrain.began_ms"
"""Tag of a judgement that began a retraining: when, in milliseconds since 1970."""

DRIFT: Final = "drift"
"""Metric of a run: 1 if there is drift, else 0. Also the verdict with drift."""

SCORE_FELL: Final = "score_fell"
"""Metric of a run: 1 if the estimated or the realised score fell, else 0."""

ESTIMATED_SCORE: Final = "estimated_score"
REALISED_SCORE: Final = "realised_score"

NOT_ENOUGH_ROWS: Final = "not enough rows"

MAX_RUNS: Final = 50
"""Number of runs that are read, and so the maximum number of versions with a judgement."""

MAX_AGE_DAYS: Final = 7
"""Older judgements do not count."""


@dataclass(frozen=True, kw_only=True)
class RetrainingDecision:
    """What the schedule decided about retraining after a judgement."""

    text: str
    """Whether retraining begins, and why."""
    begins: bool
    run_id: str
    """The run of the judgement."""
    judged_ms: int
    """When that run began, in milliseconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class DriftRun:
    """The judgement about a version."""

    model: str
    version: str
    metrics: dict[str, float]
    """The metrics of the run, by name; empty if the period had not enough rows."""
    verdict: str
    """`drift`, `no drift` or `not enough rows`."""
    run_id: str
    experiment_id: str
    judged_ms: int
    """When the run began, in milliseconds since 1970."""
    decision: RetrainingDecision | None = None
    """The last decision about retraining the version. An earlier run may hold it; None without one."""


def read_newest(settings: Settings) -> list[DriftRun]:
    """Read the newest judgement of each version, newest first.

    Raises:
        ModelNotFoundError, RegistryUnavailableError: MLflow does not answer, or refuses the request.
    """
    client = mlflow.MlflowClient(tracking_uri=settings.mlflow_tracking_uri)
    with registry_errors.of_lookup(settings.mlflow_tracking_uri, "The judgements of manta drift cannot be listed."):
        experiment = client.get_experiment_by_name(settings.experiment + EXPERIMENT_SUFFIX)
        if experiment is None:
            return []
        oldest_ms = round(1000 * (time.time() - MAX_AGE_DAYS * 86_400))
        runs = client.search_runs(
            [experiment.experiment_id],
            filter_string=f"attributes.status = 'FINISHED' AND attributes.start_time >= {oldest_ms}",
            max_results=MAX_RUNS,
            order_by=["attributes.start_time DESC"],
        )
    newest: dict[tuple[str, str], DriftRun] = {}
    for judgement in [_judgement(run) for run in runs if run.data.tags.keys() >= {MODEL_TAG, VERSION_TAG}]:
        key = (judgement.model, judgement.version)
        known = newest.setdefault(key, judgement)
        if known.decision is None:
            newest[key] = replace(known, decision=judgement.decision)
    return list(newest.values())


def _judgement(run: Run) -> DriftRun:
    tags, info = run.data.tags, run.info
    verdict = tags.get(VERDICT_TAG, "")
    decision = None
    if DECISION_TAG in tags:
        decision = RetrainingDecision(
            text=tags[DECISION_TAG], begins=BEGAN_TAG in tags, run_id=info.run_id, judged_ms=info.start_time
        )
    return DriftRun(
        model=tags[MODEL_TAG],
        version=tags[VERSION_TAG],
        metrics={} if verdict == NOT_ENOUGH_ROWS else dict(run.data.metrics),
        verdict=verdict,
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        judged_ms=info.start_time,
        decision=decision,
    )
