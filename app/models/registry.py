"""The client of MLflow: runs, model versions, aliases and artifacts. No other module calls MLflow's registry.

`app.models.artifact` decides which versions may serve. `app.serving.fleet.load` decides how the fleet changes its
version.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from app import names
from app.errors import MantaError, ModelNotFoundError, RegistryUnavailableError
from app.models import artifact
from app.settings import Settings

GATE_TAG: Final = "gate"
"""Tag of a model version: the verdict of the promotion gate on held-out rows, `passed` or `failed`."""

PASSED: Final = "passed"
FAILED: Final = "failed"

HELD_OUT_TAG: Final = "data.held_out"
"""Tag of a model version: which rows were held out of training."""

NOT_FOUND_CODES: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})
"""MLflow's error codes for an unknown name, version or alias. The last one stands for a malformed name or version."""


class Registry:
    """A client of one MLflow server.

    Args:
        settings: Settings with the URL of MLflow. MLflow's client reads user and password from the environment.
    """

    def __init__(self, settings: Settings) -> None:
        self.uri = settings.mlflow_tracking_uri
        self._client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        """Look up a version by number or alias, or, without both, the newest version that passed its gate.

        Raises:
            ModelNotFoundError: The model, version or alias does not exist, or no version passed its gate.
            RegistryUnavailableError: MLflow does not answer.
        """
        if version is not None:
            with self._errors(f"There is no version {version} of {name!r}.", next_step=_versions_hint(name)):
                return _copy_fields(self._client.get_model_version(name, version))
        if alias is not None:
            with self._errors(f"{name!r} has no alias {alias!r}.", next_step=_versions_hint(name)):
                return _copy_fields(self._client.get_model_version_by_alias(name, alias))
        return self._newest_passed(name)

    def champion(self, name: str) -> ModelVersion | None:
        """Look up the version that the alias `champion` names; None if the model or the alias does not exist yet.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        try:
            return self.find(name, alias=names.CHAMPION)
        except ModelNotFoundError:
            return None

    def tags(self, version: ModelVersion) -> dict[str, str]:
        """Look up the tags of a version.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            return dict(self._client.get_model_version(version.name, version.version).tags)

    def fetch(self, version: ModelVersion) -> artifact.Artifact:
        """Download a version and read it without running code from its files.

        Raises:
            ModelNotFoundError: The files of the version were deleted.
            ModelRefusedError: The version cannot serve; see `app.models.artifact.read`.
            RegistryUnavailableError: MLflow or its artifact store does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="manta-model-") as folder:
            with self._errors(f"The files of {version.name} version {version.version} were deleted."):
                mlflow.artifacts.download_artifacts(
                    artifact_uri=f"models:/{version.name}/{version.version}",
                    dst_path=folder,
                    tracking_uri=self.uri,
                    registry_uri=self.uri,
                )
            return artifact.read(Path(folder), label=f"{version.name} version {version.version}")

    def get_run(self, run_id: str) -> Run:
        """Look up a run, with its tags and parameters.

        Raises:
            ModelNotFoundError: The run does not exist.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no run {run_id!r}.", next_step="See MLflow's page for the ids of all runs."):
            return self._client.get_run(run_id)

    def last_run(self, experiment: str, dataset: str) -> Run | None:
        """Look up the newest finished run of an experiment that used a data set; None if there is none.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        quote = '"' if "'" in dataset else "'"
        with self._errors(f"The runs of {experiment!r} cannot be listed."):
            stored_experiment = self._client.get_experiment_by_name(experiment)
            if stored_experiment is None or quote in dataset:
                return None
            runs = self._client.search_runs(
                [stored_experiment.experiment_id],
                filter_string=f"params.dataset = {quote}{dataset}{quote} AND attributes.status = 'FINISHED'",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
        return runs[0] if runs else None

    def promote(self, version: ModelVersion) -> None:
        """Move the alias `champion` to a version.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            self._client.set_registered_model_alias(version.name, names.CHAMPION, version.version)

    def restore_champion(self, version: ModelVersion, champion: str | None) -> None:
        """Move the alias `champion` back from a version, unless it names another version by now.

        Args:
            version: The version that the alias may name.
            champion: Number of the version that the alias named before; None if there was no alias.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        current = self.champion(version.name)
        if current is None or str(current.version) != str(version.version):
            return
        with self._errors(f"There is no version {champion} of {version.name!r}."):
            if champion is None:
                self._client.delete_registered_model_alias(version.name, names.CHAMPION)
            else:
                self._client.set_registered_model_alias(version.name, names.CHAMPION, champion)

    @contextmanager
    def run(self, experiment: str, *, tags: Mapping[str, str], run_id: str | None = None) -> Iterator[str]:
        """Open an MLflow run for `mlflow.log_*`. If the block raises, the run is marked as failed.

        Args:
            experiment: Experiment of the run. It is created if it does not exist.
            tags: Tags of the run.
            run_id: Run to continue; None creates a run.

        Yields:
            The run's id.

        Raises:
            ModelNotFoundError: The run does not exist.
            RegistryUnavailableError: MLflow does not answer, at the start or in the block.
        """
        failure = (
            f"There is no run {run_id!r} in the experiment" if run_id else "No run can be created in the experiment"
        )
        with self._errors(f"{failure} {experiment!r}."):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_experiment(experiment)
            with mlflow.start_run(run_id=run_id, tags=dict(tags)) as active:
                yield str(active.info.run_id)

    def register(self, name: str, *, model_uri: str, description: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a logged model as the next version of a registered model.

        Args:
            name: The registered model. It is created if it does not exist.
            model_uri: URI of the logged model, from `app.models.artifact.log`.
            description: One line that MLflow's page shows.
            tags: Tags of the version, such as the verdict of the gate.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"{model_uri} cannot be registered as {name!r}."):
            version = mlflow.register_model(model_uri, name, tags=dict(tags))
            self._client.update_model_version(name, version.version, description)
            return self._client.get_model_version(name, version.version)

    def _newest_passed(self, name: str) -> ModelVersion:
        train = "Train and register a model: manta train."
        with self._errors(f"There is no registered model {name!r}.", next_step=train):
            self._client.get_registered_model(name)
            versions = self._client.search_model_versions(
                f"name = '{name}' AND tags.`{GATE_TAG}` = '{PASSED}'", max_results=1, order_by=["version_number DESC"]
            )
        if not versions:
            raise ModelNotFoundError(
                f"No version of {name!r} passed its gate.",
                next_step=f"{train} Or name a version to load it without the gate.",
            )
        return _copy_fields(versions[0])

    @contextmanager
    def _errors(self, not_found: str, *, next_step: str = "") -> Iterator[None]:
        """Convert MLflow's exceptions. `not_found` is the message if MLflow answers that something does not exist."""
        try:
            yield
        except MlflowException as error:
            raise self._convert(error, not_found, next_step) from error
        except OSError as error:  # the artifact store closed the connection during a download
            raise self._unavailable(str(error)) from error

    def _convert(self, error: MlflowException, not_found: str, next_step: str) -> MantaError:
        if error.error_code in NOT_FOUND_CODES:
            return ModelNotFoundError(not_found, next_step=next_step)
        return self._unavailable(str(error).splitlines()[0][:300])

    def _unavailable(self, reason: str) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"MLflow at {self.uri} failed to answer: {reason}",
            next_step="Check that MLflow runs, and check MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD.",
        )


def _copy_fields(version: ModelVersion) -> ModelVersion:
    """Copy the fields that replicas send to each other: MLflow's object holds protocol buffers, which do not pickle."""
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        creation_timestamp=version.creation_timestamp,
        description=version.description,
        current_stage=version.current_stage,
    )


def _versions_hint(name: str) -> str:
    return f"See MLflow's page for all models and versions, or register a version of {name!r}: manta train."
