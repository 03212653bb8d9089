"""The Serve application with a registry client that a test can pause, or make refuse on one replica."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion
from ray import serve

from app import names
from app.errors import ModelRefusedError
from app.models.artifact import Artifact
from app.models.registry import Registry
from app.serving.application import ModelServer, ServeArgs
from app.serving.requests.limits import MAX_ONGOING_REQUESTS
from app.settings import settings
from tests.support.ray_cluster import HOOKS_FOLDER_VARIABLE

HOLD_TIMEOUT_S = 120.0


class HookedRegistry(Registry):
    """Pauses while a file `hold-STEP` exists, and refuses versions while a file `refuse-REPLICA` exists."""

    def __init__(self) -> None:
        super().__init__(settings())
        self._folder = Path(os.environ[HOOKS_FOLDER_VARIABLE])
        self._replica = serve.get_replica_context().replica_id.unique_id

    def fetch(self, version: ModelVersion) -> Artifact:
        self._wait_for_hold("fetch")
        if (self._folder / f"refuse-{self._replica}").exists():
            raise ModelRefusedError("The disk is full.")
        return super().fetch(version)

    def promote(self, version: ModelVersion) -> None:
        self._wait_for_hold("promote")
        super().promote(version)

    def _wait_for_hold(self, step: str) -> None:
        hold = self._folder / f"hold-{step}"
        if hold.exists():
            (self._folder / f"held-{step}-{self._replica}").touch()
        _wait_while(hold.exists)


class HookedServer(ModelServer):
    """A replica with a `HookedRegistry`."""

    def __init__(self, args: ServeArgs) -> None:
        super().__init__(args)
        self._replica.registry = HookedRegistry()


def _wait_while(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + HOLD_TIMEOUT_S
    while condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def build(args: ServeArgs) -> serve.Application:
    """Build the application as `app.serving.application` does."""
    deployment = serve.deployment(name=names.DEPLOYMENT, max_ongoing_requests=MAX_ONGOING_REQUESTS)
    application: serve.Application = deployment(serve.ingress()(HookedServer)).bind(args)
    return application
