"""The fleet as one replica sees it: what all replicas serve, and the loads that this replica runs for all of them."""

import asyncio
import logging
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import ModelRefusedError, PlatformError
from app.serving.fleet.load import ANSWER_TIMEOUT_S, Load, in_progress
from app.serving.fleet.protocol import FleetMember, ReplicaGroup
from app.serving.fleet.replica import Replica
from app.serving.schemas import LoadRequest, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

STOP_TIMEOUT_S: Final = 4 * ANSWER_TIMEOUT_S
"""How long a replica that stops waits until its load is undone."""


class Fleet:
    """Loads a model version on every replica, or on none.

    Args:
        replica: The replica of this process. It runs the loads that this process receives.
        group: All replicas.
    """

    def __init__(self, replica: Replica, group: ReplicaGroup) -> None:
        self.replica = replica
        self.group = group
        self._tasks: set[asyncio.Task[list[ReplicaInfo]]] = set()

    async def load(self, request: LoadRequest) -> tuple[ModelVersion, list[ReplicaInfo]]:
        """Serve another version on every replica and make it the champion. A failed load changes nothing.

        Returns:
            The version, and what each replica serves now.

        Raises:
            AliasMovedError: Somebody moved the alias during the load. The fleet follows the alias.
            LoadInProgressError: Another load is in progress.
            ModelNotFoundError: The version does not exist, or its files were deleted.
            ModelRefusedError: A replica cannot serve the version. The message names the replica and the reason.
            RegistryUnavailableError: MLflow does not answer.
            PlatformError: The replicas do not answer.
        """
        name = request.name or self.replica.model_name
        registry = self.replica.registry
        version = await asyncio.to_thread(registry.find, name, version=request.version, alias=request.alias)
        self._check_model_name(version)
        return version, await self.move(version, promote=True)

    async def move(self, version: ModelVersion, *, promote: bool, is_for_holders: bool = False) -> list[ReplicaInfo]:
        """Serve a version on every replica, or change nothing. Cancelling the caller does not stop the load.

        Args:
            version: The version to serve.
            promote: See `Load`.
            is_for_holders: See `LoadId`.

        Raises:
            AliasMovedError, LoadInProgressError, ModelNotFoundError, ModelRefusedError, RegistryUnavailableError,
            PlatformError: See `load`.
        """
        if self.replica.running_load is not None:
            raise in_progress(self.replica.running_load)
        load = Load(version, replica=self.replica, group=self.group, promote=promote, is_for_holders=is_for_holders)
        self.replica.running_load = load.id
        task = asyncio.create_task(load.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if not task.cancelled():
                raise
            raise PlatformError(
                f"The replica that ran the load of {load.id.label} stops.", next_step="Send the request again."
            ) from None

    async def stop(self) -> None:
        """Cancel and undo the load that this replica runs."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_TIMEOUT_S)

    async def report(self) -> list[ReplicaInfo]:
        """Return what every replica serves, or only what this replica serves if not all replicas answer."""
        try:
            reports = await self.group.broadcast(FleetMember.report, ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)
            return [self.replica.info]
        return sorted((report.info for report in reports), key=lambda info: info.replica)

    def _check_model_name(self, version: ModelVersion) -> None:
        """Refuse another registered model: a replica that restarts would load the champion of the configured model."""
        if version.name != self.replica.model_name:
            raise ModelRefusedError(
                f"This service serves the registered model {self.replica.model_name!r}, not {version.name!r}.",
                allowed=self.replica.model_name,
                next_step="To serve another model, set MANTA_MODEL_NAME (in a stack: pulumi config set modelName).",
            )
