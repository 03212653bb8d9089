"""Keeps the fleet on the registry's alias `champion`: at the start of a replica, by polling, and after a webhook.

`app.serving.fleet.load` decides how a version gets onto every replica.

A replica that starts takes the champion from MLflow. If that fails, it takes the copy of a replica that serves, and if
no replica serves, the copy that its node has kept of the version that served last.
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
from app.serving.fleet import change_log
from app.serving.fleet.fleet import Fleet
from app.serving.fleet.load import ANSWER_TIMEOUT_S, expired_loads, release
from app.serving.fleet.protocol import AliasReading, Failure, FleetMember, LoadId, Report

log = logging.getLogger(names.SERVING_LOG)

POLL_INTERVAL_S: Final = (2.0, 3.5)
"""Range of the pause between two reads of the alias. The replica that reads it first tells the others, and they start
their pause again. MLflow gets less than one request a second from a fleet of any size."""

REFUSED_PAUSE_S: Final = (60.0, 3600.0)
"""Shortest and longest pause before a refused version is tried again. Each refusal doubles the pause: the cause may be
temporary, such as a full disk, and an attempt costs memory and time."""

EXPIRY_CHECK_S: Final = 1.0
"""Pause between two checks that no replica runs a load. One check may miss the answer of the replica that runs it."""

MAX_PEERS: Final = 2
"""How many replicas a starting replica asks for a copy."""

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

        A replica is ready when it serves a version, or when it knows that there is no version to serve yet.
        """
        model = self._replica.model_name
        while True:
            try:
                await self._load_fleet_version()
                self.trouble = ""
                break
            except MantaError as error:
                self.trouble = str(error)
            except Exception as error:  # a defect must not end the replica, which Serve would start again and again
                log.exception("the start failed")
                self.trouble = f"{type(error).__name__}: {error}"
            if await self._serve_copy():
                change_log.copy_serves(model, self._replica.served_version, self.trouble)
                break
            change_log.not_ready(model, self.trouble)
            await asyncio.sleep(_poll_interval_s())
        change_log.started(model, self._replica.served_version)
        self._polling = asyncio.create_task(self._poll_forever())

    async def stop(self) -> None:
        """Stop following the alias, and end the load that this replica runs."""
        for task in (self._polling, self._first_request_check, self._catching_up):
            if task is not None:
                task.cancel()
        await self._fleet.stop()
        await self._replica.loader.close()
        change_log.stopped(self._replica.model_name, self._replica.served_version)

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
        await self.end_expired_loads()
        try:
            champion = await asyncio.to_thread(self._replica.registry.champion, self._replica.model_name)
        except RegistryUnavailableError as error:
            change_log.alias_read(self._replica.model_name, trouble=str(error), before=self.trouble)
            await self._broadcast_alias(champion=None, trouble=str(error))
            return
        change_log.alias_read(self._replica.model_name, trouble="", before=self.trouble)
        await self._broadcast_alias(champion=champion, trouble="")
        if champion is not None and str(champion.version) != self._replica.served_version:
            await self.follow(champion)

    async def follow(self, champion: ModelVersion, *, is_for_holders: bool = False) -> None:
        """Move the fleet to the champion, unless the champion was refused recently. A failure is logged."""
        if self._recent_refusal(str(champion.version)) is not None:
            return
        try:
            await self._fleet.move(champion, promote=False, is_for_holders=is_for_holders)
        except LoadInProgressError:
            log.info("version %s of %r: another load is in progress", champion.version, champion.name)
        except MantaError:
            log.debug("the load of version %s of %r has logged why it failed", champion.version, champion.name)

    async def load_now(self) -> None:
        """Load the version that the fleet serves, on this replica only, or a copy of another replica.

        Raises:
            ModelNotFoundError, ModelRefusedError, RegistryUnavailableError: The version cannot be loaded, and no copy.
        """
        try:
            await self._load_fleet_version()
        except MantaError:
            if not await self._serve_copy():
                raise

    async def on_alias_seen(self, reading: AliasReading) -> None:
        """Handle what a replica learned when it read the alias.

        If that replica serves the champion and this replica does not, this replica fell behind and loads the champion.
        """
        self._postpone_poll()
        self.trouble = reading.trouble
        champion = reading.champion
        if champion is None or not reading.is_served or self._replica.served_version == str(champion.version):
            return
        if reading.generation < self._replica.generation or self._recent_refusal(str(champion.version)) is not None:
            return
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up(champion, reading.generation))

    async def _load_fleet_version(self) -> None:
        """Load the champion, or the version that the fleet serves instead.

        A fleet that serves another version has refused the champion, or is about to move to it.
        """
        replica = self._replica
        champion = await asyncio.to_thread(replica.registry.champion, replica.model_name)
        reports = await self._peers_that_serve()
        served = Counter(report.info.version for report in reports)
        number = str(champion.version) if champion else None
        if served and number not in served:
            [(number, _)] = served.most_common(1)
            champion = await asyncio.to_thread(replica.registry.find, replica.model_name, version=number)
        if champion is None:
            log.info("%r has no champion yet: predictions get 503 until a version is loaded", replica.model_name)
            return
        refused = self._recent_refusal(str(champion.version))
        if refused is not None:
            raise ModelRefusedError(refused)
        await replica.load(champion, _generation(reports))

    async def _serve_copy(self) -> bool:
        """Serve the copy of another replica, or of this node if no replica serves. False if there is no copy."""
        replica = self._replica
        reports = await self._peers_that_serve()
        for report in reports[:MAX_PEERS]:
            try:
                answers = await self._fleet.group.broadcast(
                    FleetMember.share, replica.loader.timeout_s, report.info.replica
                )
                for answer in answers:
                    if isinstance(answer, Failure):
                        raise answer.error
                    if answer is not None:
                        replica.serve(await replica.loader.unpack(answer), report.generation)
                        return True
            except MantaError as error:
                log.warning("replica %s gives no copy: %s", report.info.replica, error)
        kept = await replica.loader.last_kept()
        if kept is None or kept.version.name != replica.model_name:
            return False
        if reports and str(kept.version.version) not in {report.info.version for report in reports}:
            return False
        replica.serve(kept, _generation(reports))
        return True

    async def _peers_that_serve(self) -> list[Report]:
        """Ask the other replicas what they serve.

        Returns:
            Nothing when the cluster starts, or while Serve's controller does not answer.
        """
        try:
            if await self._fleet.group.count_running() == 0:
                return []
            reports = await self._fleet.group.broadcast(FleetMember.report, ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)
            return []
        return [report for report in reports if report.info.replica != self._replica.name and report.info.version]

    async def end_expired_loads(self) -> None:
        """End claims of loads whose replica is dead or stops, so that what they have prepared is dropped."""
        if self._replica.holder in (None, self._replica.running_load):
            return
        expired = await self._find_expired_loads()
        if not expired:
            return
        await asyncio.sleep(EXPIRY_CHECK_S)
        for load in expired & await self._find_expired_loads():
            change_log.load_expired(load.label)
            await release(self._fleet.group, load, None)

    async def _find_expired_loads(self) -> set[LoadId]:
        try:
            return expired_loads(await self._fleet.group.broadcast(FleetMember.claim, ANSWER_TIMEOUT_S, None))
        except PlatformError as error:
            log.warning("%s", error)
            return set()

    async def _check_fleet_version(self) -> None:
        try:
            await asyncio.wait_for(self._load_fleet_version(), FIRST_REQUEST_CHECK_TIMEOUT_S)
        except (MantaError, TimeoutError) as error:
            log.warning("this replica serves the version that it loaded at its start: %s", error)

    async def _catch_up(self, champion: ModelVersion, generation: int) -> None:
        """Load the champion on this replica alone, because other replicas already serve it."""
        try:
            await self._replica.load(champion, generation)
        except MantaError as error:
            change_log.fell_behind(champion.name, self._replica.served_version, str(error))

    async def _broadcast_alias(self, *, champion: ModelVersion | None, trouble: str) -> None:
        reading = AliasReading(
            champion=champion,
            is_served=champion is not None and str(champion.version) == self._replica.served_version,
            generation=self._replica.generation,
            trouble=trouble,
        )
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

    def _recent_refusal(self, version: str) -> str | None:
        """Return why a version was refused, or None if it may be tried again."""
        refusal = self._replica.refusal
        if refusal is None or refusal.version != version:
            return None
        shortest_s, longest_s = REFUSED_PAUSE_S
        pause_s = min(longest_s, shortest_s * 2.0 ** (refusal.attempts - 1))
        return refusal.reason if time.monotonic() - refusal.refused_at_s < pause_s else None


def _generation(reports: list[Report]) -> int:
    return max((report.generation for report in reports), default=0)


def _poll_interval_s() -> float:
    return random.uniform(*POLL_INTERVAL_S)  # noqa: S311 - spreads load; not used for security
