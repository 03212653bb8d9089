"""Replicas in one process that ask each other directly, over a registry in memory."""

import asyncio
from dataclasses import dataclass, field

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from sklearn.linear_model import LinearRegression

from app.errors import ModelNotFoundError, ModelRefusedError, PlatformError, RegistryUnavailableError
from app.models.artifact import Artifact
from app.models.registry import Registry
from app.models.signature import Column, Columns
from app.serving.fleet.alias_follower import Follower
from app.serving.fleet.load import Answer, Fleet
from app.serving.fleet.replica import Replica
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
"""What every version holds."""


class FakeRegistry(Registry):
    """Versions 1 to 9 of one model, and an alias."""

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
            raise ModelNotFoundError("There is none.")
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
class Member:
    """One replica, and what runs on it."""

    replica: Replica
    fleet: Fleet
    follower: Follower
    is_lost: bool = False

    async def answer(self, step: str, *args: object) -> object:
        owner = self.follower if step == "heard" else self.replica
        answered: object = await getattr(owner, step)(*args)
        return answered


@dataclass
class FakePeers:
    """All members that are not lost; a lost one neither answers nor is listed."""

    members: list[Member] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    is_away: bool = False

    async def ask(self, step: str, *args: object, kind: type[Answer], timeout_s: float) -> list[Answer]:
        if self.is_away:
            raise PlatformError("The replicas do not answer.")
        self.asked.append(step)
        live = [member for member in self.members if not member.is_lost]
        async with asyncio.timeout(timeout_s):
            answers = await asyncio.gather(*(member.answer(step, *args) for member in live))
        return [answer for answer in answers if isinstance(answer, kind)]

    async def running(self) -> int:
        return len([member for member in self.members if not member.is_lost])

    def add(self, registry: Registry) -> Member:
        """A replica that is not started yet."""
        replica = Replica(
            registry,
            model_name=MODEL,
            name=f"r{len(self.members)}",
            on_swap=lambda _: None,
            on_refusal=lambda _: None,
        )
        fleet = Fleet(replica, self)
        member = Member(replica, fleet, Follower(fleet))
        self.members.append(member)
        return member

    def versions(self) -> list[str | None]:
        """What the members serve."""
        return [member.replica.info.version for member in self.members if not member.is_lost]
