"""The calls that replicas make to one another, and their messages.

`app.serving.application.ModelServer` answers the calls. `app.serving.fleet.load` and `app.serving.fleet.alias_follower`
make them through a `ReplicaGroup`.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from mlflow.entities.model_registry import ModelVersion

from app.serving.schemas import ReplicaInfo

Args = ParamSpec("Args")
Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class LoadId:
    """Identifies one load of the fleet."""

    uuid: str
    label: str
    """The model version that is being loaded, for messages."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A replica's answer to a load that claims it."""

    replica: str
    holder: LoadId
    """The load that holds this replica: the first one that claimed it."""
    running_load: LoadId | None
    """The load that this replica itself runs. A claim expires if no replica runs its load any more."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why a model version cannot serve."""

    version: str
    reason: str
    refused_at_s: float
    """Seconds on the monotonic clock of the replica that recorded the refusal."""


@dataclass(frozen=True, kw_only=True)
class AliasReading:
    """What a replica learned when it read the alias `champion`."""

    champion: ModelVersion | None
    """The model version that the alias names; None if there is no alias, or if it could not be read."""
    is_served: bool
    """Whether the replica that read the alias serves the champion."""
    trouble: str
    """Why the alias could not be read; empty if it was read."""


class FleetMember(ABC):
    """The methods that replicas call on each other. Each is described where it is implemented."""

    @abstractmethod
    async def claim(self, load: LoadId) -> Claim:
        """See `app.serving.fleet.replica.Replica.claim`."""

    @abstractmethod
    async def prepare(self, load: LoadId, version: ModelVersion) -> ReplicaInfo | Claim:
        """See `app.serving.fleet.replica.Replica.prepare`."""

    @abstractmethod
    async def commit(self, load: LoadId, version: ModelVersion) -> ReplicaInfo:
        """See `app.serving.fleet.replica.Replica.commit`."""

    @abstractmethod
    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        """See `app.serving.fleet.replica.Replica.release`."""

    @abstractmethod
    async def report(self) -> ReplicaInfo:
        """Return what this replica serves."""

    @abstractmethod
    async def on_alias_seen(self, reading: AliasReading) -> None:
        """See `app.serving.fleet.alias_follower.AliasFollower.on_alias_seen`."""


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
