"""Keeps the fleet on the registry's alias `champion`: at the start of a replica, by polling, and after a webhook.

`app.serving.fleet.load` decides how a version gets onto every replica.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import LoadInProgressError, MantaError, ModelRefusedError, PlatformError, RegistryUnavailableError
from app.serving.fleet.load import ANSWER_TIMEOUT_S, Fleet
from app.serving.fleet.protocol import AliasReading, FleetMember
from app.serving.schemas import ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

POLL_INTERVAL_S: Final = (2.0, 3.5)
"""Range of the pause between two reads of the alias. The replica that reads it first tells the others, and they start
their pause again. MLflow gets less than one request a second from a fleet of any size."""

REFUSED_RETRY_S: Final = 60
"""How long a refused version is not tried again. The cause may be temporary, such as a full disk."""

FIRST_REQUEST_CHECK_TIMEOUT_S: Final = 5
"""Limit for the check that the first request to a replica waits for."""


class AliasFollower:
    """Keeps one replica, and through it the fleet, on the champion.

    Args:
        fleet: Moves every replica to a version.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.trouble = ""
        """Why the champion is not known at present; empty if it is known."""
        self._fleet = fleet
        self._replica = fleet.replica
        self._next_poll_s = 0.0
        self._polling: asyncio.Task[None] | None = None
        self._first_request_check: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the version that the fleet serves, and start polling. Returns once this replica is ready.

        A replica is ready when it serves the fleet's version, or when it knows that there is no version to serve yet.
        """
        while True:
            try:
                await self._load_fleet_version()
                break
            except (RegistryUnavailableError, ModelRefusedError) as error:
                self.trouble = str(error)
                log.error("not ready until MLflow's alias names a version that can serve: %s", error)  # noqa: TRY400 - repeated every few seconds
            await asyncio.sleep(_poll_interval_s())
        self.trouble = ""
        self._polling = asyncio.create_task(self._poll_forever())

    async def stop(self) -> None:
        """Stop following the alias."""
        for task in (self._polling, self._first_request_check, self._catching_up):
            if task is not None:
                task.cancel()

    async def check_before_first_request(self) -> None:
        """Before the first request is answered, check once more which version the fleet serves.

        The fleet may have moved to another version between this replica's start and its first request. After that
        request the replica counts as running, and a load waits for it.
        """
        if self._first_request_check is None:
            self._first_request_check = asyncio.create_task(self._check_fleet_version())
        if not self._first_request_check.done():
            await asyncio.shield(self._first_request_check)

    async def poll(self) -> None:
        """Read the alias, tell the other replicas what it names, and move the fleet if the alias has moved."""
        self._postpone_poll()
        try:
            champion = await asyncio.to_thread(self._replica.registry.champion, self._replica.model_name)
        except RegistryUnavailableError as error:
            log.warning("the champion cannot be looked up: %s", error)
            await self._broadcast_alias(AliasReading(champion=None, is_served=False, trouble=str(error)))
            return
        number = str(champion.version) if champion else None
        is_served = number == self._replica.served_version
        await self._broadcast_alias(AliasReading(champion=champion, is_served=is_served, trouble=""))
        if champion is None or is_served or self._was_refused_recently(str(champion.version)):
            return
        try:
            await self._fleet.move(champion, promote=False)
        except LoadInProgressError:
            log.info("version %s: another load is in progress", number)
        except MantaError as error:
            log.warning("the fleet keeps its version: %s", error)

    async def on_alias_seen(self, reading: AliasReading) -> None:
        """Handle what a replica learned when it read the alias.

        If that replica serves the champion and this replica does not, this replica fell behind and loads the champion.
        """
        self._postpone_poll()
        self.trouble = reading.trouble
        champion = reading.champion
        if champion is None or not reading.is_served or self._replica.served_version == str(champion.version):
            return
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up(champion))

    async def _load_fleet_version(self) -> None:
        """Load the champion, or the version that the fleet serves instead.

        A fleet that serves another version has refused the champion, or is about to move to it.
        """
        replica = self._replica
        champion = await asyncio.to_thread(replica.registry.champion, replica.model_name)
        served = Counter(info.version for info in await self._other_replicas() if info.version is not None)
        number = str(champion.version) if champion else None
        if served and number not in served:
            [(number, _)] = served.most_common(1)
            champion = await asyncio.to_thread(replica.registry.find, replica.model_name, version=number)
        if champion is None:
            log.info("%r has no champion yet: predictions get 503 until a version is loaded", replica.model_name)
            return
        await replica.load(champion)

    async def _other_replicas(self) -> list[ReplicaInfo]:
        """Ask the other replicas what they serve.

        Returns:
            Nothing when the cluster starts, or while Serve's controller does not answer.
        """
        try:
            if await self._fleet.group.count_running() == 0:
                return []
            infos = await self._fleet.group.broadcast(FleetMember.report, ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)
            return []
        return [info for info in infos if info.replica != self._replica.name]

    async def _check_fleet_version(self) -> None:
        try:
            await asyncio.wait_for(self._load_fleet_version(), FIRST_REQUEST_CHECK_TIMEOUT_S)
        except (MantaError, TimeoutError) as error:
            log.warning("this replica serves the version that it loaded at its start: %s", error)

    async def _catch_up(self, champion: ModelVersion) -> None:
        """Load the champion on this replica alone, because other replicas already serve it."""
        if self._was_refused_recently(str(champion.version)):
            return
        try:
            await self._replica.load(champion)
        except MantaError as error:
            log.warning("this replica fell behind the fleet and cannot catch up: %s", error)

    async def _broadcast_alias(self, reading: AliasReading) -> None:
        try:
            await self._fleet.group.broadcast(FleetMember.on_alias_seen, ANSWER_TIMEOUT_S, reading)
        except PlatformError as error:
            log.warning("%s", error)
            self.trouble = reading.trouble

    async def _poll_forever(self) -> None:
        self._postpone_poll()
        while True:
            await asyncio.sleep(max(0.0, self._next_poll_s - time.monotonic()))
            if time.monotonic() < self._next_poll_s:
                continue  # another replica has read the alias meanwhile
            try:
                await self.poll()
            except Exception:  # an unexpected failure of one poll must not end the polling
                log.exception("polling the champion failed")

    def _postpone_poll(self) -> None:
        self._next_poll_s = time.monotonic() + _poll_interval_s()

    def _was_refused_recently(self, version: str) -> bool:
        refusal = self._replica.refusal
        if refusal is None or refusal.version != version:
            return False
        return time.monotonic() - refusal.refused_at_s < REFUSED_RETRY_S


def _poll_interval_s() -> float:
    return random.uniform(*POLL_INTERVAL_S)  # noqa: S311 - spreads load; not used for security
