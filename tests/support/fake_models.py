"""A model registry and a loader in memory."""

import asyncio

import pandas as pd
from mlflow.entities.model_registry import ModelVersion
from sklearn.linear_model import LinearRegression

from app.errors import ModelNotFoundError, ModelRefusedError, RegistryUnavailableError
from app.models.artifact import Artifact
from app.models.predictor import compile_model
from app.models.registry import Registry
from app.models.signature import Column, Columns
from app.serving.loading.served_model import FilesLocation, PackedModel, PreparedFiles, ServedModel
from app.serving.schemas import Example
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
PREDICTOR = compile_model(ARTIFACT, label="m")
"""The predictor of every version."""


class FakeRegistry(Registry):
    """A registry in memory: any version number exists."""

    def __init__(self) -> None:
        super().__init__(Settings(mlflow_tracking_uri="http://127.0.0.1:9"))
        self.alias: str | None = None
        self.is_down = False
        self.refused: set[str] = set()
        """Versions that no replica can load."""
        self.promoted: list[str] = []
        """Every version that the alias was moved to by a load."""

    def find(self, name: str, *, version: str | None = None, alias: str | None = None) -> ModelVersion:
        self._require_up()
        number = self.alias if alias else version
        if number is None:
            raise ModelNotFoundError("There is no such alias.")
        return ModelVersion(name=name, version=number, creation_timestamp=0)

    def promote(self, version: ModelVersion) -> None:
        self._require_up()
        self.alias = str(version.version)
        self.promoted.append(self.alias)

    def restore_champion(self, version: ModelVersion, champion: str | None) -> None:
        self._require_up()
        if self.alias == str(version.version):
            self.alias = champion

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
        self.kept: ServedModel | None = None
        self.is_closed = False
        self._registry = registry

    async def prepare(self, version: ModelVersion, location: FilesLocation | None = None) -> ServedModel:
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
        return served_model(number, self.files)

    async def keep(self, model: ServedModel) -> None:
        self.kept = model

    async def last_kept(self) -> ServedModel | None:
        return self.kept

    async def pack(self, model: ServedModel) -> PackedModel:
        return PackedModel(version=model.version, digest="", content=b"")

    async def unpack(self, packed: PackedModel) -> ServedModel:
        return served_model(str(packed.version.version))

    async def close(self) -> None:
        self.is_closed = True


def served_model(number: str, files: PreparedFiles | None = None) -> ServedModel:
    """A version that is ready to serve."""
    return ServedModel(
        version=ModelVersion(name=MODEL, version=number, creation_timestamp=0),
        predictor=PREDICTOR,
        example=Example(features=EXAMPLE.to_numpy().tolist(), labels=[]),
        self_test="passed",
        loaded_in_ms=1.0,
        files=files,
    )
