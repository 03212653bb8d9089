"""The trials of a search as nested runs in MLflow: written as they go on, and read again by a search that resumes.

Which trials there are is decided in `app.training.search.tuner`.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any, Final

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.tracking import SEARCH_MAX_RESULTS_THRESHOLD
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial

log = logging.getLogger("manta.train")

PARENT_TAG: Final = "mlflow.parentRunId"
"""MLflow's own tag of a nested run."""

CONFIG_TAG: Final = "search.config"
"""Tag of a nested run: its parameters as JSON, because MLflow's own parameters are text."""

STATE_TAG: Final = "search.state"
"""Tag of a nested run that has ended: one of the next two."""

COMPLETE: Final = "complete"
STOPPED: Final = "stopped early"

SCORE: Final = "cv_score"
"""Metric of a nested run: the mean over the folds so far, one step a fold."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Parameters that were tried, and how they did."""

    config: dict[str, Any]
    score: float
    """Mean over the folds that were scored."""
    is_complete: bool
    """Whether that was all of them; otherwise it was stopped early, because others did better."""


def ended(client: MlflowClient, parent: Run) -> list[Trial]:
    """The trials of a run that have ended; those that a crash cut off are marked as killed.

    Raises:
        MlflowException: MLflow does not answer.
    """
    found = []
    of_parent = f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'"
    nested = client.search_runs([parent.info.experiment_id], of_parent, max_results=SEARCH_MAX_RESULTS_THRESHOLD)
    for run in nested:
        tags = run.data.tags
        if STATE_TAG in tags and CONFIG_TAG in tags and SCORE in run.data.metrics:
            found.append(
                Trial(
                    config=json.loads(tags[CONFIG_TAG]),
                    score=run.data.metrics[SCORE],
                    is_complete=tags[STATE_TAG] == COMPLETE,
                )
            )
        elif run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    return found


class Recorder(Callback):
    """Writes what Ray Tune reports into nested runs.

    A search outlives MLflow: what cannot be written is left out, and the log says so.

    Args:
        client: MLflow's.
        parent: The run of the search.
        folds: Scores that a trial reports if it is not stopped early.
        earlier: Trials that have ended before.
        wanted: Trials in all.
    """

    def __init__(self, client: MlflowClient, parent: Run, *, folds: int, earlier: int, wanted: int) -> None:
        self.trials: list[Trial] = []
        """Those that have ended here."""
        self._client = client
        self._parent = parent
        self.folds = folds
        self._earlier = earlier
        self._wanted = wanted
        self._runs: dict[str, str] = {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: object) -> None:
        """Open the trial's run, the first time that it starts."""
        del iteration, trials
        if trial.trial_id in self._runs:
            return
        tags = {
            PARENT_TAG: self._parent.info.run_id,
            "mlflow.runName": f"trial {self._earlier + len(self._runs) + 1}",
            CONFIG_TAG: json.dumps(trial.config),
        }
        try:
            run_id = self._client.create_run(self._parent.info.experiment_id, tags=tags).info.run_id
            self._runs[trial.trial_id] = run_id
            for name, value in trial.config.items():
                self._client.log_param(run_id, name, value)
        except MlflowException as error:
            _say(error)

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **_info: object
    ) -> None:
        """Write the mean over the folds so far."""
        del iteration, trials
        try:
            if trial.trial_id in self._runs:
                step = result["training_iteration"]
                self._client.log_metric(self._runs[trial.trial_id], SCORE, result["score"], step=step)
        except MlflowException as error:
            _say(error)

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: object) -> None:
        """Close the run of a trial that has scored all folds, or that was stopped early."""
        del iteration, trials
        last = trial.last_result
        is_complete = last["training_iteration"] >= self.folds
        self.trials.append(Trial(config=dict(trial.config), score=last["score"], is_complete=is_complete))
        state = COMPLETE if is_complete else STOPPED
        log.info(
            "trial %d of %d, %s: %.4f with %s",
            self._earlier + len(self.trials),
            self._wanted,
            state,
            last["score"],
            ", ".join(f"{name} {_short(value)}" for name, value in trial.config.items()),
        )
        self._close(trial, "FINISHED", state)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_info: object) -> None:
        """Close the run of a trial that failed."""
        del iteration, trials
        self._close(trial, "FAILED", None)

    def _close(self, trial: TuneTrial, status: str, state: str | None) -> None:
        run_id = self._runs.get(trial.trial_id)
        if run_id is None:
            return
        try:
            if state is not None:
                self._client.set_tag(run_id, STATE_TAG, state)
            self._client.set_terminated(run_id, status)
        except MlflowException as error:
            _say(error)


def _say(error: MlflowException) -> None:
    log.warning("a trial is not in MLflow: %s", str(error).splitlines()[0][:200])


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
