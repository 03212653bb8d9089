"""One replica: the model version that it serves, and its part in a load of the whole fleet.

`app.serving.fleet.load` calls it at each step of a load. `app.models.registry` decides how a version is looked up and
downloaded.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import MantaError, ModelRefusedError, NoModelError
from app.models.predictor import compile_model
from app.models.registry import Registry
from app.serving.fleet.protocol import Claim, LoadId, Refusal
from app.serving.loading.served_model import ServedModel
from app.serving.schemas import Example, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

PREPARE_TIMEOUT_S: Final = 120
"""Limit for the download, the checks and the compilation of a version on one replica."""


class Replica:
    """The model that one process serves.

    Its coroutines run on one event loop. Only download and compilation run in a thread.

    Args:
        registry: Client of the model registry.
        model_name: Registered model that serves.
        name: Name of this replica in answers and messages.
        on_swap: Called with the version number after each swap to another version.
        on_refusal: Called with the version number whenever a version is refused.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        model_name: str,
        name: str,
        on_swap: Callable[[str], None],
        on_refusal: Callable[[str], None],
    ) -> None:
        self.registry = registry
        self.model_name = model_name
        self.name = name
        self.running_load: LoadId | None = None
        """The load that this replica runs for the fleet."""
        self.refusal: Refusal | None = None
        """The last version that was refused; None after the next swap."""
        self._served: ServedModel | None = None
        self._holder: LoadId | None = None
        self._is_preparing = False
        self._prepared: ServedModel | None = None
        self._load_lock = asyncio.Lock()
        self._on_swap = on_swap
        self._on_refusal = on_refusal

    @property
    def served(self) -> ServedModel | None:
        """The version that answers predictions, or None before the first load."""
        return self._served

    @property
    def served_version(self) -> str | None:
        """Number of the version that answers predictions, or None before the first load."""
        return str(self._served.version.version) if self._served else None

    @property
    def info(self) -> ReplicaInfo:
        """The state of this replica, for `GET /model` and for the other replicas."""
        return ReplicaInfo(
            replica=self.name,
            version=self.served_version,
            loaded_in_ms=self._served.loaded_in_ms if self._served else None,
            refused=f"version {self.refusal.version}: {self.refusal.reason}" if self.refusal else None,
        )

    def require_served(self) -> ServedModel:
        """Return the version that answers predictions.

        Raises:
            NoModelError: No version was loaded yet, or the only version was refused.
        """
        if self._served is None:
            raise NoModelError(
                self.refusal.reason if self.refusal else f"No version of {self.model_name!r} was loaded yet.",
                next_step="Train a model with `manta train`, then send POST /model/load.",
            )
        return self._served

    async def claim(self, load: LoadId) -> Claim:
        """Reserve this replica for a load, unless another load has claimed it before."""
        if self._holder is None:
            self._holder = load
        return Claim(replica=self.name, holder=self._holder, running_load=self.running_load)

    async def prepare(self, load: LoadId, version: ModelVersion) -> ReplicaInfo | Claim:
        """Make a version ready to serve, next to the version that serves.

        A claim of another load gives way, unless that load has begun to prepare on this replica. By the time of this
        call `app.serving.fleet.load` has decided which of several concurrent loads wins.

        Returns:
            What this replica serves, with the reason in `refused` if the version cannot serve here. Or the claim of the
            other load.
        """
        if self._holder is not None and self._holder != load and self._is_preparing:
            return Claim(replica=self.name, holder=self._holder, running_load=self.running_load)
        self._holder, self._is_preparing = load, True
        try:
            model = await self._fetch_and_compile(version)
        except MantaError as error:
            return self.info.model_copy(update={"refused": str(error)})
        if self._holder == load:
            self._prepared = model
        return self.info.model_copy(update={"refused": None})

    async def commit(self, load: LoadId, version: ModelVersion) -> ReplicaInfo:
        """Serve the prepared version. A replica that has prepared nothing for this load loads the version now."""
        if self._holder == load and self._prepared is not None:
            self._swap(self._prepared)
        elif self.served_version != str(version.version):
            try:
                await self.load(version)
            except MantaError as error:
                return self.info.model_copy(update={"refused": str(error)})
        return self.info

    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        """End a load's claim, and drop what a failed load had prepared.

        Args:
            load: The load that ended.
            refusal: Why its version was refused; None if it was not.
        """
        if self._holder == load:
            self._holder, self._is_preparing, self._prepared = None, False, None
        if refusal is not None:
            self._record_refusal(refusal.version, refusal.reason)

    async def load(self, version: ModelVersion) -> None:
        """Serve a version without a load of the fleet: at the start, or if the fleet already serves it.

        Raises:
            ModelRefusedError: The version cannot serve. The refusal is recorded.
            RegistryUnavailableError: MLflow does not answer.
        """
        async with self._load_lock:
            if self.served_version == str(version.version):
                return
            try:
                self._swap(await self._fetch_and_compile(version))
            except ModelRefusedError as error:
                self._record_refusal(str(version.version), str(error))
                raise

    def _record_refusal(self, version: str, reason: str) -> None:
        self.refusal = Refusal(version=version, reason=reason, refused_at_s=time.monotonic())
        self._on_refusal(version)
        log.error("version %s of %r cannot serve: %s", version, self.model_name, reason)

    def _swap(self, model: ServedModel) -> None:
        """Answer with another version from the next request on. Requests in progress finish with the old version."""
        is_other_version = self.served_version != str(model.version.version)
        self._served, self._prepared, self.refusal = model, None, None
        if is_other_version:
            self._on_swap(str(model.version.version))
            log.info("%s version %s serves", model.version.name, model.version.version)

    async def _fetch_and_compile(self, version: ModelVersion) -> ServedModel:
        """Download, check and compile a version, even if it already serves: its files may have changed."""
        try:
            return await asyncio.wait_for(
                asyncio.to_thread(self._fetch_and_compile_in_thread, version), PREPARE_TIMEOUT_S
            )
        except TimeoutError as error:
            raise ModelRefusedError(
                f"{version.name} version {version.version} was not ready after {PREPARE_TIMEOUT_S} s.",
                next_step="See this replica's log, and check that MLflow's artifact store answers.",
            ) from error

    def _fetch_and_compile_in_thread(self, version: ModelVersion) -> ServedModel:
        start_s = time.perf_counter()
        artifact = self.registry.fetch(version)
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
