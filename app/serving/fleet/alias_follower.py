"""The registry's alias `champion` followed by the fleet: at a replica's start, by polling, and when MLflow says so.

How a version gets onto every replica is decided in `app.serving.fleet.load`.
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
from app.serving.schemas import ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

POLL_S: Final = (2.0, 3.5)
"""Range of the pause between two looks at the alias. Whoever looks first tells the others, who then wait anew, so that
MLflow gets less than one request a second from a fleet of any size."""

REFUSED_RETRY_S: Final = 60
"""How long a refused version is left alone: what refused it may have been a full disk."""

CONFIRM_TIMEOUT_S: Final = 5
"""The longest that a replica's first request waits for another look at what the fleet serves."""


class Follower:
    """Keeps one replica, and through it the fleet, on the champion.

    Args:
        fleet: Moves every replica to a version.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.trouble = ""
        """Why nobody knows at present which version is the champion; empty if that is known."""
        self._fleet = fleet
        self._replica = fleet.replica
        self._due = 0.0
        self._polling: asyncio.Task[None] | None = None
        self._confirming: asyncio.Task[None] | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return once this replica serves what the fleet should, or knows that there is nothing to serve yet."""
        while True:
            try:
                await self._adopt()
                break
            except (RegistryUnavailableError, ModelRefusedError) as error:
                self.trouble = str(error)
                log.error("not ready until MLflow's alias names a version that may serve: %s", error)  # noqa: TRY400 - said every few seconds
            await asyncio.sleep(_pause())
        self.trouble = ""
        self._polling = asyncio.create_task(self._poll_forever())

    async def stop(self) -> None:
        """Follow no more."""
        for task in (self._polling, self._confirming, self._catching_up):
            if task is not None:
                task.cancel()

    async def confirm(self) -> None:
        """Before the first request is answered, look again at what the fleet serves.

        Between this replica's start and its first request the fleet may have moved on without it. From that request
        on it is among the running replicas, which a load waits for.
        """
        if self._confirming is None:
            self._confirming = asyncio.create_task(self._confirm())
        if not self._confirming.done():
            await asyncio.shield(self._confirming)

    async def poll(self) -> None:
        """Look at the alias, move the fleet to it if it was moved, and tell the others what was seen."""
        self._postpone()
        try:
            champion = await asyncio.to_thread(self._replica.registry.champion, self._replica.model_name)
        except RegistryUnavailableError as error:
            log.warning("the champion cannot be looked up: %s", error)
            await self._tell(None, is_served=False, trouble=str(error))
            return
        number = str(champion.version) if champion else None
        is_served = number == self._replica.info.version
        await self._tell(champion, is_served=is_served, trouble="")
        if champion is None or is_served or self._is_refused(str(champion.version)):
            return
        try:
            await self._fleet.move(champion, promote=False)
        except LoadInProgressError:
            log.info("version %s: another load is under way", number)
        except MantaError as error:
            log.warning("the fleet stays where it is: %s", error)

    async def heard(self, champion: ModelVersion | None, is_served: bool, trouble: str) -> None:  # noqa: FBT001 - travels
        """Take note of what a replica saw when it looked at the alias.

        Args:
            champion: The version that the alias names.
            is_served: Whether that replica serves it; if this one does not, it is the one that was left behind.
            trouble: Why the alias could not be seen.
        """
        self._postpone()
        self.trouble = trouble
        if champion is None or not is_served or self._replica.info.version == str(champion.version):
            return
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up(champion))

    async def _adopt(self) -> None:
        """Serve the champion, unless the fleet serves another version, because it refused it or is about to move."""
        replica = self._replica
        champion = await asyncio.to_thread(replica.registry.champion, replica.model_name)
        served = Counter(peer.version for peer in await self._others() if peer.version is not None)
        number = str(champion.version) if champion else None
        if served and number not in served:
            [(number, _)] = served.most_common(1)
            champion = await asyncio.to_thread(replica.registry.find, replica.model_name, version=number)
        if champion is None:
            log.info("%r has no champion yet: answering 503 until a version is loaded", replica.model_name)
            return
        await replica.take(champion)

    async def _others(self) -> list[ReplicaInfo]:
        """What the other replicas serve; nothing at the start of a cluster, or while Serve's controller is away."""
        try:
            if await self._fleet.peers.running() == 0:
                return []
            answers = await self._fleet.peers.ask("report", kind=ReplicaInfo, timeout_s=ANSWER_TIMEOUT_S)
        except PlatformError as error:
            log.warning("%s", error)
            return []
        return [answer for answer in answers if answer.replica != self._replica.name]

    async def _confirm(self) -> None:
        try:
            await asyncio.wait_for(self._adopt(), CONFIRM_TIMEOUT_S)
        except (MantaError, TimeoutError) as error:
            log.warning("serving what was loaded at the start: %s", error)

    async def _catch_up(self, champion: ModelVersion) -> None:
        """Load what the others serve already."""
        if self._is_refused(str(champion.version)):
            return
        try:
            await self._replica.take(champion)
        except MantaError as error:
            log.warning("left behind the fleet: %s", error)

    async def _tell(self, champion: ModelVersion | None, *, is_served: bool, trouble: str) -> None:
        try:
            await self._fleet.peers.ask(
                "heard", champion, is_served, trouble, kind=type(None), timeout_s=ANSWER_TIMEOUT_S
            )
        except PlatformError as error:
            log.warning("%s", error)
            self.trouble = trouble

    async def _poll_forever(self) -> None:
        self._postpone()
        while True:
            await asyncio.sleep(max(0.0, self._due - time.monotonic()))
            if time.monotonic() < self._due:
                continue  # another replica looked meanwhile
            try:
                await self.poll()
            except Exception:  # following goes on when one look fails in a way that nobody foresaw
                log.exception("a look at the champion failed")

    def _postpone(self) -> None:
        self._due = time.monotonic() + _pause()

    def _is_refused(self, version: str) -> bool:
        refusal = self._replica.refusal
        return refusal is not None and refusal.version == version and time.monotonic() - refusal.at < REFUSED_RETRY_S


def _pause() -> float:
    return random.uniform(*POLL_S)  # noqa: S311 - spreads load, guards nothing
