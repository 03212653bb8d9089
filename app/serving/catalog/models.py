"""The models that a replica loads when they are asked for: one that follows its champion, and a version by number."""

import asyncio
import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from mlflow.entities.model_registry import ModelVersion

from app.errors import ModelLoadingError, ModelRefusedError, NoModelError, OverloadedError
from app.models.registry import Registry
from app.serving import model_status
from app.serving.catalog.model_loader import CatalogLoader, LoadSlots
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.forwarding_group import ForwardingGroup
from app.serving.fleet.protocol import FleetMember, HeldModel, ReplicaGroup
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import ServedModel
from app.serving.measures import measures
from app.serving.requests.limits import MAX_QUEUED_PREDICTIONS
from app.serving.schemas import LoadRequest, ReplicaInfo

FIRST_REQUEST_TIMEOUT_S: Final = 10.0
"""How long a request waits for the load of its model."""

LOAD_ATTEMPTS: Final = 3
"""How often a model is loaded for a request if the fleet moves to another version meanwhile."""

PINNED_REFUSAL_S: Final = 60.0
"""Pause before a refused version is tried again for a request that names it."""

DESCRIBE: Final = "describe"
"""Name of the call that returns columns, classes and example of a model; None from a replica that does not hold it."""

REPLICA_METHODS: Final = frozenset({"claim", "prepare", "commit", "roll_back", "release", "share"})
"""Methods of a fleet's member that its `Replica` implements under the same name."""


class LazyModel(ABC):
    """A model that the first request loads, once however many requests ask."""

    role = measures.CHAMPION
    split = None
    shadow = None
    """Only the default model has rollouts and shadows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.requests = 0
        """Requests since the replica started."""
        self.last_used_s: float | None = None
        """Seconds since 1970 of the last request; None without one."""
        self.order = 0.0
        """Time of the last request or load on the monotonic clock: the model with the lowest is put out first."""
        self.is_known = False
        """Whether the service has served the model since this replica holds it."""
        self._loading: asyncio.Task[ServedModel] | None = None
        self._waiting = 0

    @property
    @abstractmethod
    def served(self) -> ServedModel | None:
        """The version that answers; None if the model is not in memory."""

    @property
    def is_busy(self) -> bool:
        """Whether a load of this model is in progress, so that the model must not be put out."""
        return self._loading is not None

    @property
    def refused(self) -> str | None:
        """Which version was refused, and why."""
        return None

    @abstractmethod
    def unload(self) -> None:
        """Put the model out of memory. Requests in progress finish with it."""

    @abstractmethod
    async def _load(self) -> ServedModel:
        """Load the model."""

    async def require(self) -> ServedModel:
        """Return the version that answers, after a load if necessary; see `ModelSource.require`.

        Raises:
            ModelLoadingError: The load takes longer than `FIRST_REQUEST_TIMEOUT_S`. It goes on.
            OverloadedError: Too many requests wait for the load already.
        """
        self.requests += 1
        self.last_used_s, self.order = time.time(), time.monotonic()
        served = self.served
        if served is not None:
            return served
        if self._waiting >= MAX_QUEUED_PREDICTIONS:
            raise OverloadedError(
                f"Too many requests wait for the load of {self.name!r}.",
                allowed=f"up to {MAX_QUEUED_PREDICTIONS} waiting requests",
                next_step="Send the request again after the time in the header Retry-After.",
            )
        self._waiting += 1
        try:
            return await self._wait_for_load()
        finally:
            self._waiting -= 1

    async def _wait_for_load(self) -> ServedModel:
        if self._loading is None:
            self._loading = asyncio.create_task(self._load())
            self._loading.add_done_callback(self._on_loaded)
        task = self._loading
        done, _ = await asyncio.wait({task}, timeout=FIRST_REQUEST_TIMEOUT_S)
        if not done:
            raise ModelLoadingError(
                f"{self.name!r} is being loaded, which takes longer than {FIRST_REQUEST_TIMEOUT_S:g} s.",
                next_step="Send the request again after the time in the header Retry-After.",
            )
        model = task.result()
        self.order = time.monotonic()
        return model

    def _on_loaded(self, task: asyncio.Task[ServedModel]) -> None:
        """Forget the task, which would keep the model in memory."""
        self._loading = None
        if not task.cancelled():
            task.exception()  # no request may have waited for it

    def describe(self) -> HeldModel:
        """Describe the model as this replica holds it."""
        served = self.served
        return HeldModel(
            name=self.name,
            version=str(served.version.version) if served else None,
            size_bytes=served.size_bytes if served else 0,
            is_loading=self.is_busy,
            is_pinned=isinstance(self, PinnedVersion),
            last_used_s=self.last_used_s,
            requests=self.requests,
            refused=self.refused,
        )

    async def stop(self) -> None:
        """End a load that is in progress."""
        if self._loading is not None:
            self._loading.cancel()


class ChampionModel(LazyModel):
    """A model whose champion answers.

    Args:
        name: Name of the registered model.
        registry: Client of MLflow.
        slots: What the models of this replica share when they load.
        group: All replicas.
        replica_name: Name of this replica.
    """

    def __init__(
        self, name: str, *, registry: Registry, slots: LoadSlots, group: ReplicaGroup, replica_name: str
    ) -> None:
        super().__init__(name)
        self._loader = CatalogLoader(slots)
        self.replica = Replica(
            registry,
            self._loader,
            model_name=name,
            name=replica_name,
            on_swap=lambda _: None,
            on_refusal=lambda _: None,
        )
        self.fleet = Fleet(self.replica, ForwardingGroup(group, FleetMember.on_model, name))
        self.follower = AliasFollower(self.fleet)
        self._commands = 0
        """Loads by name that this replica runs or is about to run."""

    @property
    def served(self) -> ServedModel | None:
        """See `LazyModel.served`."""
        return self.replica.served

    @property
    def is_busy(self) -> bool:
        """See `LazyModel.is_busy`."""
        replica = self.replica
        is_loading = replica.holder is not None or replica.running_load is not None
        return super().is_busy or is_loading or self._commands > 0

    @property
    def refused(self) -> str | None:
        """See `LazyModel.refused`."""
        return self.replica.info.refused

    def unload(self) -> None:
        """See `LazyModel.unload`."""
        self.replica.unload()
        self._loader.serving_bytes = 0

    async def load(self, request: LoadRequest) -> tuple[ModelVersion, list[ReplicaInfo]]:
        """See `Fleet.load`."""
        self._commands += 1
        try:
            return await self.fleet.load(request)
        finally:
            self._commands -= 1

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - the type depends on the method
        """Call a method of a fleet's member for this model; see `FleetMember`."""
        if method == "report":
            return self.replica.report
        if method == DESCRIBE:
            return None if self.served is None else model_status.describe(self.served)
        if method not in REPLICA_METHODS:
            raise ValueError(f"{method} is no method for a model")
        self.order = time.monotonic()
        return await getattr(self.replica, method)(*args)

    async def stop(self) -> None:
        """See `LazyModel.stop`."""
        await super().stop()
        await self.fleet.stop()

    async def _load(self) -> ServedModel:
        for _ in range(LOAD_ATTEMPTS):
            await self.follower.load_now()
            if self.replica.served is not None:
                return self.replica.served
        raise NoModelError(
            f"{self.name!r} has no champion, or changes its version at this moment.",
            next_step=f"Load a version: POST /models/{self.name}/load. Or set the alias `champion` in MLflow.",
        )


class PinnedVersion(LazyModel):
    """A version that answers requests which name it. It does not touch the champion.

    Args:
        name: Name of the registered model.
        version: Number of the version.
        registry: Client of MLflow.
        slots: What the models of this replica share when they load.
        forget: Called when the version is not in memory any more.
    """

    role = measures.PINNED

    def __init__(
        self, name: str, version: str, *, registry: Registry, slots: LoadSlots, forget: Callable[[], object]
    ) -> None:
        super().__init__(name)
        self._version = version
        self._registry = registry
        self._loader = CatalogLoader(slots)
        self._forget = forget
        self._served: ServedModel | None = None
        self._refusal: tuple[ModelRefusedError, float] | None = None

    @property
    def served(self) -> ServedModel | None:
        """See `LazyModel.served`."""
        return self._served

    @property
    def refused(self) -> str | None:
        """See `LazyModel.refused`."""
        return f"version {self._version}: {self._refusal[0]}" if self._refusal else None

    def unload(self) -> None:
        """See `LazyModel.unload`."""
        self._served = None
        self._forget()

    async def _load(self) -> ServedModel:
        if self._refusal is not None and time.monotonic() - self._refusal[1] < PINNED_REFUSAL_S:
            raise copy.copy(self._refusal[0])
        try:
            version = await asyncio.to_thread(self._registry.find, self.name, version=self._version)
            self._served = await self._loader.prepare(version)
        except ModelRefusedError as error:
            self._refusal = (copy.copy(error), time.monotonic())  # without the traceback, which holds the model
            raise
        except BaseException:
            self._forget()
            raise
        return self._served
