"""The newest trainings of an experiment in MLflow, with the gate's verdict and the version that each registered."""

from dataclasses import dataclass

import mlflow
from mlflow.entities import Run

from app import names
from app.models import registry_errors
from app.models.version_choice import GATE_TAG, REASON_TAG


@dataclass(frozen=True, kw_only=True)
class RecentTraining:
    """The run of a training, or of a model that was registered from a file."""

    run_id: str
    experiment_id: str
    name: str
    """Name of the run."""
    state: str
    """MLflow's status of the run: `RUNNING`, `FINISHED`, `FAILED` or `KILLED`."""
    started_ms: int
    """When it began, in milliseconds since 1970."""
    ended_ms: int | None
    """When it ended; None while it runs."""
    gate: str
    """Verdict of the gate: `passed`, `failed` or `forced`; empty before the gate."""
    reason: str
    """What the gate compared, in sentences; empty before the gate."""
    model: str
    """Registered model of the version; empty without a version."""
    version: str
    """Number of the version that the training registered; empty without one."""
    judgement: str
    """Run of the judgement of drift that began the training; empty for another training."""


class RecentTrainings:
    """Reads the trainings of one experiment.

    Args:
        uri: URL of MLflow.
        experiment: Name of the experiment.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self._experiment = experiment
        self._client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def read(self, count: int) -> list[RecentTraining]:
        """Read the newest trainings, newest first, by three requests.

        Args:
            count: Maximum number of trainings.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        with registry_errors.of_lookup(self.uri, f"The runs of {self._experiment!r} cannot be listed."):
            experiment = self._client.get_experiment_by_name(self._experiment)
            if experiment is None:
                return []
            runs = self._client.search_runs(
                [experiment.experiment_id],
                filter_string=f"tags.`{names.DATA_FINGERPRINT_TAG}` LIKE '%'",
                max_results=count,
                order_by=["attributes.start_time DESC"],
            )
            versions = self._versions([run.info.run_id for run in runs])
        return [_training(run, *versions.get(run.info.run_id, ("", ""))) for run in runs]

    def _versions(self, run_ids: list[str]) -> dict[str, tuple[str, str]]:
        """Return the model and the version that each run registered, by the id of the run."""
        if not run_ids:
            return {}
        quoted = ", ".join(f"'{run_id}'" for run_id in run_ids)
        versions = self._client.search_model_versions(f"run_id IN ({quoted})", max_results=2 * len(run_ids))
        return {str(version.run_id): (version.name, str(version.version)) for version in versions}


def _training(run: Run, model: str, version: str) -> RecentTraining:
    info, tags = run.info, run.data.tags
    return RecentTraining(
        run_id=info.run_id,
        experiment_id=info.experiment_id,
        name=info.run_name or info.run_id,
        state=info.status,
        started_ms=info.start_time,
        ended_ms=info.end_time,
        gate=tags.get(GATE_TAG, ""),
        reason=tags.get(REASON_TAG, ""),
        model=model,
        version=version,
        judgement=tags.get(names.RETRAIN_JUDGEMENT_TAG, ""),
    )
