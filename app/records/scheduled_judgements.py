"""The scheduled judgements about one model in MLflow, and the retraining that a judgement began.

`app.records.drift_runs` names the other tags of these runs. `app.drift.retraining` decides when to retrain.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import mlflow
from mlflow.entities import Run, RunTag

from app.models import registry_errors
from app.records.drift_runs import (
    BEGAN_TAG,
    DECISION_TAG,
    DRIFT,
    EXPERIMENT_SUFFIX,
    MODEL_TAG,
    SCORE_FELL,
    VERSION_TAG,
)
from app.settings import Settings

SCHEDULED_TAG: Final = "drift.scheduled"
"""Tag of a judgement that a schedule started: `true`. A judgement by `manta drift` does not have it."""


@dataclass(frozen=True, kw_only=True)
class ScheduledJudgement:
    """The result of a scheduled judgement about a version."""

    version: str
    score_fell: bool
    has_drift: bool


class ScheduledJudgements:
    """The scheduled judgements about the model that the settings name.

    Args:
        settings: URL of MLflow, the experiment of the trainings, and the registered model.
    """

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.mlflow_tracking_uri
        self._model = settings.model_name
        self._client = mlflow.MlflowClient(tracking_uri=self._uri)
        self._experiment = settings.experiment + EXPERIMENT_SUFFIX
        self._of_model = f"tags.`{MODEL_TAG}` = '{settings.model_name}'"

    def newest(self, count: int) -> list[ScheduledJudgement]:
        """Read the newest scheduled judgements, newest first, whichever versions they are about.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        runs = self._search(f"tags.`{SCHEDULED_TAG}` = 'true' AND attributes.status = 'FINISHED'", count)
        return [
            ScheduledJudgement(
                version=run.data.tags.get(VERSION_TAG, ""),
                score_fell=run.data.metrics.get(SCORE_FELL) == 1,
                has_drift=run.data.metrics.get(DRIFT) == 1,
            )
            for run in runs
        ]

    def last_retraining(self) -> datetime | None:
        """Read when the last retraining began; None if there was none.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        runs = self._search(f"tags.`{BEGAN_TAG}` LIKE '%'", 1)
        return datetime.fromtimestamp(int(runs[0].data.tags[BEGAN_TAG]) / 1000, UTC) if runs else None

    def training_run(self, version: str) -> Run:
        """Look up the run that trained a version of the model.

        Raises:
            ModelNotFoundError: The version or its run was deleted, or the version has no run.
            RegistryUnavailableError: MLflow does not answer.
        """
        missing = f"Version {version} of {self._model!r} or its run does not exist."
        with registry_errors.of_lookup(self._uri, missing, next_step="Train the model once with manta train."):
            run_id = self._client.get_model_version(self._model, version).run_id
            return self._client.get_run(str(run_id))

    def record(self, run_id: str, decision: str, *, began: datetime | None) -> None:
        """Write a decision into the run of the judgement that caused it.

        Args:
            run_id: The run.
            decision: Whether retraining begins, and why.
            began: When retraining began; None if it does not begin.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        tags = {DECISION_TAG: decision}
        if began is not None:
            tags[BEGAN_TAG] = str(round(1000 * began.timestamp()))
        with registry_errors.of_lookup(self._uri, f"The judgement {run_id} does not exist."):
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])

    def _search(self, condition: str, count: int) -> list[Run]:
        with registry_errors.of_lookup(self._uri, "The judgements of the schedule cannot be listed."):
            experiment = self._client.get_experiment_by_name(self._experiment)
            if experiment is None:
                return []
            return list(
                self._client.search_runs(
                    [experiment.experiment_id],
                    filter_string=f"{self._of_model} AND {condition}",
                    max_results=count,
                    order_by=["attributes.start_time DESC"],
                )
            )
