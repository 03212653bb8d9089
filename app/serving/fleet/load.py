"""One model on every replica: a load claims all of them, prepares all, and then swaps all or none.

Any replica can run a load. Claims have no time limit: a claim counts for as long as the replica that runs its load
says so, and one whose replica is gone binds nobody. What a replica does at each step is decided in
`app.serving.fleet.replica`; how it is reached, in `app.serving.fleet.replica_group`; when the fleet follows the
registry's alias by itself, in `app.serving.fleet.alias_follower`.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, Protocol, TypeVar

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import LoadInProgressError, ModelRefusedError, PlatformError
from app.serving.fleet.replica import PREPARE_TIMEOUT_S, Claim, Refusal, Replica, Ticket
from app.serving.schemas import LoadRequest, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

ANSWER_TIMEOUT_S: Final = 10
"""The longest that replicas may take to answer what they know already."""

SETTLE_TIMEOUT_S: Final = 30
"""The longest that a load waits for replicas that start, or whose loss Serve has not noticed yet, before it answers."""

SETTLE_PAUSE_S: Final = 0.2
"""Pause between two looks at whether every running replica has swapped."""

CLAIM_ROUNDS: Final = 3
"""How often a load asks for the replicas when it finds claims of loads that nobody runs any more."""

Answer = TypeVar("Answer")


class Peers(Protocol):
    """Every replica of the deployment, this one included."""

    async def ask(self, step: str, *args: object, kind: type[Answer], timeout_s: float) -> list[Answer]:
        """Ask every live replica for a step of `app.serving.fleet.replica`; a lost replica does not answer.

        Raises:
            PlatformError: They did not all answer in time, or Serve cannot say which there are.
        """

    async def running(self) -> int:
        """How many replicas take requests, as Serve's controller sees it."""


class Fleet:
    """Loads one version on every replica, or on none.

    Args:
        replica: The replica of this process, which runs the loads that reach it.
        peers: All replicas.
    """

    def __init__(self, replica: Replica, peers: Peers) -> None:
        self.replica = replica
        self.peers = peers
        self._under_way: Ticket | None = None
        self._tasks: set[asyncio.Task[list[ReplicaInfo]]] = set()

    async def load(self, wanted: LoadRequest) -> tuple[ModelVersion, list[ReplicaInfo]]:
        """Serve another version on every replica and make it the champion; on any failure nothing changes.

        Returns:
            The version, and what each replica serves now.

        Raises:
            LoadInProgressError: Another load is under way.
            ModelNotFoundError: There is no such version.
            ModelRefusedError: A replica must not serve it; the message names the replica and says why.
            RegistryUnavailableError: MLflow does not answer.
            PlatformError: The replicas do not answer.
        """
        name = wanted.name or self.replica.model_name
        registry = self.replica.registry
        version = await asyncio.to_thread(registry.find, name, version=wanted.version, alias=wanted.alias)
        self._check_name(version)
        return version, await self.move(version, promote=True)

    async def move(self, version: ModelVersion, *, promote: bool) -> list[ReplicaInfo]:
        """Serve a version on every replica, or change nothing; a caller that goes away does not stop it halfway.

        Args:
            version: What to serve.
            promote: Whether to point the alias at it, between the last check and the swap.

        Raises:
            LoadInProgressError, ModelRefusedError, RegistryUnavailableError, PlatformError: See `load`.
        """
        if self._under_way is not None:
            raise _in_progress(self._under_way)
        ticket = Ticket(load_id=uuid.uuid4().hex, label=f"{version.name} version {version.version}")
        self._under_way, self.replica.coordinates = ticket, ticket.load_id
        task = asyncio.create_task(self._run(ticket, version, promote=promote))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def report(self) -> list[ReplicaInfo]:
        """What every replica serves; only what this one does where the others do not answer."""
        try:
            answers = await self.peers.ask("report", kind=ReplicaInfo, timeout_s=ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)
            return [self.replica.info]
        return _sorted(answers)

    async def _run(self, ticket: Ticket, version: ModelVersion, *, promote: bool) -> list[ReplicaInfo]:
        refusal, begun = None, time.perf_counter()
        try:
            await self._claim(ticket)
            try:
                await self._prepare(ticket, version)
            except ModelRefusedError as error:
                refusal = Refusal(version=str(version.version), reason=str(error), at=time.monotonic())
                raise
            prepared = time.perf_counter()
            if promote:
                await asyncio.to_thread(self.replica.registry.promote, version)
            moved = time.perf_counter()
            served = await self._commit(ticket, version)
            took = [
                round(1000 * (end - start)) for start, end in pairwise((begun, prepared, moved, time.perf_counter()))
            ]
            what = "%s serves on %d replicas: %d ms to prepare it, %d ms to move the alias, %d ms to swap"
            log.info(what, ticket.label, len(served), *took)
            return served
        finally:
            self._under_way = self.replica.coordinates = None
            await self._release(ticket.load_id, refusal)

    async def _claim(self, ticket: Ticket) -> None:
        """Win every replica, or leave them to the load that does.

        Of loads that ask at the same time, the one that holds the replica with the first name wins: each of them
        sees who that is.
        """
        for _ in range(CLAIM_ROUNDS):
            claims = await self.peers.ask("claim", ticket, kind=Claim, timeout_s=ANSWER_TIMEOUT_S)
            alive = {ticket.load_id} | {claim.coordinates for claim in claims}
            dead = {claim.holder.load_id for claim in claims} - alive
            if claims and not dead:
                holder = min(claims, key=lambda claim: claim.replica).holder
                if holder != ticket:
                    raise _in_progress(holder)
                return
            for load_id in dead:
                await self._release(load_id, None)
        raise PlatformError("The replicas could not be held for a load.", next_step="Ask again.")

    async def _prepare(self, ticket: Ticket, version: ModelVersion) -> None:
        answers = await self.peers.ask(
            "prepare", ticket, version, kind=object, timeout_s=PREPARE_TIMEOUT_S + ANSWER_TIMEOUT_S
        )
        for answer in answers:
            if isinstance(answer, Claim):
                raise _in_progress(answer.holder)
        refused = [info for info in answers if isinstance(info, ReplicaInfo) and info.refused]
        if refused:
            raise ModelRefusedError(
                f"Replica {refused[0].replica} cannot serve {ticket.label}: {refused[0].refused}",
                next_step="Every replica serves what it served before, and the alias is where it was.",
            )

    async def _commit(self, ticket: Ticket, version: ModelVersion) -> list[ReplicaInfo]:
        """Swap every replica, and wait for those that began to take requests in the middle of it."""
        end = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            answers = await self.peers.ask(
                "commit", ticket, version, kind=ReplicaInfo, timeout_s=PREPARE_TIMEOUT_S + ANSWER_TIMEOUT_S
            )
            everywhere = all(answer.version == str(version.version) for answer in answers)
            if (everywhere and len(answers) >= await self.peers.running()) or time.monotonic() > end:
                return _sorted(answers)
            await asyncio.sleep(SETTLE_PAUSE_S)

    async def _release(self, load_id: str, refusal: Refusal | None) -> None:
        """Free the replicas. One that does not hear it finds out that nobody runs the load when the next one asks."""
        try:
            await self.peers.ask("release", load_id, refusal, kind=type(None), timeout_s=ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)

    def _check_name(self, version: ModelVersion) -> None:
        """Refuse another registered model: a restarted replica would come back with the champion of its own."""
        if version.name != self.replica.model_name:
            raise ModelRefusedError(
                f"This service serves {self.replica.model_name!r}, and {version.name!r} was asked for.",
                allowed=self.replica.model_name,
                next_step="Set MANTA_MODEL_NAME (in a stack: pulumi config set modelName) to serve another model.",
            )


def _sorted(answers: Sequence[ReplicaInfo]) -> list[ReplicaInfo]:
    return sorted(answers, key=lambda answer: answer.replica)


def _in_progress(ticket: Ticket) -> LoadInProgressError:
    return LoadInProgressError(f"{ticket.label} is being loaded.", next_step="Wait until it answers, then ask again.")
