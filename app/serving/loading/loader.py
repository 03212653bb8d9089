"""Makes a model version ready to serve, and keeps a copy of it on this node.

`app.serving.fleet` decides when a version is loaded, and where a copy is taken from.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import ModelRefusedError
from app.models.predictor import compile_model
from app.models.registry import Registry
from app.serving.loading.served_model import PackedModel, ServedModel
from app.serving.schemas import Example
from app.settings import Settings

log = logging.getLogger(names.SERVING_LOG)

LOAD_TIMEOUT_S: Final = 120.0
"""Default limit for the download, the checks and the compilation of a version on one replica."""


class ModelLoader:
    """Prepares model versions for one replica.

    Args:
        mlflow_uri: URL of MLflow. MLflow's client reads user and password from the environment.
        model_cache: Folder on this node for the copy of the version that served last.
        timeout_s: Limit for one call of `prepare`, `last_kept` or `unpack`.
    """

    def __init__(self, *, mlflow_uri: str, model_cache: Path, timeout_s: float = LOAD_TIMEOUT_S) -> None:
        self._registry = Registry(Settings(mlflow_tracking_uri=mlflow_uri))
        self._model_cache = model_cache
        self.timeout_s = timeout_s

    async def prepare(self, version: ModelVersion) -> ServedModel:
        """Download, check and compile a version.

        Raises:
            ModelRefusedError: The version cannot serve here. The message says why.
            ModelNotFoundError: The files of the version were deleted.
            RegistryUnavailableError: MLflow or its artifact store does not answer.
        """
        try:
            return await asyncio.wait_for(asyncio.to_thread(self._prepare, version), self.timeout_s)
        except TimeoutError as error:
            raise ModelRefusedError(
                f"{version.name} version {version.version} was not ready after {self.timeout_s:g} s.",
                next_step="See this replica's log, and check that MLflow's artifact store answers.",
            ) from error

    async def keep(self, model: ServedModel) -> None:
        """Keep a copy of a version on this node, and delete the copy of any other version.

        A failure is logged.
        """

    async def last_kept(self) -> ServedModel | None:
        """Prepare the copy on this node; None if there is no copy or if it cannot serve, which is logged."""
        return None

    async def pack(self, model: ServedModel) -> PackedModel:
        """Pack a version for another replica.

        Raises:
            ModelRefusedError: The version has no files, or they are too large for a message.
        """
        raise ModelRefusedError(f"{model.version.name} version {model.version.version} has no files to send.")

    async def unpack(self, packed: PackedModel) -> ServedModel:
        """Prepare a version that another replica has packed.

        Raises:
            ModelRefusedError: The content differs from its digest, or the version cannot serve here.
        """
        raise ModelRefusedError(f"{packed.version.name} version {packed.version.version} cannot be unpacked.")

    async def close(self) -> None:
        """End the processes of this loader."""

    def _prepare(self, version: ModelVersion) -> ServedModel:
        start_s = time.perf_counter()
        artifact = self._registry.fetch(version)
        predictor = compile_model(artifact, label=f"{version.name} version {version.version}")
        elapsed_ms = round((time.perf_counter() - start_s) * 1000, 1)
        log.info("%s version %s is ready after %.0f ms", version.name, version.version, elapsed_ms)
        return ServedModel(
            version=version,
            predictor=predictor,
            example=Example(features=artifact.example.to_numpy().tolist(), labels=artifact.example_labels),
            loaded_in_ms=elapsed_ms,
            files=None,
        )
