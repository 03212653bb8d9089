"""The client of MLflow for runs, versions and aliases. `app.models.version_files` downloads the files of a version.

`app.models.artifact` decides which versions may serve. `app.models.version_choice` chooses the version for a load that
names none. `app.serving.fleet.load` decides how the fleet changes its version.
"""

import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import mlflow
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion, ModelVersionTag

from app import names
from app.errors import ModelNotFoundError
from app.models import artifact, recent_versions, registry_errors, served_models
from app.models.recent_trainings import RecentTrainings
from app.models.version_choice import GATE_TAG, PASSED, PROMOTED_AT_TAG, ROLLED_BACK_TAG, choose
from app.models.version_files import VersionFiles
from app.settings import Settings

HELD_OUT_TAG: Final = "data.held_out"
"""Tag of a model version: which rows were held out of training."""

PAGE_SIZE: Final = 50
"""Number of versions in one answer of MLflow while a version is chosen."""


class Registry:
    """A client of one MLflow server.

    Args:
        settings: Settings with the URL of MLflow. MLflow's client reads user and password from the environment.
    """

    def __init__(self, settings: Settings) -> None:
        self.uri = settings.mlflow_tracking_uri
        self.trainings = RecentTrainings(self.uri, settings.experiment)
        self._client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        """Look up a version by number or alias, or, without both, the version that `choose` picks.

        Raises:
            ModelNotFoundError: The model, version or alias does not exist, or no version qualifies.
            RegistryUnavailableError: MLflow does not answer.
        """
        if version is not None:
            with self._errors(f"There is no version {version} of {name!r}.", next_step=_versions_hint(name)):
                return _copy_fields(self._client.get_model_version(name, version))
        if alias is not None:
            with self._errors(f"{name!r} has no alias {alias!r}.", next_step=_versions_hint(name)):
                return _copy_fields(self._client.get_model_version_by_alias(name, alias))
        return self._choose(name)

    def champion(self, name: str) -> ModelVersion | None:
        """Look up the version that the alias `champion` names; None if the model or the alias does not exist yet.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        try:
            return self.find(name, alias=names.CHAMPION)
        except ModelNotFoundError:
            return None

    def served_models(self, listed: Collection[str]) -> served_models.ServedModels:
        """Look up the models that the service serves beside its default model.

        Args:
            listed: Their names; empty for all models with the tag `SERVE_TAG`, which one request finds.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors("The registered models cannot be listed."):
            return served_models.read_listed(self.uri, listed) if listed else served_models.read_tagged(self.uri)

    def mark_served(self, name: str, *, is_served: bool) -> None:
        """Set or delete the tag by which the service serves a model.

        Raises:
            ModelNotFoundError: The model does not exist.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no registered model {name!r}."):
            if is_served:
                self._client.set_registered_model_tag(name, served_models.SERVE_TAG, "true")
            else:
                self._client.delete_registered_model_tag(name, served_models.SERVE_TAG)

    def tags(self, version: ModelVersion) -> dict[str, str]:
        """Look up the tags of a version.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            return dict(self._client.get_model_version(version.name, version.version).tags)

    def recent_versions(self, name: str, count: int) -> list[recent_versions.RecentVersion]:
        """Read the newest versions of a model, newest first.

        Raises:
            ModelNotFoundError, RegistryUnavailableError: See `find`.
        """
        with self._errors(f"There is no registered model {name!r}.", next_step=_versions_hint(name)):
            return recent_versions.read(self._client, name, count)

    def fetch(self, version: ModelVersion) -> artifact.Artifact:
        """Download a version and read it without running code from its files.

        Raises:
            ModelNotFoundError: The files of the version were deleted.
            ModelRefusedError: The version cannot serve; see `app.models.artifact.read`.
            RegistryUnavailableError: MLflow or its artifact store does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="manta-model-") as folder:
            VersionFiles(version, uri=self.uri).download(Path(folder))
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

        A newer version that was the champion until now is marked as rolled back. The mark of `version` is removed.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer. The alias may have moved.
        """
        former = self.champion(version.name)
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            self._client.set_registered_model_alias(version.name, names.CHAMPION, version.version)
            if former is not None and int(former.version) > int(version.version):
                self._client.set_model_version_tag(version.name, former.version, ROLLED_BACK_TAG, "true")
            if ROLLED_BACK_TAG in version.tags:
                self._client.delete_model_version_tag(version.name, version.version, ROLLED_BACK_TAG)

    def record_promotion(self, version: ModelVersion) -> None:
        """Record in a tag that a version became the champion, so that a later move of the alias by hand is understood.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        with self._errors(f"There is no version {version.version} of {version.name!r}."):
            time_ms = str(round(1000 * time.time()))
            self._client.set_model_version_tag(version.name, version.version, PROMOTED_AT_TAG, time_ms)

    def restore_champion(self, version: ModelVersion, champion: str | None) -> None:
        """Move the alias `champion` back from a version, unless it names another version by now.

        The champion loses the mark of a rollback that `promote` gave it.

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
                if int(champion) > int(version.version):
                    self._client.delete_model_version_tag(version.name, champion, ROLLED_BACK_TAG)

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
            PlatformError: MLflow refuses what the block logs, or a file operation of the block fails, for example
                because the disk is full.
        """
        failure = (
            f"There is no run {run_id!r} in the experiment" if run_id else "No run can be created in the experiment"
        )
        with self._errors(f"{failure} {experiment!r}."):
            mlflow.set_tracking_uri(self.uri)
            mlflow.set_experiment(experiment)
            active = mlflow.start_run(run_id=run_id, tags=dict(tags))
        with registry_errors.of_run(self.uri), active:
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

    def _choose(self, name: str) -> ModelVersion:
        train = "Train and register a model: manta train."
        with self._errors(f"There is no registered model {name!r}.", next_step=train):
            champion_number = self._client.get_registered_model(name).aliases.get(names.CHAMPION)
            number = choose(self._passed_versions(name), champion_number)
        if number is None:
            raise ModelNotFoundError(
                f"{name!r} has no champion, and no version qualifies to be loaded without its number.",
                allowed="a version that passed its gate, was not trained with --no-promote and was not rolled back",
                next_step=f"{train} Or name a version to load it without these conditions.",
            )
        return self.find(name, version=number)

    def _passed_versions(self, name: str) -> Iterator[ModelVersion]:
        """Look up the versions that passed their gate, newest first, in pages."""
        page_token = None
        while page_token != "":
            page = self._client.search_model_versions(
                f"name = '{name}' AND tags.`{GATE_TAG}` = '{PASSED}'",
                max_results=PAGE_SIZE,
                order_by=["version_number DESC"],
                page_token=page_token,
            )
            yield from page
            page_token = page.token or ""

    def _errors(self, not_found: str, *, next_step: str = "") -> AbstractContextManager[None]:
        return registry_errors.of_lookup(self.uri, not_found, next_step=next_step)


def _copy_fields(version: ModelVersion) -> ModelVersion:
    """Copy the fields that replicas send to each other: MLflow's object holds protocol buffers, which do not pickle."""
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        creation_timestamp=version.creation_timestamp,
        description=version.description,
        current_stage=version.current_stage,
        tags=[
            ModelVersionTag(key, value)  # type: ignore[no-untyped-call] # MLflow's class has no types
            for key, value in version.tags.items()
        ],
    )


def _versions_hint(name: str) -> str:
    return f"See MLflow's page for all models and versions, or register a version of {name!r}: manta train."
