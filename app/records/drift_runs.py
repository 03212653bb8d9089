"""The runs of MLflow that hold the judgements of `manta drift`. `app.drift.job` writes them."""

import time
from dataclasses import dataclass
from typing import Final

import mlflow

from app.models import registry_errors
from app.settings import Settings

EXPERIMENT_SUFFIX: Final = "-drift"
"""End of the name of the experiment with the judgements: `manta-drift` beside the trainings in `manta`."""

MODEL_TAG: Final = "drift.model"
VERSION_TAG: Final = "drift.version"
VERDICT_TAG: Final = "drift.verdict"

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
    for run in runs:
        tags = run.data.tags
        if MODEL_TAG in tags and VERSION_TAG in tags:
            verdict = tags.get(VERDICT_TAG, "")
            judgement = DriftRun(
                model=tags[MODEL_TAG],
                version=tags[VERSION_TAG],
                metrics={} if verdict == NOT_ENOUGH_ROWS else dict(run.data.metrics),
                verdict=verdict,
                run_id=run.info.run_id,
                experiment_id=run.info.experiment_id,
                judged_ms=run.info.start_time,
            )
            newest.setdefault((judgement.model, judgement.version), judgement)
    return list(newest.values())
