"""A load: it claims every replica, prepares every replica, and then swaps all replicas or none.

Any replica can run a load. A claim has no time limit: it counts as long as a replica says that it runs the load, and a
claim held by a dead replica expires. `app.serving.fleet.replica` implements the steps on one replica, and
`app.serving.fleet.replica_group` calls them on all replicas. `app.serving.fleet.alias_follower` starts loads when the
alias in the registry moves.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import LoadInProgressError, ModelRefusedError, PlatformError
from app.serving.fleet.protocol import Claim, FleetMember, LoadId, Refusal, ReplicaGroup
from app.serving.fleet.replica import PREPARE_TIMEOUT_S, Replica
from app.serving.schemas import LoadRequest, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

ANSWER_TIMEOUT_S: Final = 10
"""Limit for calls that replicas answer from memory."""

SETTLE_TIMEOUT_S: Final = 30
"""How long a commit waits for replicas that are starting, or that are lost without Serve having noticed it yet."""

SETTLE_INTERVAL_S: Final = 0.2
"""Pause between two checks whether every running replica has swapped."""

CLAIM_ATTEMPTS: Final = 3
"""How often a load claims the replicas if it meets claims of loads that no replica runs any more."""


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
            LoadInProgressError: Another load is in progress.
            ModelNotFoundError: The version does not exist.
            ModelRefusedError: A replica cannot serve the version. The message names the replica and the reason.
            RegistryUnavailableError: MLflow does not answer.
            PlatformError: The replicas do not answer.
        """
        name = request.name or self.replica.model_name
        registry = self.replica.registry
        version = await asyncio.to_thread(registry.find, name, version=request.version, alias=request.alias)
        self._check_model_name(version)
        return version, await self.move(version, promote=True)

    async def move(self, version: ModelVersion, *, promote: bool) -> list[ReplicaInfo]:
        """Serve a version on every replica, or change nothing. Cancelling the caller does not stop the load.

        Args:
            version: The version to serve.
            promote: Whether to move the alias `champion` to the version, after all replicas are ready and before they
                swap.

        Raises:
            LoadInProgressError, ModelRefusedError, RegistryUnavailableError, PlatformError: See `load`.
        """
        if self.replica.running_load is not None:
            raise _in_progress(self.replica.running_load)
        load = LoadId(uuid=uuid.uuid4().hex, label=f"{version.name} version {version.version}")
        self.replica.running_load = load
        task = asyncio.create_task(self._run(load, version, promote=promote))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def report(self) -> list[ReplicaInfo]:
        """Return what every replica serves, or only what this replica serves if not all replicas answer."""
        try:
            infos = await self.group.broadcast(FleetMember.report, ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)
            return [self.replica.info]
        return _sorted(infos)

    async def _run(self, load: LoadId, version: ModelVersion, *, promote: bool) -> list[ReplicaInfo]:
        refusal, start_s = None, time.perf_counter()
        try:
            await self._claim(load)
            try:
                await self._prepare(load, version)
            except ModelRefusedError as error:
                refusal = Refusal(version=str(version.version), reason=str(error), refused_at_s=time.monotonic())
                raise
            prepare_end_s = time.perf_counter()
            if promote:
                await asyncio.to_thread(self.replica.registry.promote, version)
            promote_end_s = time.perf_counter()
            infos = await self._commit(load, version)
            times_s = (start_s, prepare_end_s, promote_end_s, time.perf_counter())
            durations_ms = [round(1000 * (end - start)) for start, end in pairwise(times_s)]
            message = "%s serves on %d replicas: %d ms to prepare it, %d ms to move the alias, %d ms to swap"
            log.info(message, load.label, len(infos), *durations_ms)
            return infos
        finally:
            self.replica.running_load = None
            await self._release(load, refusal)

    async def _claim(self, load: LoadId) -> None:
        """Claim every replica, or raise if another load has claimed the deciding replica.

        The replica with the alphabetically first name decides: the load that holds this replica wins. Every load sees
        the same claims, so all loads agree on the winner.
        """
        for _ in range(CLAIM_ATTEMPTS):
            claims = await self.group.broadcast(FleetMember.claim, ANSWER_TIMEOUT_S, load)
            running_loads = {load} | {claim.running_load for claim in claims}
            expired = {claim.holder for claim in claims} - running_loads
            if claims and not expired:
                winner = min(claims, key=lambda claim: claim.replica).holder
                if winner != load:
                    raise _in_progress(winner)
                return
            for dead_load in expired:
                await self._release(dead_load, None)
        raise PlatformError("The replicas could not be claimed for the load.", next_step="Send the request again.")

    async def _prepare(self, load: LoadId, version: ModelVersion) -> None:
        timeout_s = PREPARE_TIMEOUT_S + ANSWER_TIMEOUT_S
        answers = await self.group.broadcast(FleetMember.prepare, timeout_s, load, version)
        for answer in answers:
            if isinstance(answer, Claim):
                raise _in_progress(answer.holder)
        refusals = [info for info in answers if isinstance(info, ReplicaInfo) and info.refused]
        if refusals:
            raise ModelRefusedError(
                f"Replica {refusals[0].replica} cannot serve {load.label}: {refusals[0].refused}",
                next_step="Nothing has changed: every replica serves the version that it served before, and the alias "
                "has not moved.",
            )

    async def _commit(self, load: LoadId, version: ModelVersion) -> list[ReplicaInfo]:
        """Swap every replica, and wait for replicas that started during the load."""
        timeout_s = PREPARE_TIMEOUT_S + ANSWER_TIMEOUT_S
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            infos = await self.group.broadcast(FleetMember.commit, timeout_s, load, version)
            have_swapped = all(info.version == str(version.version) for info in infos)
            if (have_swapped and len(infos) >= await self.group.count_running()) or time.monotonic() > deadline:
                return _sorted(infos)
            await asyncio.sleep(SETTLE_INTERVAL_S)

    async def _release(self, load: LoadId, refusal: Refusal | None) -> None:
        """End the claims of a load. If a replica misses this call, its claim expires at the next load."""
        try:
            await self.group.broadcast(FleetMember.release, ANSWER_TIMEOUT_S, load, refusal)
        except PlatformError as error:
            log.warning("%s", error)

    def _check_model_name(self, version: ModelVersion) -> None:
        """Refuse another registered model: a replica that restarts would load the champion of the configured model."""
        if version.name != self.replica.model_name:
            raise ModelRefusedError(
                f"This service serves the registered model {self.replica.model_name!r}, not {version.name!r}.",
                allowed=self.replica.model_name,
                next_step="To serve another model, set MANTA_MODEL_NAME (in a stack: pulumi config set modelName).",
            )


def _sorted(infos: Sequence[ReplicaInfo]) -> list[ReplicaInfo]:
    return sorted(infos, key=lambda info: info.replica)


def _in_progress(load: LoadId) -> LoadInProgressError:
    return LoadInProgressError(
        f"{load.label} is being loaded.", next_step="Wait until that load has ended, then send the request again."
    )
