"""The Serve application with a registry client that a test can hold up, or make refuse on one replica."""

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
from tests.support.ray_cluster import FOLDER

HOLD_LIMIT_S = 120.0


class HeldRegistry(Registry):
    """Waits for as long as a file `hold-STEP` exists, and refuses while there is a file `refuse-REPLICA`."""

    def __init__(self) -> None:
        super().__init__(settings())
        self._folder = Path(os.environ[FOLDER])
        self._replica = serve.get_replica_context().replica_id.unique_id

    def fetch(self, version: ModelVersion) -> Artifact:
        self._hold("fetch")
        if (self._folder / f"refuse-{self._replica}").exists():
            raise ModelRefusedError("The disk is full.")
        return super().fetch(version)

    def promote(self, version: ModelVersion) -> None:
        self._hold("promote")
        super().promote(version)

    def _hold(self, step: str) -> None:
        hold = self._folder / f"hold-{step}"
        if hold.exists():
            (self._folder / f"held-{step}-{self._replica}").touch()
        _wait_while(hold.exists)


class HeldServer(ModelServer):
    """A replica whose registry client can be held up."""

    def __init__(self, args: ServeArgs) -> None:
        super().__init__(args)
        self._replica.registry = HeldRegistry()


def _wait_while(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + HOLD_LIMIT_S
    while condition() and time.monotonic() < end:
        time.sleep(0.02)


def build(args: ServeArgs) -> serve.Application:
    """The application, as `app.serving.application` builds it."""
    deployment = serve.deployment(name=names.DEPLOYMENT, max_ongoing_requests=MAX_ONGOING_REQUESTS)
    application: serve.Application = deployment(serve.ingress()(HeldServer)).bind(args)
    return application
