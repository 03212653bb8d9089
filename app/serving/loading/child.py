"""The load of one model version in a process of its own, which may fail in any way.

`app.serving.loading.fork_server` starts the process. `app.serving.loading.loader` writes the request and reads the
outcome.
"""

import logging
import shutil
import traceback
from pathlib import Path
from typing import Final, Literal, Self

from mlflow.entities.model_registry import ModelVersion
from pydantic import BaseModel, ConfigDict

from app.errors import MantaError, ModelNotFoundError, ModelRefusedError, RegistryUnavailableError
from app.models import artifact
from app.models.artifact import Artifact
from app.models.estimator import Estimator, prove
from app.models.formats import signed_pickle
from app.models.trees.flat_model import FlatModel
from app.models.trees.flatten import flatten_model
from app.models.trees.forests import FORESTS
from app.models.version_files import VersionFiles
from app.serving.loading import files, limits
from app.serving.loading.manifest import Manifest

FOLDER_PREFIX: Final = "manta-models-"
"""Start of the name of a replica's folder of loads. The replica holds a shared lock on the folder while it lives."""

LOG: Final = "log"
"""File in the folder of a load: the output of this process."""

REQUEST: Final = "request.json"
OUTCOME: Final = "outcome.json"
DOWNLOAD: Final = "download"
PREPARED: Final = "prepared"

MAX_REASON: Final = 500
"""Characters of an unexpected exception's message in the reason."""

ERRORS: Final[dict[str, type[MantaError]]] = {
    error.__name__: error for error in (ModelNotFoundError, ModelRefusedError, RegistryUnavailableError)
}
"""Errors that reach the caller as they are. Every other error is a refusal."""


class LoadRequest(BaseModel):
    """The version to load."""

    model_config = ConfigDict(frozen=True)

    mlflow_uri: str
    name: str
    version: str
    creation_timestamp: int
    description: str | None
    stage: str | None
    is_prepared: bool = False
    """Whether the folder already holds prepared files that scikit-learn predicts with. They are tried again."""

    @classmethod
    def for_version(cls, version: ModelVersion, *, mlflow_uri: str, is_prepared: bool = False) -> Self:
        """Build the request for a version."""
        return cls(
            mlflow_uri=mlflow_uri,
            name=version.name,
            version=str(version.version),
            creation_timestamp=version.creation_timestamp,
            description=version.description,
            stage=version.current_stage,
            is_prepared=is_prepared,
        )

    @property
    def label(self) -> str:
        """Name of the version in error messages."""
        return f"{self.name} version {self.version}"


class Outcome(BaseModel):
    """What became of a load: the digest of the prepared files, or an error."""

    model_config = ConfigDict(frozen=True)

    digest: str = ""
    memory_bytes: int = 0
    """Memory that the model took in this process, at least 0. It counts only for models whose library predicts."""
    error: Literal["", "ModelNotFoundError", "ModelRefusedError", "RegistryUnavailableError"] = ""
    detail: str = ""
    allowed: str = ""
    next_step: str = ""

    def raise_error(self) -> None:
        """Raise the error, if there is one."""
        if self.error:
            raise ERRORS[self.error](self.detail, allowed=self.allowed, next_step=self.next_step)


def run(folder: Path) -> None:
    """Load the version that the request in a folder names, and write the outcome into the folder."""
    logging.basicConfig(level=logging.WARNING)
    request = LoadRequest.model_validate_json((folder / REQUEST).read_bytes())
    memory_bytes = limits.usable_memory_bytes()
    limits.limit_memory(memory_bytes)
    try:
        outcome = _try(folder, request) if request.is_prepared else _load(folder, request)
    except MantaError as error:
        outcome = _outcome(error)
    except MemoryError:
        outcome = _outcome(limits.out_of_memory(memory_bytes, label=request.label))
    except BaseException as error:  # noqa: BLE001 - a model may cause any exception, and each one refuses the version
        limits.lift_memory_limit()
        traceback.print_exc()
        outcome = _outcome(unexpected(error, label=request.label))
    limits.lift_memory_limit()
    (folder / OUTCOME).write_text(outcome.model_dump_json())


def unexpected(error: BaseException, *, label: str) -> ModelRefusedError:
    """Build the refusal for an exception that no check expected."""
    return ModelRefusedError(
        f"{label} cannot be loaded: {type(error).__name__}: {str(error)[:MAX_REASON]}",
        next_step="Load another version, or train the model again.",
    )


def _load(folder: Path, request: LoadRequest) -> Outcome:
    """Prepare the files."""
    version = ModelVersion(
        name=request.name,
        version=request.version,
        creation_timestamp=request.creation_timestamp,
        description=request.description,
        current_stage=request.stage,
    )
    version_files = VersionFiles(version, uri=request.mlflow_uri)
    limits.check_size(sum(version_files.sizes().values()), folder, label=request.label)
    download, prepared = folder / DOWNLOAD, folder / PREPARED
    download.mkdir()
    prepared.mkdir()
    version_files.download(download)
    before_bytes = limits.resident_bytes()
    stored = artifact.read(download, label=request.label)
    signed_pickle.check_name(stored.storage, request.name, label=request.label)
    estimator = prove(stored, label=request.label)
    memory_bytes = max(0, limits.resident_bytes() - before_bytes)
    flat = _flatten(stored, estimator, request.label)
    manifest = Manifest.describe(version, stored, estimator, flat=flat)
    files.write(prepared, manifest, flat, artifact.find_estimator(download, label=request.label))
    shutil.rmtree(download)
    return Outcome(digest=files.digest(prepared), memory_bytes=memory_bytes)


def _flatten(stored: Artifact, estimator: Estimator, label: str) -> FlatModel | None:
    """Convert the model to flat arrays; return None if its library has to predict.

    `docs/explanation/exactness.md` proves that a forest gives the same bits. Other models are compared here.
    """
    flat = flatten_model(estimator)
    if flat is None or type(estimator.model) in FORESTS:
        return flat
    from app.models.predictor import keep_if_exact  # noqa: PLC0415 - it imports numba, which no other model needs here

    return keep_if_exact(flat, estimator, stored.example_rows, label=label)


def _try(folder: Path, request: LoadRequest) -> Outcome:
    """Let an estimator from prepared files predict its example."""
    prepared = folder / PREPARED
    manifest = files.read_manifest(prepared)
    signed_pickle.check_name(manifest.storage(), request.name, label=request.label)
    before_bytes = limits.resident_bytes()
    model = artifact.load_estimator(prepared / files.ESTIMATOR, request.label, manifest.storage())
    prove(manifest.artifact(model), label=request.label)
    memory_bytes = max(0, limits.resident_bytes() - before_bytes)
    return Outcome(digest=files.digest(prepared), memory_bytes=memory_bytes)


def _outcome(error: MantaError) -> Outcome:
    name = type(error).__name__
    return Outcome.model_validate(
        {
            "error": name if name in ERRORS else ModelRefusedError.__name__,
            "detail": error.detail,
            "allowed": error.allowed,
            "next_step": error.next_step,
        }
    )
