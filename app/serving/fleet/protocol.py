"""The calls that replicas make to one another, and their messages.

`app.serving.application.ModelServer` answers the calls. `app.serving.fleet.load` and `app.serving.fleet.alias_follower`
make them through a `ReplicaGroup`.

Each swap of the fleet has a generation: a number that is larger than the generation of every swap before it. A replica
ignores a swap with a lower generation than its own, so a slow load never undoes a newer one.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from mlflow.entities.model_registry import ModelVersion

from app.errors import MantaError
from app.serving.loading.served_model import FilesLocation, PackedModel, ServedModel
from app.serving.measures.history import Track
from app.serving.measures.tally import TallySnapshot
from app.serving.schemas import ReplicaInfo

Args = ParamSpec("Args")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class LoadId:
    """Identifies one load of the fleet."""

    uuid: str
    label: str
    """The model version that is being loaded, for messages."""
    is_for_holders: bool = False
    """Whether replicas that hold no version of the model stay without one."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Which load holds a replica."""

    replica: str
    holder: LoadId | None
    """The load that holds this replica: the first one that claimed it. None if no load holds it."""
    running_load: LoadId | None
    """The load that this replica itself runs. A claim expires if no replica runs its load any more."""
    generation: int
    """Generation of the replica's last swap."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a replica serves."""

    info: ReplicaInfo
    generation: int
    """Generation of the replica's last swap."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a replica cannot prepare a version or swap to it."""

    replica: str
    error: MantaError


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a model version cannot serve."""

    version: str
    reason: str
    refused_at_s: float
    """Seconds on the monotonic clock of the replica that recorded the refusal."""
    attempts: int
    """How often this version was refused in a row."""


@dataclass(frozen=True, kw_only=True)
class AliasReading:
    """What a replica learned when it read the alias `champion`."""

    champion: ModelVersion | None
    """The model version that the alias names; None if there is no alias, or if it could not be read."""
    is_served: bool
    """Whether the replica that read the alias serves the champion."""
    generation: int
    """Generation of that replica's last swap."""
    trouble: str
    """Why the alias could not be read; empty if it was read."""


@dataclass(frozen=True, kw_only=True)
class CatalogReading:
    """What a replica learned when it read which models the service serves."""

    champions: Mapping[str, str | None] | None
    """Number of the champion by the name of each model, None for a model without a champion, as it was read
    last. None if they were never read."""
    followed: frozenset[str]
    """Names of the models with a rollout that has not ended, or with a shadow."""
    trouble: str
    """Why the models could not be read; empty if they were read."""
    answer_s: float
    """Seconds that MLflow took for its answer."""
    generation: int
    """The last change of the models by name that the replica knew of when it began to read, in nanoseconds since 1970.
    A replica that knows of a later change ignores the reading, which may lack that change."""


@dataclass(frozen=True, kw_only=True)
class HeldModel:
    """A model as one replica holds it."""

    name: str
    version: str | None
    """Number of the version that serves; None if the replica holds none at present."""
    size_bytes: int
    is_loading: bool
    is_pinned: bool
    """Whether the version was asked for by its number."""
    last_used_s: float | None
    """Seconds since 1970 of the last request; None without one."""
    requests: int
    """Requests since the replica started."""
    refused: str | None
    """The version that was refused since the last swap, and the reason."""


class FleetMember(ABC):
    """The methods that replicas call on each other. Each is described where it is implemented."""

    @abstractmethod
    async def claim(self, load: LoadId | None) -> Claim:
        """See `app.serving.fleet.replica.Replica.claim`."""

    @abstractmethod
    async def prepare(
        self, load: LoadId, version: ModelVersion, location: FilesLocation | None
    ) -> Report | Claim | Failure:
        """See `app.serving.fleet.replica.Replica.prepare`."""

    @abstractmethod
    async def commit(self, load: LoadId, version: ModelVersion, generation: int) -> Report | Claim | Failure:
        """See `app.serving.fleet.replica.Replica.commit`."""

    @abstractmethod
    async def roll_back(self, load: LoadId, generation: int) -> Report:
        """See `app.serving.fleet.replica.Replica.roll_back`."""

    @abstractmethod
    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        """See `app.serving.fleet.replica.Replica.release`."""

    @abstractmethod
    async def report(self) -> Report:
        """Return what this replica serves."""

    @abstractmethod
    async def share(self, replica: str) -> PackedModel | Failure | None:
        """See `app.serving.fleet.replica.Replica.share`."""

    @abstractmethod
    async def on_alias_seen(self, reading: AliasReading) -> None:
        """See `app.serving.fleet.alias_follower.AliasFollower.on_alias_seen`."""

    @abstractmethod
    async def on_model(self, model: str, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        """Call one of the methods above for a model of the catalog; see `app.serving.catalog.catalog.Catalog`."""

    @abstractmethod
    async def on_catalog_read(self, reading: CatalogReading) -> list[HeldModel]:
        """See `app.serving.catalog.catalog.Catalog.on_catalog_read`."""

    @abstractmethod
    async def held_models(self) -> list[HeldModel]:
        """See `app.serving.catalog.catalog.Catalog.all_held_models`."""

    @abstractmethod
    async def on_challenger(self, method: str, args: tuple[Any, ...]) -> Any:  # noqa: ANN401 - as `method`
        """Call one of the methods above for the challenger; see `app.serving.rollout.challenger.Challenger`."""

    @abstractmethod
    async def on_rollout(self, state: Any) -> Any:  # noqa: ANN401 - the fleet does not know rollouts
        """See `app.serving.rollout.rollout_follower.RolloutFollower.on_state`."""

    @abstractmethod
    async def report_rollout(self) -> Any:  # noqa: ANN401 - the fleet does not know rollouts
        """See `app.serving.rollout.member.RolloutMember.report`."""

    @abstractmethod
    async def on_shadow(self, state: Any) -> None:  # noqa: ANN401 - the fleet does not know shadows
        """See `app.serving.shadow.member.ShadowMember.on_state`."""

    @abstractmethod
    async def report_shadow(self, is_for_run: bool) -> Any:  # noqa: ANN401, FBT001 - see above; a call by position
        """See `app.serving.shadow.shadows.Shadows.on_report`."""

    @abstractmethod
    async def on_labels(self, labels: Any) -> int:  # noqa: ANN401 - the fleet does not know rollouts
        """See `app.serving.rollout.member.RolloutMember.on_labels`."""

    @abstractmethod
    async def measures(self, model: str) -> list[TallySnapshot]:
        """Return what the versions of a model did on this replica."""

    @abstractmethod
    async def measures_history(self, model: str) -> list[Track]:
        """Return what the versions of a model did on this replica in the last hour."""


class Loader(Protocol):
    """Makes model versions ready to serve; see `app.serving.loading.loader.ModelLoader`."""

    timeout_s: float

    async def prepare(self, version: ModelVersion, location: FilesLocation | None = None) -> ServedModel:
        """Download, check and compile a version, unless another replica on this node has done it."""

    async def keep(self, model: ServedModel) -> None:
        """Keep a copy of a version on this node."""

    async def last_kept(self) -> ServedModel | None:
        """Prepare the copy on this node."""

    async def pack(self, model: ServedModel) -> PackedModel:
        """Pack a version for another replica."""

    async def unpack(self, packed: PackedModel) -> ServedModel:
        """Prepare a version that another replica has packed."""

    async def close(self) -> None:
        """End the processes of this loader."""


class ReplicaGroup(Protocol):
    """All replicas of the deployment, including this one."""

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        """Call a method on every live replica.

        Args:
            method: A method of `FleetMember`, such as `FleetMember.claim`.
            timeout_s: Limit for all answers together, in seconds.
            args: Positional arguments of the method.
            kwargs: Keyword arguments of the method.

        Returns:
            The answers in any order. A replica that is lost during the call gives no answer.

        Raises:
            PlatformError: A replica did not answer in time or raised an exception, or Serve cannot list the replicas.
        """

    async def count_running(self) -> int:
        """Return how many replicas take requests, according to Serve's controller.

        Raises:
            PlatformError: The controller does not answer.
        """
