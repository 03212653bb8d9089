"""A fleet in one process: replicas that call each other directly, with a registry in memory."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Concatenate

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from sklearn.linear_model import LinearRegression

from app.errors import ModelNotFoundError, ModelRefusedError, PlatformError, RegistryUnavailableError
from app.models.artifact import Artifact
from app.models.registry import Registry
from app.models.signature import Column, Columns
from app.serving.fleet.alias_follower import AliasFollower
from app.serving.fleet.load import Fleet
from app.serving.fleet.protocol import AliasReading, Answer, Args, Claim, FleetMember, LoadId, Refusal
from app.serving.fleet.replica import Replica
from app.serving.schemas import ReplicaInfo
from app.settings import Settings

MODEL = "m"
EXAMPLE = pd.DataFrame({"a": [1.0, 2.0]})
ARTIFACT = Artifact(
    model=LinearRegression().fit(EXAMPLE, EXAMPLE["a"]),
    columns=Columns([Column(name="a")]),
    example=EXAMPLE,
    example_predictions=None,
    example_probabilities=None,
    example_labels=[],
)
"""The artifact of every version."""


class FakeRegistry(Registry):
    """A registry in memory: any version number exists, and `refused` versions cannot be loaded."""

    def __init__(self) -> None:
        super().__init__(Settings(mlflow_tracking_uri="http://127.0.0.1:9"))
        self.alias: str | None = None
        self.is_down = False
        self.refused: set[str] = set()
        self.reads = 0

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        if self.is_down:
            raise RegistryUnavailableError("MLflow does not answer.")
        self.reads += 1
        number = self.alias if alias else version
        if number is None:
            raise ModelNotFoundError("There is no such alias.")
        return ModelVersion(name=name, version=number, creation_timestamp=0)

    def fetch(self, version: ModelVersion) -> Artifact:
        if self.is_down:
            raise RegistryUnavailableError("MLflow does not answer.")
        if str(version.version) in self.refused:
            raise ModelRefusedError("It is damaged.")
        return ARTIFACT

    def promote(self, version: ModelVersion) -> None:
        if self.is_down:
            raise RegistryUnavailableError("MLflow does not answer.")
        self.alias = str(version.version)


@dataclass
class Member(FleetMember):
    """One replica of the fake fleet."""

    replica: Replica
    fleet: Fleet
    follower: AliasFollower
    is_lost: bool = False

    async def claim(self, load: LoadId) -> Claim:
        return await self.replica.claim(load)

    async def prepare(self, load: LoadId, version: ModelVersion) -> ReplicaInfo | Claim:
        return await self.replica.prepare(load, version)

    async def commit(self, load: LoadId, version: ModelVersion) -> ReplicaInfo:
        return await self.replica.commit(load, version)

    async def release(self, load: LoadId, refusal: Refusal | None) -> None:
        await self.replica.release(load, refusal)

    async def report(self) -> ReplicaInfo:
        return self.replica.info

    async def on_alias_seen(self, reading: AliasReading) -> None:
        await self.follower.on_alias_seen(reading)


@dataclass
class FakeReplicaGroup:
    """All members that are not lost. A lost member does not answer and does not count as running."""

    members: list[Member] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    """Names of the methods that were broadcast."""
    is_away: bool = False

    async def broadcast(
        self,
        method: Callable[Concatenate[FleetMember, Args], Awaitable[Answer]],
        timeout_s: float,
        *args: Args.args,
        **kwargs: Args.kwargs,
    ) -> list[Answer]:
        if self.is_away:
            raise PlatformError("The replicas do not answer.")
        name = method.__name__
        self.calls.append(name)
        live = [member for member in self.members if not member.is_lost]
        async with asyncio.timeout(timeout_s):
            return list(await asyncio.gather(*(getattr(member, name)(*args, **kwargs) for member in live)))

    async def count_running(self) -> int:
        return len([member for member in self.members if not member.is_lost])

    def add(self, registry: Registry) -> Member:
        """Add a replica that is not started yet."""
        replica = Replica(
            registry,
            model_name=MODEL,
            name=f"r{len(self.members)}",
            on_swap=lambda _: None,
            on_refusal=lambda _: None,
        )
        fleet = Fleet(replica, self)
        member = Member(replica, fleet, AliasFollower(fleet))
        self.members.append(member)
        return member

    def versions(self) -> list[str | None]:
        """The version that each live member serves."""
        return [member.replica.served_version for member in self.members if not member.is_lost]
