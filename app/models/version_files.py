"""The files of a model version in MLflow's artifact store: their sizes, and their download."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from app.errors import ModelNotFoundError, ModelRefusedError
from app.models import registry_errors

MAX_FILES: Final = 1000
"""Maximum number of files and folders of a version. MLflow writes about eight files."""


class VersionFiles:
    """The files of one version.

    Args:
        version: The version.
        uri: URL of MLflow.
    """

    def __init__(self, version: ModelVersion, *, uri: str) -> None:
        self._version = version
        self._uri = uri
        self._label = f"{version.name} version {version.version}"

    def sizes(self) -> dict[str, int]:
        """List the files with their sizes in bytes; 0 where the artifact store gives no size.

        Raises:
            ModelNotFoundError: The files were deleted.
            ModelRefusedError: There are more than `MAX_FILES` files and folders.
            RegistryUnavailableError: MLflow or its artifact store does not answer.
        """
        sizes: dict[str, int] = {}
        with self._errors():
            repository = self._repository()
            folders, seen = [""], 0
            while folders:
                folder = folders.pop()
                for entry in repository.list_artifacts(folder):
                    seen += 1
                    if seen > MAX_FILES:
                        raise ModelRefusedError(
                            f"{self._label} has too many files.",
                            allowed=f"{MAX_FILES} files and folders",
                            next_step="Log the model without other files in its folder.",
                        )
                    if not entry.is_dir:
                        sizes[entry.path] = entry.file_size or 0
                    elif entry.path not in {".", folder}:
                        folders.append(entry.path)
        if not sizes:
            raise ModelNotFoundError(self._deleted)
        return sizes

    def download(self, folder: Path) -> None:
        """Download all files into a folder.

        Raises:
            ModelNotFoundError: The files were deleted.
            RegistryUnavailableError: MLflow or its artifact store does not answer, or the disk is full.
        """
        with self._errors():
            repository = self._repository()
            repository.download_artifacts("", str(folder))  # type: ignore[no-untyped-call] # MLflow gives it no types

    @property
    def _deleted(self) -> str:
        return f"The files of {self._label} were deleted."

    def _repository(self) -> ArtifactRepository:
        """Return MLflow's client of the folder with the files."""
        client = mlflow.MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        uri = client.get_model_version_download_uri(self._version.name, self._version.version)
        return get_artifact_repository(uri, tracking_uri=self._uri, registry_uri=self._uri)

    def _errors(self) -> AbstractContextManager[None]:
        return registry_errors.of_lookup(self._uri, self._deleted)
