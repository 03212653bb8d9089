"""One replica: the model version that it serves, and its part in a load of the whole fleet.

`app.serving.fleet.load` calls it at each step of a load. `app.serving.loading` makes a version ready to serve.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import MantaError, ModelRefusedError, NoModelError, PlatformError
from app.models.registry import Registry
from app.serving.fleet import change_log
from app.serving.fleet.protocol import Claim, Failure, Loader, LoadId, Refusal, Report
from app.serving.loading.child import unexpected
from app.serving.loading.served_model import FilesLocation, PackedModel, ServedModel
from app.serving.schemas import ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)


class Replica:
    """The model that one process serves.

    Its coroutines run on one event loop, and its steps without `await` cannot be interrupted.

    Args:
        registry: Client of the model registry.
        loader: Makes versions ready to serve.
        model_name: Registered model that serves.
        name: Name of this replica in answers and messages.
        on_swap: Called with the version number after each swap to another version.
        on_refusal: Called with the version number whenever a version is refused.
    """

    def __init__(
        self,
        registry: Registry,
        loader: Loader,
        *,
        model_name: str,
        name: str,
        on_swap: Callable[[str], None],
        on_refusal: Callable[[str], None],
    ) -> None:
        self.registry = registry
        self.loader = loader
        self.model_name = model_name
        self.name = name
        self.running_load: LoadId | None = None
        """The load that this replica runs for the fleet."""
        self.refusal: Refusal | None = None
        """The last version that was refused; None after the next swap."""
        self.generation = 0
        """Generation of the last swap; see `app.serving.fleet.protocol`."""
        self.role = names.CHAMPION
        """Role of the version in the traffic, for the log."""
        self._served: ServedModel | None = None
        self._holder: LoadId | None = None
        self._preparing: asyncio.Task[ServedModel] | None = None
        self._prepared: ServedModel | None = None
        self._replaced: tuple[ServedModel | None] | None = None
        """What the load that holds this replica has replaced; None before its swap."""
        self._load_lock = asyncio.Lock()
        self._keep_lock = asyncio.Lock()
        self._keeping: set[asyncio.Task[None]] = set()
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
        """The state of this replica, for `GET /model`."""
        return ReplicaInfo(
            replica=self.name,
            version=self.served_version,
            loaded_in_ms=self._served.loaded_in_ms if self._served else None,
            refused=f"version {self.refusal.version}: {self.refusal.reason}" if self.refusal else None,
        )

    @property
    def report(self) -> Report:
        """The state of this replica, for the other replicas."""
        return Report(info=self.info, generation=self.generation)

    @property
    def holder(self) -> LoadId | None:
        """The load that holds this replica."""
        return self._holder

    @property
    def prepared_files(self) -> FilesLocation | None:
        """Where the files are of the version that this replica has prepared for a load; None if there are none."""
        return self._prepared.files.location if self._prepared and self._prepared.files else None

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

    async def claim(self, load: LoadId | None) -> Claim:
        """Reserve this replica for a load, unless another load has claimed it before.

        Args:
            load: The load; None only asks which load holds this replica.
        """
        if self._holder is None:
            self._holder = load
        return self._claim()

    async def prepare(
        self, load: LoadId, version: ModelVersion, location: FilesLocation | None
    ) -> Report | Claim | Failure:
        """Make a version ready to serve, next to the version that serves.

        A claim of another load gives way, unless that load has begun to prepare on this replica. By the time of this
        call `app.serving.fleet.load` has decided which of several concurrent loads wins.
        `location` is where the replica that runs the load holds the files of the version.

        Returns: what this replica serves, or why the version cannot serve here, or the claim of the other load.
        """
        if self._holder != load:
            if self._preparing is not None or self._prepared is not None or self._replaced is not None:
                return self._claim()
            self._holder = load
        if self._prepared is not None or (load.is_for_holders and self._served is None):
            return self.report
        task = self._preparing = asyncio.create_task(self._prepare(version, location))
        try:
            await asyncio.wait({task})  # `release` cancels the task
        finally:
            task.cancel()
            if self._preparing is task:
                self._preparing = None
        if task.cancelled() or self._holder != load:
            return Failure(replica=self.name, error=PlatformError(f"The load of {load.label} was ended."))
        error = task.exception()
        if isinstance(error, MantaError):
            return Failure(replica=self.name, error=error)
        self._prepared = task.result()
        return self.report

    async def commit(self, load: LoadId, version: ModelVersion, generation: int) -> Report | Claim | Failure:
        """Serve the prepared version, and return as `prepare`. A replica that has prepared nothing loads it now.

        Args:
            load: The load that swaps.
            version: Its version.
            generation: Generation of the swap. A replica with a higher generation ignores the call.
        """
        if self._holder not in (None, load):
            return self._claim()
        if generation < self.generation:
            return self.report
        self._holder = load
        if load.is_for_holders and self._served is None:
            self.generation = generation  # drops what this replica loads for a request meanwhile
            return self.report
        if self._replaced is None:
            self._replaced = (self._served,)
        if self._prepared is not None:
            self._swap(self._prepared, generation)
            self._prepared, self.refusal = None, None
            return self.report
        try:
            await self.load(version, generation)
        except MantaError as error:
            return Failure(replica=self.name, error=error)
        return self.report

    async def roll_back(self, load: LoadId, generation: int) -> Report:
        """Serve what this replica served before a load swapped it.

        Args:
            load: The load that failed.
            generation: Generation of this swap. A late call of the failed load has a lower one and is ignored.
        """
        if self._holder == load and self._replaced is not None and self.generation < generation:
            (model,) = self._replaced
            self._replaced = None
            if model is None:
                self._served = None
            else:
                self._swap(model, generation)
        self.generation = max(self.generation, generation)
        return self.report

    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        """End a load's claim, and drop what a failed load prepares or has prepared.

        Args:
            load: The load that ended.
            refusal: Why its version was refused; None if it was not.
        """
        if self._holder == load:
            self._holder, self._prepared, self._replaced = None, None, None
            if self._preparing is not None:
                self._preparing.cancel()
        if refusal is not None:
            self._record_refusal(refusal.version, refusal.reason)

    def unload(self) -> None:
        """Serve no version any more, and keep the generation."""
        self._served = None

    async def share(self, replica: str) -> PackedModel | Failure | None:
        """Pack the served version for a replica that cannot get it from MLflow; None if `replica` is not this one."""
        if replica != self.name or self._served is None:
            return None
        try:
            return await self.loader.pack(self._served)
        except MantaError as error:
            return Failure(replica=self.name, error=error)

    async def load(self, version: ModelVersion, generation: int) -> None:
        """Serve a version without a load of the fleet: at the start, or if the fleet already serves it.

        Args:
            version: The version.
            generation: Generation of the fleet's swap to it. If this replica has swapped to a newer version by the
                time the version is ready, it keeps the newer one.

        Raises:
            ModelRefusedError, ModelNotFoundError, RegistryUnavailableError: See `Loader`. A refusal is recorded.
        """
        async with self._load_lock:
            if self.served_version == str(version.version):
                self.generation = max(self.generation, generation)
                return
            try:
                model = await self._prepare(version, None)
            except ModelRefusedError as error:
                self._record_refusal(str(version.version), str(error))
                raise
            self.refusal = None
            self.serve(model, generation)

    def serve(self, model: ServedModel, generation: int) -> None:
        """Serve a version that is ready, unless this replica has a higher generation."""
        if generation < self.generation:
            log.info("version %s is ready too late: this replica serves a newer load", model.version.version)
            return
        self._swap(model, generation)

    def _claim(self) -> Claim:
        return Claim(replica=self.name, holder=self._holder, running_load=self.running_load, generation=self.generation)

    async def _prepare(self, version: ModelVersion, location: FilesLocation | None) -> ServedModel:
        """Make a version ready to serve, even if it already serves: its files may have changed."""
        try:
            return await self.loader.prepare(version, location)
        except MantaError:
            raise
        except Exception as error:
            log.exception("version %s of %r failed", version.version, version.name)
            raise unexpected(error, label=f"{version.name} version {version.version}") from error

    def _record_refusal(self, version: str, reason: str) -> None:
        attempts = self.refusal.attempts + 1 if self.refusal and self.refusal.version == version else 1
        self.refusal = Refusal(version=version, reason=reason, refused_at_s=time.monotonic(), attempts=attempts)
        self._on_refusal(version)
        change_log.version_refused(self.model_name, self.refusal, self.role)

    def _swap(self, model: ServedModel, generation: int) -> None:
        """Answer with another version from the next request on. Requests in progress finish with the old version."""
        previous, number = self.served_version, str(model.version.version)
        self._served, self.generation = model, generation
        task = asyncio.create_task(self._keep_served())
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)
        if number != previous:
            self._on_swap(number)
            change_log.version_serves(self.model_name, number, previous, self.role)

    async def _keep_served(self) -> None:
        """Keep a copy of the version that serves. Requests do not wait for it."""
        async with self._keep_lock:
            if self._served is not None:
                await self.loader.keep(self._served)
