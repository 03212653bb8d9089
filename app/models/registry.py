"""MLflow's model registry: the only module that speaks to it, for runs, versions, aliases and artifacts.

`app.models.artifact` decides which versions may serve. `app.serving.fleet.load` decides how the fleet moves between
versions.
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
"""Tag of a version: `passed` or `failed`, as training found it on held-out rows."""

PASSED: Final = "passed"
FAILED: Final = "failed"

HELD_OUT_TAG: Final = "data.held_out"
"""Tag of a version: which rows training held out."""

NOT_FOUND_CODES: Final = frozenset({"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"})
"""MLflow's codes for a name, version or alias that it does not hold; a malformed one is among them."""


class Registry:
    """A client of one MLflow server.

    Args:
        settings: Where MLflow answers. User and password, if any, are read by MLflow's client itself.
    """

    def __init__(self, settings: Settings) -> None:
        self.uri = settings.mlflow_tracking_uri
        self._client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        """Look up a version by its number or alias, or the newest that passed its gate.

        Raises:
            ModelNotFoundError: There is no such model, version or alias, or none that passed.
            RegistryUnavailableError: MLflow does not answer.
        """
        if version is not None:
            with self._errors(f"There is no version {version} of {name!r}.", next_step=_versions_hint(name)):
                return _portable(self._client.get_model_version(name, version))
        if alias is not None:
            with self._errors(f"{name!r} has no alias {alias!r}.", next_step=_versions_hint(name)):
                return _portable(self._client.get_model_version_by_alias(name, alias))
        return self._newest_passed(name)

    def champion(self, name: str) -> ModelVersion | None:
        """The version that the alias `champion` names, or None where there is no model or no alias yet.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        try:
            return self.find(name, alias=names.CHAMPION)
        except ModelNotFoundError:
            return None

    def tags(self, version: ModelVersion) -> dict[str, str]:
        """The tags of a version.

        Raises:
            ModelNotFoundError: It was deleted meanwhile.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            return dict(self._client.get_model_version(version.name, version.version).tags)

    def fetch(self, version: ModelVersion) -> artifact.Artifact:
        """Download a version and read it without running code from it.

        Raises:
            ModelRefusedError: It must not serve; the message says why.
            RegistryUnavailableError: MLflow, or the store behind it, does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="manta-model-") as folder:
            with self._errors(f"The files of {version.name} version {version.version} are gone."):
                mlflow.artifacts.download_artifacts(
                    artifact_uri=f"models:/{version.name}/{version.version}",
                    dst_path=folder,
                    tracking_uri=self.uri,
                    registry_uri=self.uri,
                )
            return artifact.read(Path(folder), label=f"{version.name} version {version.version}")

    def recorded(self, run_id: str) -> Run:
        """Look up a run, with its tags and parameters.

        Raises:
            ModelNotFoundError: There is no such run.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no run {run_id!r}.", next_step="MLflow's page lists all runs with their ids."):
            return self._client.get_run(run_id)

    def last_run(self, experiment: str, dataset: str) -> Run | None:
        """The newest finished run on data of a name, or None where there is none.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        quote = '"' if "'" in dataset else "'"
        with self._errors(f"The runs of {experiment!r} cannot be listed."):
            found = self._client.get_experiment_by_name(experiment)
            if found is None or quote in dataset:
                return None
            runs = self._client.search_runs(
                [found.experiment_id],
                filter_string=f"params.dataset = {quote}{dataset}{quote} AND attributes.status = 'FINISHED'",
                max_results=1,
                order_by=["attributes.start_time DESC"],
            )
        return runs[0] if runs else None

    def promote(self, version: ModelVersion) -> None:
        """Point the alias `champion` at a version.

        Raises:
            ModelNotFoundError: It was deleted meanwhile.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            self._client.set_registered_model_alias(version.name, names.CHAMPION, version.version)

    @contextmanager
    def run(self, experiment: str, *, tags: Mapping[str, str], run_id: str | None = None) -> Iterator[str]:
        """Open an MLflow run that `mlflow.log_*` writes to; it counts as failed if the block raises.

        Args:
            experiment: Experiment to put it into; made where it does not exist.
            tags: Tags of the run.
            run_id: A run to go on with; None makes one.

        Yields:
            The run's id.

        Raises:
            ModelNotFoundError: There is no such run.
            RegistryUnavailableError: MLflow does not answer, at the start or in the block.
        """
        missing = (
            f"There is no run {run_id!r} in the experiment" if run_id else "Nothing can be put into the experiment"
        )
        with self._errors(f"{missing} {experiment!r}."):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_experiment(experiment)
            with mlflow.start_run(run_id=run_id, tags=dict(tags)) as active:
                yield str(active.info.run_id)

    def register(self, name: str, *, model_uri: str, description: str, tags: Mapping[str, str]) -> ModelVersion:
        """Make a logged model the next version of a registered model.

        Args:
            name: The registered model; it is made where it does not exist.
            model_uri: What `log_model` gave back.
            description: One line for MLflow's page.
            tags: Tags of the version, the gate's verdict among them.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"{model_uri} cannot be registered as {name!r}."):
            version = mlflow.register_model(model_uri, name, tags=dict(tags))
            self._client.update_model_version(name, version.version, description)
            return self._client.get_model_version(name, version.version)

    def _newest_passed(self, name: str) -> ModelVersion:
        train = "Train and register one: manta train."
        with self._errors(f"There is no registered model {name!r}.", next_step=train):
            self._client.get_registered_model(name)
            versions = self._client.search_model_versions(
                f"name = '{name}' AND tags.`{GATE_TAG}` = '{PASSED}'", max_results=1, order_by=["version_number DESC"]
            )
        if not versions:
            raise ModelNotFoundError(
                f"No version of {name!r} passed its gate.",
                next_step=f"{train} Or name a version to load it all the same.",
            )
        return _portable(versions[0])

    @contextmanager
    def _errors(self, missing: str, *, next_step: str = "") -> Iterator[None]:
        """Turn MLflow's failures into ours: `missing` is said where MLflow answers that there is no such thing."""
        try:
            yield
        except MlflowException as error:
            raise self._translated(error, missing, next_step) from error
        except OSError as error:  # an artifact store that hangs up in the middle of a file
            raise self._unavailable(str(error)) from error

    def _translated(self, error: MlflowException, missing: str, next_step: str) -> MantaError:
        if error.error_code in NOT_FOUND_CODES:
            return ModelNotFoundError(missing, next_step=next_step)
        return self._unavailable(str(error).splitlines()[0][:300])

    def _unavailable(self, reason: str) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"MLflow at {self.uri} did not do what was asked: {reason}",
            next_step="Check that it runs, and MLFLOW_TRACKING_URI, MLFLOW_TRACKING_USERNAME and its password.",
        )


def _portable(version: ModelVersion) -> ModelVersion:
    """The same version with no more than what can travel between replicas: MLflow's own holds protocol buffers."""
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        creation_timestamp=version.creation_timestamp,
        description=version.description,
        current_stage=version.current_stage,
    )


def _versions_hint(name: str) -> str:
    return f"MLflow's page lists the models and their versions; `manta train` registers one as {name!r}."
