"""Prepares the versions of the models beside the default model, within the memory budget of the replica."""

import asyncio
from typing import Final, Protocol

from mlflow.entities.model_registry import ModelVersion

from app.serving.catalog.budget import MemoryBudget
from app.serving.loading.served_model import FilesLocation, PackedModel, ServedModel

LOADS_AT_ONCE: Final = 2
"""Loads that run at the same time on one replica. Further loads wait."""


class MappingLoader(Protocol):
    """A loader that can map arrays from files; see `app.serving.loading.loader.ModelLoader`."""

    timeout_s: float

    async def prepare(
        self, version: ModelVersion, location: FilesLocation | None = None, *, is_mapped: bool = False
    ) -> ServedModel:
        """Download, check and compile a version."""

    async def pack(self, model: ServedModel) -> PackedModel:
        """Pack a version for another replica."""

    async def unpack(self, packed: PackedModel, *, is_mapped: bool = False) -> ServedModel:
        """Prepare a version that another replica has packed."""


class LoadSlots:
    """What all models of a replica share when they load: the loader, the memory, and a number of loads at a time."""

    def __init__(self, loader: MappingLoader, budget: MemoryBudget) -> None:
        self.loader = loader
        self.budget = budget
        self.semaphore = asyncio.Semaphore(LOADS_AT_ONCE)


class CatalogLoader:
    """Implements `Loader` for one model of the catalog.

    The node keeps no copy of these models: they come from MLflow or from another replica.

    Args:
        slots: What the models of the replica share.
    """

    def __init__(self, slots: LoadSlots) -> None:
        self._slots = slots
        self.timeout_s = slots.loader.timeout_s
        self.serving_bytes = 0
        """Bytes of the version that serves, which the version of the next load replaces."""

    async def prepare(self, version: ModelVersion, location: FilesLocation | None = None) -> ServedModel:
        """Prepare a version. See `ModelLoader.prepare` and `MemoryBudget.admit`."""
        async with self._slots.semaphore:
            model = await self._slots.loader.prepare(version, location, is_mapped=True)
            self._slots.budget.admit(model, replaced_bytes=self.serving_bytes)
            return model

    async def keep(self, model: ServedModel) -> None:
        """Remember the size of the version that serves."""
        self.serving_bytes = model.size_bytes

    async def last_kept(self) -> ServedModel | None:
        """Return None: the node keeps no copy."""
        return None

    async def pack(self, model: ServedModel) -> PackedModel:
        """See `ModelLoader.pack`."""
        return await self._slots.loader.pack(model)

    async def unpack(self, packed: PackedModel) -> ServedModel:
        """Prepare a version that another replica has packed. See `ModelLoader.unpack` and `MemoryBudget.admit`."""
        async with self._slots.semaphore:
            model = await self._slots.loader.unpack(packed, is_mapped=True)
            self._slots.budget.admit(model, replaced_bytes=self.serving_bytes)
            return model

    async def close(self) -> None:
        """Do nothing: the models share the processes of the default model's loader."""
