"""A load: it claims every replica, prepares every replica, and then swaps all replicas or none.

Any replica can run a load. It prepares the version itself first, so a version that fails does so on one replica only. A
claim has no time limit: it counts as long as a replica says that it runs the load, and a claim held by a dead replica
expires. `app.serving.fleet.replica` implements the steps on one replica, and `app.serving.fleet.replica_group` calls
them on all replicas. `app.serving.fleet.fleet` starts loads.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine, Sequence
from itertools import pairwise
from typing import Any, Final, TypeVar

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import AliasMovedError, LoadInProgressError, MantaError, ModelRefusedError, PlatformError
from app.serving.event_log import events
from app.serving.fleet.protocol import Claim, Failure, FleetMember, LoadId, Refusal, ReplicaGroup, Report
from app.serving.fleet.replica import Replica
from app.serving.schemas import ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

ANSWER_TIMEOUT_S: Final = 10
"""Limit for calls that replicas answer from memory."""

SETTLE_TIMEOUT_S: Final = 60
"""How long a commit waits for replicas that are starting, or that are lost without Serve having noticed it yet."""

SETTLE_INTERVAL_S: Final = 0.2
"""Pause between two checks whether every running replica has swapped."""

CLAIM_ATTEMPTS: Final = 3
"""How often a load claims the replicas if it meets claims of loads that no replica runs any more."""

NOTHING_CHANGED: Final = (
    "Nothing has changed: every replica serves the version that it served before, and the alias has not moved."
)

FLEET_RECOVERS: Final = (
    "The fleet follows the alias as soon as MLflow and all replicas answer. GET /model says what each replica serves."
)
"""What happens after a failure to undo a load."""

Result = TypeVar("Result")


class Load:
    """One load of the fleet, run by one replica.

    Args:
        version: The version to serve.
        replica: The replica that runs the load.
        group: All replicas.
        promote: Whether to move the alias `champion` to the version, after all replicas are ready and before they swap.
            If False, the alias names the version already.
        is_for_holders: See `LoadId`.
    """

    def __init__(
        self, version: ModelVersion, *, replica: Replica, group: ReplicaGroup, promote: bool, is_for_holders: bool
    ) -> None:
        label = f"{version.name} version {version.version}"
        self.id = LoadId(uuid=uuid.uuid4().hex, label=label, is_for_holders=is_for_holders)
        self._version = version
        self._replica = replica
        self._group = group
        self._promote = promote

    async def run(self) -> list[ReplicaInfo]:
        """Serve the version on every replica, or change nothing, also if the load is cancelled.

        Returns:
            What each replica serves.

        Raises:
            AliasMovedError, LoadInProgressError, ModelRefusedError, ModelNotFoundError, RegistryUnavailableError,
            PlatformError: See `app.serving.fleet.fleet.Fleet.load`.
        """
        refusal = None
        times_s = [time.perf_counter()]
        try:
            generation = await self._claim()
            champion = await self._read_alias()
            if not self._promote and champion != str(self._version.version):
                raise self._alias_moved(champion)
            await self._prepare()
            await self._confirm(champion)
            times_s.append(time.perf_counter())
            infos = await self._swap(champion, generation)
        except ModelRefusedError as error:
            refusal = Refusal(
                version=str(self._version.version), reason=str(error), refused_at_s=time.monotonic(), attempts=1
            )
            self._log_failure(error)
            raise
        except MantaError as error:
            self._log_failure(error)
            raise
        finally:
            self._replica.running_load = None
            await release(self._group, self.id, refusal)
        times_s.append(time.perf_counter())
        prepare_ms, swap_ms = [round(1000 * (end - start)) for start, end in pairwise(times_s)]
        message = "%s serves on %d replicas: %d ms to prepare it, %d ms to swap"
        event = events.LOAD_FINISHED(
            model=self._version.name,
            version=str(self._version.version),
            role=self._replica.role,
            replicas=len(infos),
            prepare_ms=prepare_ms,
            swap_ms=swap_ms,
        )
        log.info(message, self.id.label, len(infos), prepare_ms, swap_ms, extra=event)
        return infos

    def _log_failure(self, error: MantaError) -> None:
        if isinstance(error, LoadInProgressError):
            return
        event = events.LOAD_FAILED(
            model=self._version.name,
            version=str(self._version.version),
            role=self._replica.role,
            error=error.title,
            reason=error.detail,
        )
        log.warning("the load of %s failed: %s", self.id.label, error.detail, extra=event)

    async def _claim(self) -> int:
        """Claim every replica, or raise if another load has claimed the deciding replica.

        The replica with the alphabetically first name decides: the load that holds this replica wins. Every load sees
        the same claims, so all loads agree on the winner.

        Returns:
            The generation of this load's swap.
        """
        for _ in range(CLAIM_ATTEMPTS):
            claims = await self._group.broadcast(FleetMember.claim, ANSWER_TIMEOUT_S, self.id)
            expired = expired_loads(claims) - {self.id}
            if claims and not expired:
                holder = min(claims, key=lambda claim: claim.replica).holder
                if holder is not None and holder != self.id:
                    raise in_progress(holder)
                return 1 + max(claim.generation for claim in claims)
            for dead_load in expired:
                await release(self._group, dead_load, None)
        raise PlatformError("The replicas could not be claimed for the load.", next_step="Send the request again.")

    async def _read_alias(self) -> str | None:
        champion = await asyncio.to_thread(self._replica.registry.champion, self._replica.model_name)
        return str(champion.version) if champion else None

    async def _prepare(self) -> None:
        """Prepare the version on this replica, and then on all others."""
        try:
            self._check([await self._replica.prepare(self.id, self._version, None)])
            timeout_s = self._replica.loader.timeout_s + ANSWER_TIMEOUT_S
            location = self._replica.prepared_files
            self._check(await self._group.broadcast(FleetMember.prepare, timeout_s, self.id, self._version, location))
        except ModelRefusedError as error:
            error.next_step = NOTHING_CHANGED
            raise

    async def _confirm(self, champion: str | None) -> None:
        """Check that the alias has not moved during the load, and that this load still holds every replica."""
        alias = await self._read_alias()
        if alias != champion:
            raise self._alias_moved(alias)
        claims = await self._group.broadcast(FleetMember.claim, ANSWER_TIMEOUT_S, self.id)
        self._check([claim for claim in claims if claim.holder != self.id])

    async def _swap(self, champion: str | None, generation: int) -> list[ReplicaInfo]:
        """Move the alias and swap every replica, or undo both."""
        try:
            if self._promote:
                await _complete(asyncio.to_thread(self._replica.registry.promote, self._version))
            return await self._commit(generation)
        except BaseException as error:  # a load that is cancelled is undone too
            left = await _complete(self._roll_back(champion, generation + 1))
            if isinstance(error, MantaError) and not isinstance(error, LoadInProgressError):
                error.next_step = f"{left or NOTHING_CHANGED} {error.next_step}".strip()
            raise

    async def _commit(self, generation: int) -> list[ReplicaInfo]:
        """Swap every replica, and wait for replicas that started during the load."""
        timeout_s = self._replica.loader.timeout_s + ANSWER_TIMEOUT_S
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            answers = await self._group.broadcast(FleetMember.commit, timeout_s, self.id, self._version, generation)
            infos = sorted((report.info for report in self._check(answers)), key=lambda info: info.replica)
            accepted = {str(self._version.version), None} if self.id.is_for_holders else {str(self._version.version)}
            swapped = [info for info in infos if info.version in accepted]
            running = max(len(infos), await self._group.count_running())
            if 0 < len(swapped) >= running:
                return infos
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"{len(swapped)} of {running} replicas served {self.id.label} after {SETTLE_TIMEOUT_S} s.",
                    next_step="See the replicas' logs, then send the request again.",
                )
            await asyncio.sleep(SETTLE_INTERVAL_S)

    async def _roll_back(self, champion: str | None, generation: int) -> str:
        """Undo the move of the alias and the swaps of the replicas.

        Returns:
            What could not be undone, for the client; empty if everything was undone.
        """
        number = self._version.version
        left = []
        if self._promote:
            try:
                await asyncio.to_thread(self._replica.registry.restore_champion, self._version, champion)
            except MantaError as error:
                left.append(f"The alias {names.CHAMPION!r} may name version {number}: {error.detail}")
        try:
            await self._group.broadcast(FleetMember.roll_back, ANSWER_TIMEOUT_S, self.id, generation)
        except PlatformError:
            left += await self._find_swapped()
        if not left:
            return ""
        message = f"The load of {self.id.label} could not be undone. {' '.join(left)}"
        log.warning(message)
        return f"{message} {FLEET_RECOVERS}"

    async def _find_swapped(self) -> list[str]:
        """After a failure to undo the swaps, say which replicas serve the version: one sentence, or none."""
        try:
            reports = await self._group.broadcast(FleetMember.report, ANSWER_TIMEOUT_S)
        except PlatformError as error:
            return [f"Some replicas may serve version {self._version.version}: {error.detail}"]
        infos = [report.info for report in reports if report.info.version == str(self._version.version)]
        replicas = ", ".join(sorted(info.replica for info in infos))
        return [f"Version {self._version.version} is served by: {replicas}."] if infos else []

    def _check(self, answers: Sequence[Report | Claim | Failure]) -> list[Report]:
        """Return the reports, or raise if a replica failed or belongs to another load."""
        for answer in answers:
            if isinstance(answer, Claim):
                raise in_progress(answer.holder) if answer.holder else PlatformError("The load has lost its replicas.")
        failures = [answer for answer in answers if isinstance(answer, Failure)]
        for failure in failures:
            if isinstance(failure.error, ModelRefusedError):
                raise ModelRefusedError(
                    f"Replica {failure.replica} cannot serve {self.id.label}: {failure.error}"
                ) from failure.error
        if failures:
            raise failures[0].error
        return [answer for answer in answers if isinstance(answer, Report)]

    def _alias_moved(self, alias: str | None) -> AliasMovedError:
        now = f"it names version {alias} now" if alias else "it was deleted"
        return AliasMovedError(
            f"The alias {names.CHAMPION!r} was moved during the load of {self.id.label}: {now}.",
            next_step="The fleet follows the alias. To serve another version, send the request again.",
        )


def expired_loads(claims: Sequence[Claim]) -> set[LoadId]:
    """Return the loads that hold a replica although no replica runs them any more."""
    running = {claim.running_load for claim in claims}
    return {claim.holder for claim in claims if claim.holder is not None and claim.holder not in running}


def in_progress(load: LoadId) -> LoadInProgressError:
    """Return the error for a load that has to wait for another one."""
    return LoadInProgressError(
        f"{load.label} is being loaded.", next_step="Wait until that load has ended, then send the request again."
    )


async def release(group: ReplicaGroup, load: LoadId, refusal: Refusal | None) -> None:
    """End the claims of a load. If a replica misses this call, its claim expires at the next load or poll."""
    try:
        await group.broadcast(FleetMember.release, ANSWER_TIMEOUT_S, load, refusal)
    except PlatformError as error:
        log.warning("%s", error)


async def _complete(work: Coroutine[Any, Any, Result]) -> Result:  # `Any`: what a coroutine is sent and yields
    """Await work to its end even if the caller is cancelled: a thread that was started cannot be stopped."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
