"""What one replica serves: the champion from its start, and any version that it is told to load.

How a version is looked up is decided in `app.registry`; the HTTP form of it all in `app.api`.
"""

import asyncio
import logging
import time
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion

from app.errors import LoadInProgressError, ModelRefusedError, NoModelError
from app.predictor import Predictor, compile_model
from app.registry import Registry
from app.schemas import Example, LoadRequest, ReplicaInfo

log = logging.getLogger("ray.serve")


@dataclass(frozen=True, kw_only=True)
class Served:
    """A version that is ready to answer."""

    version: ModelVersion
    predictor: Predictor
    example: Example
    """The version's own input example."""
    loaded_in_ms: float


class Replica:
    """The model that one process serves.

    Args:
        registry: Where versions come from.
        model_name: Registered model that serves unless a request names another.
        name: What answers call this replica.
    """

    def __init__(self, registry: Registry, *, model_name: str, name: str) -> None:
        self.registry = registry
        self.model_name = model_name
        self.name = name
        self._served: Served | None = None
        self._refusal: str = ""
        self._loading: str = ""

    @property
    def served(self) -> Served | None:
        """The version that answers now, or None before the first load."""
        return self._served

    @property
    def info(self) -> ReplicaInfo:
        """What this replica serves, for answers."""
        return ReplicaInfo(
            replica=self.name,
            version=str(self._served.version.version) if self._served else None,
            loaded_in_ms=self._served.loaded_in_ms if self._served else None,
        )

    def require(self) -> Served:
        """The version that answers now.

        Raises:
            NoModelError: There is none yet, or the champion was refused.
        """
        if self._served is None:
            raise NoModelError(
                self._refusal or f"No version of {self.model_name!r} was loaded yet.",
                next_step="Train one with `manta train`, then POST /model/load.",
            )
        return self._served

    def start(self) -> None:
        """Serve the champion, if there is one and it may serve.

        Raises:
            RegistryUnavailableError: MLflow does not answer, so that nobody knows what should serve.
        """
        champion = self.registry.champion(self.model_name)
        if champion is None:
            log.info("%r has no champion yet: answering 503 until a version is loaded", self.model_name)
            return
        try:
            self._served = self.prepare(champion)
        except ModelRefusedError as error:
            self._refusal = str(error)
            log.exception("the champion of %r cannot serve", self.model_name)

    def prepare(self, version: ModelVersion) -> Served:
        """Download, check and compile a version, without serving it yet.

        Raises:
            ModelRefusedError: It must not serve; the message says why.
            RegistryUnavailableError: MLflow does not answer.
        """
        started = time.perf_counter()
        stored = self.registry.fetch(version)
        predictor = compile_model(stored, label=f"{version.name} version {version.version}")
        elapsed_ms = round((time.perf_counter() - started) * 1000, 1)
        log.info("%s version %s is ready after %.0f ms", version.name, version.version, elapsed_ms)
        return Served(
            version=version,
            predictor=predictor,
            example=Example(features=stored.example.to_numpy().tolist(), labels=stored.example_labels),
            loaded_in_ms=elapsed_ms,
        )

    async def load(self, wanted: LoadRequest) -> Served:
        """Serve another version and make it the champion; on any failure nothing changes.

        Raises:
            LoadInProgressError: Another load is under way.
            ModelNotFoundError: There is no such version.
            ModelRefusedError: It must not serve; the message says why.
            RegistryUnavailableError: MLflow does not answer.
        """
        name = wanted.name or self.model_name
        if self._loading:
            raise LoadInProgressError(
                f"{self._loading} is being loaded.", next_step="Wait until it answers, then ask again."
            )
        self._loading = f"{name} {wanted.version or wanted.alias or 'newest'}"
        try:
            version = await asyncio.to_thread(self.registry.find, name, version=wanted.version, alias=wanted.alias)
            self._check_name(version)
            prepared = await asyncio.to_thread(self.prepare, version)
            await asyncio.to_thread(self.registry.promote, version)
            self._served = prepared
        finally:
            self._loading = ""
        return prepared

    def _check_name(self, version: ModelVersion) -> None:
        """Refuse another registered model: a restarted replica would come back with the champion of its own."""
        if version.name != self.model_name:
            raise ModelRefusedError(
                f"This service serves {self.model_name!r}, and {version.name!r} was asked for.",
                allowed=self.model_name,
                next_step="Set MANTA_MODEL_NAME (in a stack: pulumi config set modelName) to serve another model.",
            )
