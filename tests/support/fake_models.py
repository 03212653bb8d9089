"""A model registry and a loader in memory."""

import asyncio
import json
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from sklearn.linear_model import LinearRegression
from starlette.requests import Request
from starlette.responses import Response

from app import names
from app.errors import ModelNotFoundError, ModelRefusedError, RegistryUnavailableError
from app.models.answers import Answers
from app.models.artifact import Artifact
from app.models.predictor import Predictor, compile_model
from app.models.recent_trainings import RecentTraining, RecentTrainings
from app.models.recent_versions import RecentVersion
from app.models.registry import Registry
from app.models.served_models import ServedModels
from app.models.signature import Column, Columns
from app.serving.loading.served_model import FilesLocation, PackedModel, PreparedFiles, ServedModel
from app.serving.measures.tally import Answered
from app.serving.model_answer import Reply
from app.serving.schemas import Example
from app.settings import Settings

MODEL = "m"
MODEL_BYTES = 1000
"""Size of every version."""
EXAMPLE = pd.DataFrame({"a": [1.0, 2.0]})
ARTIFACT = Artifact(
    model=LinearRegression().fit(EXAMPLE, EXAMPLE["a"]),
    columns=Columns([Column(name="a")]),
    example=EXAMPLE,
    example_predictions=None,
    example_probabilities=None,
    example_labels=[],
)
PREDICTOR = compile_model(ARTIFACT, label="m")
"""The predictor of every version."""


class LoggedShadow(NamedTuple):
    """What was written to the run of a version."""

    version: str
    metrics: dict[str, float]
    documents: dict[str, Any]
    """The values have any type of JSON."""


@dataclass
class NamedRollout:
    """What is stored about the rollouts and the shadow of a model beside the default model."""

    challenger: str | None = None
    previous: str | None = None
    rollout: str = ""
    shadow: str | None = None
    shadow_tag: str = ""

    @property
    def is_followed(self) -> bool:
        """Whether the rollout has not ended, or there is a shadow."""
        is_open = self.rollout != "" and not json.loads(self.rollout)["is_closed"]
        return is_open or self.challenger is not None or self.shadow is not None


class FakeTrainings(RecentTrainings):
    """The trainings of a registry in memory."""

    def __init__(self, registry: "FakeRegistry") -> None:
        super().__init__(registry.uri, "manta")
        self.newest: list[RecentTraining] = []
        self._registry = registry

    def read(self, count: int) -> list[RecentTraining]:
        self._registry._require_up()
        return self.newest[:count]


class FakeRegistry(Registry):
    """A registry in memory: any version number exists."""

    def __init__(self) -> None:
        super().__init__(Settings(mlflow_tracking_uri="http://127.0.0.1:9"))
        self.trainings: FakeTrainings = FakeTrainings(self)
        self.alias: str | None = None
        self.challenger: str | None = None
        """The version that the alias `challenger` names."""
        self.previous: str | None = None
        """The version that the alias `previous` names."""
        self.rollout = ""
        """Value of the tag of the rollout."""
        self.shadow: str | None = None
        """The version that the alias `shadow` names."""
        self.shadow_tag = ""
        """Value of the tag of the shadow."""
        self.logged: list[LoggedShadow] = []
        """What was written to the runs of shadows."""
        self.version_tags: dict[str, dict[str, str]] = {}
        """The verdicts of rollouts by version."""
        self.deleted: set[str] = set()
        """Versions that somebody has deleted. Their verdicts cannot be written."""
        self.is_down = False
        self.refused: set[str] = set()
        """Versions that no replica can load."""
        self.promoted: list[str] = []
        """Every version that the alias was moved to by a load."""
        self.champions: dict[str, str | None] = {}
        """The champions of the models beside the default model, by name. They are the tagged models."""
        self.named_rollouts: dict[str, NamedRollout] = {}
        """The rollouts of the models beside the default model, by name."""
        self.reads = 0
        """How often all models were read."""
        self.versions: list[RecentVersion] = []
        """The versions that MLflow's page would list, newest first."""

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        self._require_up()
        number = self.champions.get(name, self.alias if name == MODEL else None) if alias else version
        if alias == names.CHALLENGER:
            number = self.challenger if name == MODEL else self.named_rollout(name).challenger
        if number is None:
            raise ModelNotFoundError("There is no such alias.")
        return ModelVersion(name=name, version=number, creation_timestamp=0)

    def served_models(self, listed: Collection[str]) -> ServedModels:
        self._require_up()
        self.reads += 1
        champions = {name: self.champions.get(name) for name in listed} if listed else dict(self.champions)
        followed = frozenset(name for name, rollout in self.named_rollouts.items() if rollout.is_followed)
        return ServedModels(champions, followed)

    def named_rollout(self, name: str) -> NamedRollout:
        """What is stored about the rollouts of a model beside the default model."""
        return self.named_rollouts.setdefault(name, NamedRollout())

    def recent_versions(self, name: str, count: int) -> list[RecentVersion]:
        self._require_up()
        if not self.versions:
            raise ModelNotFoundError(f"There is no registered model {name!r}.")
        return self.versions[:count]

    def mark_served(self, name: str, *, is_served: bool) -> None:
        self._require_up()
        if is_served:
            self.champions.setdefault(name, None)
        else:
            del self.champions[name]

    def promote(self, version: ModelVersion) -> None:
        self._require_up()
        if version.name != MODEL:
            self.champions[version.name] = str(version.version)
            return
        self.alias = str(version.version)
        self.promoted.append(self.alias)

    def restore_champion(self, version: ModelVersion, champion: str | None) -> None:
        self._require_up()
        if version.name != MODEL:
            self.champions[version.name] = champion
            return
        if self.alias == str(version.version):
            self.alias = champion

    def record_promotion(self, version: ModelVersion) -> None:
        del version
        self._require_up()

    def _require_up(self) -> None:
        if self.is_down:
            raise RegistryUnavailableError("MLflow does not answer.")


class FakeLoader:
    """A loader in memory that the test can make slow or refuse."""

    def __init__(self, registry: FakeRegistry) -> None:
        self.timeout_s = 5.0
        self.refused: set[str] = set()
        """Versions that this loader refuses, beside those of the registry."""
        self.error: Exception | None = None
        """What the next calls of `prepare` raise."""
        self.gate: asyncio.Event | None = None
        """`prepare` waits for this event."""
        self.prepared: list[str] = []
        """The versions that `prepare` was called for."""
        self.locations: list[FilesLocation | None] = []
        """Where each call of `prepare` may find the files of the version."""
        self.files: PreparedFiles | None = None
        """The files of the versions that `prepare` returns."""
        self.predictors: dict[str, Predictor] = {}
        """The predictors of some versions, by number."""
        self.sizes: dict[str, int] = {}
        """Bytes of the versions of some models."""
        self.kept: ServedModel | None = None
        self.is_closed = False
        self._registry = registry

    async def prepare(
        self, version: ModelVersion, location: FilesLocation | None = None, *, is_mapped: bool = False
    ) -> ServedModel:
        del is_mapped
        self.locations.append(location)
        number = str(version.version)
        self.prepared.append(number)
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        self._registry.find(version.name, version=number)
        if number in self._registry.refused | self.refused:
            raise ModelRefusedError("It is damaged.")
        size_bytes = self.sizes.get(version.name, MODEL_BYTES)
        model = served_model(number, self.files, name=version.name, size_bytes=size_bytes)
        return replace(model, predictor=self.predictors.get(number, PREDICTOR))

    async def keep(self, model: ServedModel) -> None:
        self.kept = model

    async def last_kept(self) -> ServedModel | None:
        return self.kept

    async def pack(self, model: ServedModel) -> PackedModel:
        return PackedModel(version=model.version, digest="", content=b"")

    async def unpack(self, packed: PackedModel, *, is_mapped: bool = False) -> ServedModel:
        del is_mapped
        return served_model(str(packed.version.version), name=packed.version.name)

    async def close(self) -> None:
        self.is_closed = True


def served_model(
    number: str, files: PreparedFiles | None = None, *, name: str = MODEL, size_bytes: int = MODEL_BYTES
) -> ServedModel:
    """A version that is ready to serve."""
    return ServedModel(
        version=ModelVersion(name=name, version=number, creation_timestamp=0),
        predictor=PREDICTOR,
        example=Example(features=EXAMPLE.to_numpy().tolist(), labels=[]),
        self_test="passed",
        loaded_in_ms=1.0,
        files=files,
        size_bytes=size_bytes,
    )


def reply_of(served: ServedModel, answers: Answers) -> Reply:
    """The answer of a version to a request that has just been answered."""
    return Reply(Response(), Answered(len(answers.predictions), 0.0, None), answers, served, time.perf_counter())


def request_with_id(request_id: bytes) -> Request:
    """A request with an id; without a header if the id is empty."""
    headers = [(b"host", b"x"), (b"x-request-id", request_id)] if request_id else []
    return Request({"type": "http", "headers": headers})
