"""A model version that is ready to serve, its files, and their form for another replica."""

import shutil
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion

from app.models.predictor import Predictor
from app.serving.requests.model_schema import row_schema
from app.serving.requests.row_schema import RowSchema
from app.serving.schemas import Example, SelfTest


@dataclass(frozen=True, kw_only=True)
class FilesLocation:
    """Where a replica holds the files of a model version after the checks, for other replicas on its node."""

    folder: Path
    digest: str
    """See `PreparedFiles.digest`."""


@dataclass(frozen=True, kw_only=True)
class PreparedFiles:
    """The files of a model version after the checks. The folder is deleted with this object."""

    folder: Path
    digest: str
    """SHA-256 over the names and contents of the files, in hexadecimal digits."""

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    @property
    def location(self) -> FilesLocation:
        """Where the files are. They stay there as long as this object."""
        return FilesLocation(folder=self.folder, digest=self.digest)


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model version that is ready to answer predictions."""

    version: ModelVersion
    predictor: Predictor
    example: Example
    """The input example that was stored with the version."""
    self_test: SelfTest
    """How the version was tried."""
    loaded_in_ms: float
    """Duration of download, checks and compilation."""
    files: PreparedFiles | None
    """What another replica needs to serve the same version; None for a model that was not loaded from files."""
    size_bytes: int = 0
    """Memory of the model: that of its arrays, or what its library took when a child process loaded it."""

    @cached_property
    def key(self) -> tuple[str, str]:
        """Name of the registered model, and number of the version."""
        return self.version.name, str(self.version.version)

    @cached_property
    def row_schema(self) -> RowSchema:
        """The model's columns, for the readers of request bodies."""
        return row_schema(self.predictor.columns)


@dataclass(frozen=True, kw_only=True)
class PackedModel:
    """The prepared files of a model version as bytes, for another replica."""

    version: ModelVersion
    digest: str
    """See `PreparedFiles.digest`."""
    content: bytes
