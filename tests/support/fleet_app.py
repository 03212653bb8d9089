"""The Serve application, whose loads a test can pause, or make refuse on one replica."""

import asyncio
import dataclasses
import os
import time
from pathlib import Path

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from ray import serve

from app import names
from app.errors import ModelRefusedError
from app.models.answers import Answers
from app.models.predictor import Predictor
from app.models.registry import Registry
from app.serving.application import ModelServer, ServeArgs
from app.serving.fleet.protocol import Loader
from app.serving.loading.served_model import FilesLocation, PackedModel, ServedModel
from app.serving.requests.limits import MAX_ONGOING_REQUESTS
from app.settings import settings
from tests.support.ray_cluster import HOOKS_FOLDER_VARIABLE

HOLD_TIMEOUT_S = 120.0


class Hooks:
    """The files with which a test pauses a replica or makes it refuse."""

    def __init__(self) -> None:
        self._folder = Path(os.environ[HOOKS_FOLDER_VARIABLE])
        self._replica = serve.get_replica_context().replica_id.unique_id

    def wait(self, step: str) -> None:
        """Wait while a file `hold-STEP` exists. A file `held-STEP-REPLICA` tells the test that this replica waits."""
        hold, deadline = self._folder / f"hold-{step}", time.monotonic() + HOLD_TIMEOUT_S
        if hold.exists():
            (self._folder / f"held-{step}-{self._replica}").touch()
        while hold.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def is_slow(self) -> bool:
        """Whether a file `slow` exists."""
        return (self._folder / "slow").exists()

    def refuses(self) -> bool:
        """Whether a file `refuse-REPLICA` exists."""
        return (self._folder / f"refuse-{self._replica}").exists()


class HookedRegistry(Registry):
    """Pauses before the alias is moved."""

    def __init__(self, hooks: Hooks) -> None:
        super().__init__(settings())
        self._hooks = hooks

    def promote(self, version: ModelVersion) -> None:
        self._hooks.wait("promote")
        super().promote(version)


class SlowPredictor(Predictor):
    """Takes half a second for each request, like a model that is far too large."""

    def predict(self, rows: np.ndarray) -> Answers:
        time.sleep(0.5)
        return super().predict(rows)

    def tree_walks(self, rows: int) -> float:
        del rows
        return float("inf")


class HookedLoader:
    """Pauses before a version is prepared, refuses it, or makes it slow."""

    def __init__(self, loader: Loader, hooks: Hooks) -> None:
        self._loader = loader
        self._hooks = hooks
        self.timeout_s = loader.timeout_s

    async def prepare(self, version: ModelVersion, location: FilesLocation | None = None) -> ServedModel:
        await asyncio.to_thread(self._hooks.wait, "prepare")
        if self._hooks.refuses():
            raise ModelRefusedError("The disk is full.")
        model = await self._loader.prepare(version, location)
        if self._hooks.is_slow():
            return dataclasses.replace(model, predictor=SlowPredictor(**vars(model.predictor)))
        return model

    async def keep(self, model: ServedModel) -> None:
        await self._loader.keep(model)

    async def last_kept(self) -> ServedModel | None:
        return await self._loader.last_kept()

    async def pack(self, model: ServedModel) -> PackedModel:
        return await self._loader.pack(model)

    async def unpack(self, packed: PackedModel) -> ServedModel:
        return await self._loader.unpack(packed)

    async def close(self) -> None:
        await self._loader.close()


class HookedServer(ModelServer):
    """A replica with hooks."""

    def __init__(self, args: ServeArgs) -> None:
        super().__init__(args)
        hooks = Hooks()
        self._replica.registry = HookedRegistry(hooks)
        self._replica.loader = HookedLoader(self._replica.loader, hooks)


def build(args: ServeArgs) -> serve.Application:
    """Build the application as `app.serving.application` does."""
    deployment = serve.deployment(name=names.DEPLOYMENT, max_ongoing_requests=MAX_ONGOING_REQUESTS)
    application: serve.Application = deployment(serve.ingress()(HookedServer)).bind(args)
    return application
