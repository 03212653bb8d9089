"""The trials of a search as nested runs in MLflow: written during the search, and read when a search resumes.

`app.training.search.tuner` chooses the parameters of the trials.
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
from ray.tune.experiment import Trial

from app.errors import MantaError
from app.training.models.code_errors import summarize
from app.training.models.parameters import ParameterValues

log = logging.getLogger("manta.train")

PARENT_TAG: Final = "mlflow.parentRunId"
"""MLflow's tag of a nested run."""

CONFIG_TAG: Final = "search.config"
"""Tag of a nested run: its parameters as JSON, because MLflow stores parameters as text."""

STATE_TAG: Final = "search.state"
"""Tag of a nested run that has ended: `COMPLETE` or `STOPPED`."""

COMPLETE: Final = "complete"
"""State of a trial that scored every fold."""

STOPPED: Final = "stopped early"
"""State of a trial that was stopped early, because other trials were better."""

SCORE_METRIC: Final = "cv_score"
"""Metric of a nested run: the mean score over the folds so far, one step per fold."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """The parameters and the score of a trial that has ended."""

    config: ParameterValues
    score: float
    """Mean over the folds that were scored."""
    is_complete: bool
    """Whether every fold was scored; otherwise the trial was stopped early."""


def read_ended_trials(client: MlflowClient, parent: Run) -> list[TrialResult]:
    """Read the trials of a run that have ended, and mark trials that a crash interrupted as killed.

    Raises:
        MlflowException: MLflow does not answer.
    """
    results = []
    nested_runs = client.search_runs(
        [parent.info.experiment_id],
        f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'",
        max_results=SEARCH_MAX_RESULTS_THRESHOLD,
    )
    for run in nested_runs:
        tags = run.data.tags
        if STATE_TAG in tags and CONFIG_TAG in tags and SCORE_METRIC in run.data.metrics:
            results.append(
                TrialResult(
                    config=json.loads(tags[CONFIG_TAG]),
                    score=run.data.metrics[SCORE_METRIC],
                    is_complete=tags[STATE_TAG] == COMPLETE,
                )
            )
        elif run.info.status == "RUNNING":
            client.set_terminated(run.info.run_id, "KILLED")
    return results


class TrialRecorder(Callback):
    """Ray Tune callback that records each trial as a nested run in MLflow.

    The search continues when MLflow does not answer; what could not be recorded is logged.

    Args:
        client: MLflow's client.
        parent: The run of the search.
        folds: Scores that a trial reports unless it is stopped early.
        earlier_count: Trials that ended before this search resumed.
        total_count: Trials in all, the earlier ones included.
    """

    def __init__(self, client: MlflowClient, parent: Run, *, folds: int, earlier_count: int, total_count: int) -> None:
        self.results: list[TrialResult] = []
        """Trials that have ended since this search started or resumed."""
        self.failures: list[str] = []
        """Reasons of the trials that failed."""
        self.folds = folds
        self._client = client
        self._parent = parent
        self._earlier_count = earlier_count
        self._total_count = total_count
        self._run_ids: dict[str, str] = {}

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_info: object) -> None:
        """Create the trial's run when the trial starts for the first time."""
        del iteration, trials
        if trial.trial_id in self._run_ids:
            return
        tags = {
            PARENT_TAG: self._parent.info.run_id,
            "mlflow.runName": f"trial {self._earlier_count + len(self._run_ids) + 1}",
            CONFIG_TAG: json.dumps(trial.config),
        }
        try:
            run_id = self._client.create_run(self._parent.info.experiment_id, tags=tags).info.run_id
            self._run_ids[trial.trial_id] = run_id
            for name, value in trial.config.items():
                self._client.log_param(run_id, name, value)
        except MlflowException as error:
            _log_failure(error)

    def on_trial_result(
        self,
        iteration: int,
        trials: list[Trial],
        trial: Trial,
        result: dict[str, Any],  # the type in Ray's `Callback`
        **_info: object,
    ) -> None:
        """Record the mean score over the folds so far."""
        del iteration, trials
        try:
            if trial.trial_id in self._run_ids:
                step = result["training_iteration"]
                self._client.log_metric(self._run_ids[trial.trial_id], SCORE_METRIC, result["score"], step=step)
        except MlflowException as error:
            _log_failure(error)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_info: object) -> None:
        """End the run of a trial that scored every fold or was stopped early."""
        del iteration, trials
        last_result = trial.last_result
        is_complete = last_result["training_iteration"] >= self.folds
        result = TrialResult(config=dict(trial.config), score=last_result["score"], is_complete=is_complete)
        self.results.append(result)
        state = COMPLETE if is_complete else STOPPED
        log.info(
            "trial %d of %d, %s: %.4f with %s",
            self._earlier_count + len(self.results),
            self._total_count,
            state,
            result.score,
            _format_config(result.config),
        )
        self._end_run(trial, "FINISHED", state)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_info: object) -> None:
        """End the run of a trial that failed, and log the reason."""
        del iteration, trials
        reason = _reason(trial)
        self.failures.append(reason)
        log.warning("a trial with %s failed: %s", _format_config(trial.config), reason)
        self._end_run(trial, "FAILED", None)

    def _end_run(self, trial: Trial, status: str, state: str | None) -> None:
        run_id = self._run_ids.get(trial.trial_id)
        if run_id is None:
            return
        try:
            if state is not None:
                self._client.set_tag(run_id, STATE_TAG, state)
            self._client.set_terminated(run_id, status)
        except MlflowException as error:
            _log_failure(error)


def _log_failure(error: MlflowException) -> None:
    log.warning("a trial could not be recorded in MLflow: %s", str(error).splitlines()[0][:200])


def _reason(trial: Trial) -> str:
    """Return the exception that ended a trial, without the frames of Ray."""
    error = trial.get_pickled_error()
    while (cause := getattr(error, "cause", None)) is not None:
        error = cause
    if error is None:
        return "Ray recorded no reason; see Ray's log of the workers."
    return str(error) if isinstance(error, MantaError) else summarize(error)


def _format_config(config: ParameterValues) -> str:
    return ", ".join(f"{name} {_format(value)}" for name, value in config.items())


def _format(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
