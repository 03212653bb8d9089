"""The newest versions of the default model, for `GET /model/versions` and for the page."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Final

from app.errors import RegistryUnavailableError
from app.models.recent_versions import RecentVersion
from app.models.registry import Registry
from app.serving import schemas
from app.serving.schemas import VersionList, VersionSummary

COUNT: Final = 20
"""Maximum number of versions."""

MAX_AGE_S: Final = 5.0
"""Age in seconds up to which an answer of MLflow is used again, so that any number of open pages ask it once."""

TIMEOUT_S: Final = 5.0
"""How long a request waits for MLflow. MLflow's client goes on, and the next request gets its answer."""


class NewestVersions:
    """Asks MLflow for the newest versions of a model, and remembers the answer for a moment.

    Args:
        registry: The client of MLflow.
        name: Name of the registered model.
    """

    def __init__(self, registry: Registry, name: str) -> None:
        self._registry = registry
        self._name = name
        self._asking: asyncio.Task[VersionList] | None = None
        self._asked_s = 0.0

    async def read(self) -> VersionList:
        """Return the versions.

        Raises:
            ModelNotFoundError: MLflow has no such registered model yet.
            RegistryUnavailableError: MLflow does not answer.
        """
        asking = self._asking
        is_old = time.monotonic() - self._asked_s > MAX_AGE_S
        if asking is None or (asking.done() and (is_old or asking.exception() is not None)):
            self._asked_s = time.monotonic()
            asking = self._asking = asyncio.create_task(self._ask())
        done, _ = await asyncio.wait([asking], timeout=TIMEOUT_S)
        if not done:
            raise RegistryUnavailableError(
                f"MLflow at {self._registry.uri} has not answered for {TIMEOUT_S:g} s.",
                next_step="Look at MLflow: manta status.",
            )
        return asking.result()

    async def _ask(self) -> VersionList:
        versions = await asyncio.to_thread(self._registry.recent_versions, self._name, COUNT)
        summaries = [_summary(version) for version in versions]
        return VersionList(name=self._name, versions=summaries, timestamp=schemas.now())


def _summary(version: RecentVersion) -> VersionSummary:
    return VersionSummary(
        version=version.version,
        created=datetime.fromtimestamp(version.created_ms / 1000, UTC),
        description=version.description,
        aliases=list(version.aliases),
        gate=version.gate,
        reason=version.reason,
        metric=version.metric,
        was_rolled_back=version.was_rolled_back,
    )
