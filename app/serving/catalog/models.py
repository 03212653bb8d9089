"""The base class of models that a replica loads at their first request, and `PinnedVersion`, a version by its number.

`app.serving.catalog.champion_model` has the other subclass, whose models follow their champion.
"""

import asyncio
import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from app.errors import ModelLoadingError, ModelRefusedError, OverloadedError
from app.models.registry import Registry
from app.serving.catalog.model_loader import CatalogLoader, LoadSlots
from app.serving.fleet.protocol import HeldModel
from app.serving.loading.served_model import ServedModel
from app.serving.measures import measures
from app.serving.requests.limits import MAX_QUEUED_PREDICTIONS
from app.serving.rollout.split import Split
from app.serving.shadow.shadow import Shadow

FIRST_REQUEST_TIMEOUT_S: Final = 10.0
"""How long a request waits for the load of its model."""

PINNED_REFUSAL_S: Final = 60.0
"""Pause before a refused version is tried again for a request that names it."""


class LazyModel(ABC):
    """A model that the first request loads, once however many requests ask."""

    role = measures.CHAMPION

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
    def split(self) -> Split | None:
        """See `ModelSource.split`."""
        return None

    @property
    def shadow(self) -> Shadow | None:
        """See `ModelSource.shadow`."""
        return None

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
