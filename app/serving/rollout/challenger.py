"""The challenger on every replica: it is loaded as the champion is, beside it, on all replicas or on none."""

from typing import Any

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import ModelNotFoundError
from app.models.registry import Registry
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.forwarding_group import ForwardingGroup
from app.serving.fleet.protocol import FleetMember, Loader, ReplicaGroup
from app.serving.fleet.replica import Replica
from app.serving.loading.served_model import FilesLocation, PackedModel, ServedModel


class ChallengerRegistry(Registry):
    """A registry in which the alias `challenger` takes the place of `champion`.

    Args:
        registry: The registry. Of the methods that move aliases, none is called: a rollout moves the alias itself.
    """

    def __init__(self, registry: Registry) -> None:
        self.uri = registry.uri
        self._registry = registry

    def champion(self, name: str) -> ModelVersion | None:
        """Look up the version that the alias `challenger` names; None if there is none."""
        try:
            return self._registry.find(name, alias=names.CHALLENGER)
        except ModelNotFoundError:
            return None


class WarmLoader:
    """A loader that takes a version of a rollout from memory. Other versions it prepares as ever.

    Args:
        loader: Prepares versions.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self.timeout_s = loader.timeout_s
        self.warm: dict[str, ServedModel] = {}
        """Versions in memory by their number: the challenger, and the champion before."""

    async def prepare(self, version: ModelVersion, location: FilesLocation | None = None) -> ServedModel:
        """Return a version from memory, or prepare it."""
        model = self.warm.get(str(version.version))
        if model is not None and model.version.name == version.name:
            return model
        return await self._loader.prepare(version, location)

    async def keep(self, model: ServedModel) -> None:
        """See `Loader.keep`."""
        await self._loader.keep(model)

    async def last_kept(self) -> ServedModel | None:
        """See `Loader.last_kept`."""
        return await self._loader.last_kept()

    async def pack(self, model: ServedModel) -> PackedModel:
        """See `Loader.pack`."""
        return await self._loader.pack(model)

    async def unpack(self, packed: PackedModel) -> ServedModel:
        """See `Loader.unpack`."""
        return await self._loader.unpack(packed)

    async def close(self) -> None:
        """See `Loader.close`."""
        await self._loader.close()


class ChallengerLoader(WarmLoader):
    """The loader of the challenger: the node keeps no copy of it."""

    async def keep(self, model: ServedModel) -> None:
        """Do nothing."""

    async def last_kept(self) -> ServedModel | None:
        """Return None."""
        return None


class Challenger:
    """The challenger of one replica.

    Args:
        champion: The replica's champion.
        group: All replicas.
        loader: Prepares versions for the challenger; None for the loader of the champion.
    """

    def __init__(self, champion: Replica, group: ReplicaGroup, loader: Loader | None = None) -> None:
        self.replica = Replica(
            ChallengerRegistry(champion.registry),
            ChallengerLoader(loader or champion.loader),
            model_name=champion.model_name,
            name=champion.name,
            on_swap=lambda _: None,
            on_refusal=lambda _: None,
        )
        self.replica.role = names.CHALLENGER
        self.fleet = Fleet(self.replica, ForwardingGroup(group, FleetMember.on_challenger))

    async def call(self, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - the type depends on the method
        """Call a method of a fleet's member for the challenger; see `FleetMember`."""
        if method == "report":
            return self.replica.report
        if method not in METHODS:
            raise ValueError(f"{method} is no method for a challenger")
        return await getattr(self.replica, method)(*args)


METHODS = frozenset({"claim", "prepare", "commit", "roll_back", "release"})
"""Methods of a fleet's member that a `Replica` implements under the same name."""
