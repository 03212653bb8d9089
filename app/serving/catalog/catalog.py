"""The models of the service as one replica holds them, by name.

The default model is loaded at the start and never put out. Every other model is loaded by its first request, follows
its own champion, and is put out when the memory is needed for another one. `app.serving.catalog.catalog_follower` reads
from MLflow which models there are.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import ModelLoadingError, ModelNotFoundError, ModelRefusedError
from app.models.registry import Registry
from app.models.rollout_records import RolloutRecords
from app.models.shadow_runs import ShadowRuns
from app.serving.catalog.budget import MemoryBudget
from app.serving.catalog.champion_model import ChampionModel
from app.serving.catalog.default_model import DefaultModel
from app.serving.catalog.model_loader import LoadSlots, MappingLoader
from app.serving.catalog.models import LazyModel, PinnedVersion
from app.serving.catalog.named_source import NamedSource
from app.serving.event_log import events
from app.serving.fleet.protocol import CatalogReading, FleetMember, HeldModel, ReplicaGroup
from app.serving.loading.served_model import ServedModel
from app.serving.measures.history import History
from app.serving.measures.measures import Measures
from app.serving.model_source import ModelSource
from app.serving.requests.row_errors import shortened
from app.serving.rollout.member import RolloutMember
from app.serving.schemas import LoadRequest, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")
"""The number of a version."""


class Catalog:
    """The models by name.

    Args:
        default: The default model.
        registry: Client of MLflow.
        records: Returns the client for the rollouts of the model with a name.
        runs: Returns the client for the runs of the versions of the model with a name.
        loader: Prepares versions.
        group: All replicas.
        listed: Names of the models beside the default model; empty for all models with the tag `manta.serve`.
        memory_bytes: Bytes of all models beside the default model together.
        measures: Counts what the versions of all models do on this replica.
    """

    def __init__(
        self,
        default: DefaultModel,
        *,
        registry: Registry,
        records: Callable[[str], RolloutRecords],
        runs: Callable[[str], ShadowRuns],
        loader: MappingLoader,
        group: ReplicaGroup,
        listed: Collection[str],
        memory_bytes: int,
        measures: Measures,
    ) -> None:
        self.default = default
        self.registry = registry
        self._records = records
        self._runs = runs
        self.group = group
        self.listed = listed
        self.champions: dict[str, str | None] | None = None
        """Number of the champion by the name of each model beside the default model; None until they were read."""
        self.generation = 0
        """See `CatalogReading.generation`."""
        self.trouble = ""
        """Why the models could not be read last time; empty if they were read."""
        self.measures = measures
        self.history = History(measures.all)
        self.budget = MemoryBudget(memory_bytes, self._put_out)
        self._slots = LoadSlots(loader, self.budget)
        self._models: dict[str, ChampionModel] = {}
        self._pinned: dict[tuple[str, str], PinnedVersion] = {}

    def source(self, name: str | None = None, version: str | None = None) -> ModelSource:
        """Return what answers for a model. Nothing is loaded and nothing is kept before a version is required.

        Args:
            name: Name of the registered model; None for the default model.
            version: Number of the version; None for the champion.

        Raises:
            ModelNotFoundError: The service does not serve the model.
            ModelLoadingError: MLflow has not answered yet which models the service serves.
        """
        name = name or self.default.name
        if name != self.default.name:
            self.require_name(name)
        elif version is None:
            return self.default
        if version is not None and not VERSION.fullmatch(version):
            raise ModelNotFoundError(
                f"There is no version {shortened(version)!r} of {name!r}.", allowed="a positive number"
            )
        return NamedSource(self.find, name, version)

    def find(self, name: str, version: str | None) -> DefaultModel | LazyModel:
        """Return a model that `source` has accepted. It is not in memory before its first request or load."""
        model = self.default if name == self.default.name else self.model(name)
        if version is None or (model.served is not None and str(model.served.version.version) == version):
            return model
        key = (name, version)
        if key not in self._pinned:
            self._pinned[key] = PinnedVersion(
                model.name,
                version,
                registry=self.registry,
                slots=self._slots,
                forget=partial(self._pinned.pop, key, None),
            )
            self._pinned[key].is_known = True
        return self._pinned[key]

    def require_name(self, name: str) -> None:
        """Check that the service serves a model beside the default model.

        Raises:
            ModelNotFoundError: It does not.
            ModelLoadingError: MLflow has not answered yet which models the service serves.
        """
        if self.champions is None:
            raise ModelLoadingError(
                f"Which models the service serves is not known yet. {self.trouble}".strip(),
                next_step="Send the request again after the time in the header Retry-After. Check that MLflow answers.",
            )
        if name not in self.champions:
            raise ModelNotFoundError(
                f"The service does not serve the model {shortened(name)!r}.",
                allowed="the models of GET /models",
                next_step="Serve it: `manta serve NAME`, or set its tag manta.serve to true in MLflow.",
            )

    def model(self, name: str) -> ChampionModel:
        """Return a model beside the default model. It is not in memory before its first request or load."""
        if name not in self._models:
            self._models[name] = ChampionModel(
                name,
                registry=self.registry,
                records=self._records(name),
                runs=self._runs(name),
                keeps_rows=self.default.shadow_member.keeps_rows,
                slots=self._slots,
                group=self.group,
                replica_name=self.default.replica.name,
                measures=self.measures,
            )
            self._models[name].is_known = name in (self.champions or {})
        return self._models[name]

    def rollout_members(self) -> list[RolloutMember]:
        """Return the parts of this replica in the rollouts of all models."""
        return [self.default.rollout_member, *(model.rollouts.member for model in self._models.values())]

    def shadowed(self) -> set[str]:
        """Return the names of the models beside the default model that have a shadow on this replica."""
        return {name for name, model in self._models.items() if model.shadows.member.state is not None}

    def held_by_loads(self) -> list[ChampionModel]:
        """Return the models that a load of the fleet holds on this replica."""
        return [model for model in self._models.values() if model.replica.holder is not None]

    def served(self) -> Iterator[ServedModel]:
        """Yield the champions beside the default model that are in memory."""
        for model in self._models.values():
            if model.served is not None:
                yield model.served

    def held_models(self) -> list[HeldModel]:
        """Describe the models that this replica holds, loads or was asked for, except for the default model."""
        return [model.describe() for model in self._lazy_models() if model.served or model.is_busy or model.requests]

    def all_held_models(self) -> list[HeldModel]:
        """Describe the default model, and the models of `held_models`."""
        return [self.default.describe(), *self.held_models()]

    async def load(self, name: str, request: LoadRequest) -> tuple[ModelVersion, list[ReplicaInfo]]:
        """Serve a version of a model on every replica and make it the champion; see `Fleet.load`.

        Raises:
            ModelRefusedError: The stack lists the models of the service, and this is none of them.
            MantaError: See `Fleet.load`.
        """
        if self.listed and name not in self.listed:
            raise self._listed_error(name)
        return await self.model(name).load(request.model_copy(update={"name": name}))

    def refuse_stop(self, name: str) -> None:
        """Check that the service can stop to serve a model.

        Raises:
            ModelRefusedError: It is the default model, or the stack lists the models of the service.
            ModelNotFoundError, ModelLoadingError: See `require_name`.
        """
        if name == self.default.name:
            raise ModelRefusedError(
                f"{name!r} is the default model of the service, which always serves.",
                next_step="To serve another default model, set modelName of the stack (MANTA_MODEL_NAME).",
            )
        self.require_name(name)
        if self.listed:
            raise self._listed_error(name)

    async def on_model(self, model: str, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        """Call a method of a fleet's member for a model; see `ChampionModel.call`."""
        if method == FleetMember.measures.__name__:
            return self.measures.snapshots(model)
        return await self.model(model).call(method, args)

    async def on_catalog_read(self, reading: CatalogReading) -> list[HeldModel]:
        """Take over what a replica read from MLflow, and drop the models that the service does not serve any more.

        Returns:
            See `held_models`.
        """
        if self.is_outdated(reading):
            return self.held_models()
        self.generation, self.trouble = reading.generation, reading.trouble
        if not reading.trouble or self.champions is None:
            self.champions = None if reading.champions is None else dict(reading.champions)
        if self.champions is not None:
            self._drop_unknown(self.champions.keys() | {self.default.name})
        if not reading.trouble:
            for model in list(self._models.values()):
                await model.on_catalog_read(is_followed=model.name in reading.followed)
        return self.held_models()

    def is_outdated(self, reading: CatalogReading) -> bool:
        """Whether a reading began before a change of the models that this replica knows of."""
        return reading.generation < self.generation

    def _drop_unknown(self, known: Collection[str]) -> None:
        """Drop the models that the service does not serve any more.

        A model that a load by name has just put into memory is not among the known models before it has its tag.
        """
        for model in list(self._lazy_models()):
            if model.name in known:
                model.is_known = True
            elif not model.is_busy and (model.is_known or model.served is None):
                model.unload()
                if self._models.get(model.name) is model:
                    del self._models[model.name]
                event = events.MODEL_WITHDRAWN(model=model.name)
                log.info("%r is not served any more", model.name, extra=event)

    async def stop(self) -> None:
        """End the loads that this replica runs."""
        for model in list(self._lazy_models()):
            await model.stop()

    def _lazy_models(self) -> Iterator[LazyModel]:
        yield from self._models.values()
        yield from self._pinned.values()

    def _put_out(self) -> bool:
        """Put out the model that was used least recently; False if every model is being loaded."""
        candidates = [model for model in self._lazy_models() if model.served is not None and not model.is_busy]
        if not candidates:
            return False
        model = min(candidates, key=lambda candidate: candidate.order)
        log.info("%r is put out of memory", model.name, extra=events.MODEL_PUT_OUT(model=model.name))
        model.unload()
        return True

    def _listed_error(self, name: str) -> ModelRefusedError:
        return ModelRefusedError(
            f"The stack lists the models of this service. {shortened(name)!r} cannot be switched on or off here.",
            allowed=", ".join(self.listed),
            next_step="Change the key `models` of the stack (MANTA_MODELS).",
        )
