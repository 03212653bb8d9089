"""Keeps the catalog of every replica on what MLflow says: which models there are, and the champion of each.

One replica at a time reads all models with one request, and tells the others. `app.serving.fleet.load` moves the
replicas that hold a model to its new champion.
"""

import asyncio
import logging
import random
import time
from collections.abc import Collection
from typing import Final

from mlflow.entities.model_registry import ModelVersion

from app import names
from app.errors import MantaError, PlatformError, RegistryUnavailableError
from app.serving.catalog.catalog import Catalog
from app.serving.fleet.load import ANSWER_TIMEOUT_S
from app.serving.fleet.protocol import CatalogReading, FleetMember, HeldModel
from app.serving.schemas import LoadRequest, ReplicaInfo

log = logging.getLogger(names.SERVING_LOG)

POLL_INTERVAL_S: Final = (2.0, 3.5)
"""Range of the pause between two reads, as for the default model."""

FIRST_READ_TIMEOUT_S: Final = 10.0
"""How long a replica that starts waits for the first read."""

PAUSE_FACTOR: Final = 10.0
"""The pause is at least this many times the time of MLflow's answer, which takes longer the more models there are."""


class CatalogFollower:
    """Reads the models of the service again and again.

    Args:
        catalog: The catalog of this replica.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._next_poll_s = 0.0
        self._answer_s = 0.0
        self._polling: asyncio.Task[None] | None = None
        self._moves: set[asyncio.Task[None]] = set()
        self._follow_tasks: dict[str, asyncio.Task[None]] = {}
        """Running tasks that follow the rollout and the shadow of a model, by the name of the model."""

    async def start(self) -> None:
        """Read the models once, for at most `FIRST_READ_TIMEOUT_S`, and then again and again."""
        try:
            await asyncio.wait_for(self.poll(), FIRST_READ_TIMEOUT_S)
        except Exception:  # a replica without these models still serves the default model
            log.exception("the first read of the models of the service failed")
        self._polling = asyncio.create_task(self._poll_forever())

    async def stop(self) -> None:
        """Stop reading, and end the loads that this replica runs."""
        for task in (self._polling, *self._moves, *self._follow_tasks.values()):
            if task is not None:
                task.cancel()
        await self._catalog.stop()

    async def poll(self) -> None:
        """Read the models, tell the other replicas, and move those that hold an old champion."""
        self._postpone(self._answer_s)
        start_s, generation = time.monotonic(), self._catalog.generation
        try:
            champions, followed = await asyncio.to_thread(self._catalog.registry.served_models, self._catalog.listed)
        except RegistryUnavailableError as error:
            if not self._catalog.trouble:
                log.warning("the models of the service cannot be read: %s", error)
            await self._broadcast(
                CatalogReading(
                    champions=self._catalog.champions,
                    followed=frozenset(),
                    trouble=str(error),
                    answer_s=0.0,
                    generation=generation,
                )
            )
            return
        answer_s = time.monotonic() - start_s
        champions.pop(self._catalog.default.name, None)
        followed |= self._catalog.shadowed() & champions.keys()  # the alias of such a shadow may have been deleted
        held = await self._broadcast(
            CatalogReading(champions=champions, followed=followed, trouble="", answer_s=answer_s, generation=generation)
        )
        await self._end_expired_loads()
        self._move_to_champions(champions, held)
        for name in followed & champions.keys():
            if name not in self._follow_tasks:
                self._follow_tasks[name] = asyncio.create_task(self._follow(name))

    async def on_catalog_read(self, reading: CatalogReading) -> list[HeldModel]:
        """Take over what a replica read, and wait with the next read; see `Catalog.on_catalog_read`."""
        if not self._catalog.is_outdated(reading):
            self._postpone(reading.answer_s)
        return await self._catalog.on_catalog_read(reading)

    async def load(self, name: str, request: LoadRequest) -> tuple[ModelVersion, list[ReplicaInfo]]:
        """Serve a version of a model on every replica; see `Catalog.load`.

        A model that the service did not serve gets its tag in MLflow, so that the service serves it from now on.
        """
        version, replicas = await self._catalog.load(name, request)
        if name not in (self._catalog.champions or {}):
            await asyncio.to_thread(self._catalog.registry.mark_served, name, is_served=True)
        await self._read_change()
        return version, replicas

    async def withdraw(self, name: str) -> None:
        """Stop to serve a model on every replica, and delete its tag in MLflow; see `Catalog.refuse_stop`."""
        self._catalog.refuse_stop(name)
        model = self._catalog.model(name)
        if model.is_in_rollout:
            await model.rollouts.abort("the service does not serve the model any more")
        if model.shadows.member.state is not None:
            await model.shadows.end()
        await asyncio.to_thread(self._catalog.registry.mark_served, name, is_served=False)
        await self._read_change()

    async def _read_change(self) -> None:
        """Read the models after this replica has changed them. No replica takes over an older reading afterwards."""
        # A replica that has just started may not know the generation of the others. The clock is ahead of all of them.
        self._catalog.generation = max(self._catalog.generation + 1, time.time_ns())
        await self.poll()

    def _postpone(self, answer_s: float) -> None:
        self._answer_s = answer_s
        pause_s = max(random.uniform(*POLL_INTERVAL_S), PAUSE_FACTOR * answer_s)  # noqa: S311 - spreads load
        self._next_poll_s = time.monotonic() + pause_s

    async def _broadcast(self, reading: CatalogReading) -> list[HeldModel]:
        """Tell every replica what was read, and return the models that they hold.

        A replica that starts is not among those that Serve knows.
        """
        own = await self.on_catalog_read(reading)
        try:
            answers = await self._catalog.group.broadcast(FleetMember.on_catalog_read, ANSWER_TIMEOUT_S, reading)
        except PlatformError as error:
            log.warning("%s", error)
            return own
        return [model for answer in answers for model in answer]

    def _move_to_champions(self, champions: dict[str, str | None], held: Collection[HeldModel]) -> None:
        """Start a load for each model that a replica holds in another version than its champion."""
        stale = {
            model.name
            for model in held
            if not model.is_pinned
            and model.version is not None
            and champions.get(model.name) not in (None, model.version)
        }
        for name in stale:
            if self._catalog.model(name).replica.running_load is None:
                task = asyncio.create_task(self._move(name, str(champions[name])))
                self._moves.add(task)
                task.add_done_callback(self._moves.discard)

    async def _move(self, name: str, version: str) -> None:
        try:
            champion = await asyncio.to_thread(self._catalog.registry.find, name, version=version)
            await self._catalog.model(name).follower.follow(champion, is_for_holders=True)
        except MantaError as error:
            log.warning("%r keeps its version: %s", name, error)

    async def _follow(self, name: str) -> None:
        """Take the next step of a model's rollout, and follow its shadow."""
        model = self._catalog.model(name)
        try:
            await model.load_champion()
            reading = await model.rollouts.poll()
            if reading is not None:
                await model.shadows.follow(reading)
        except MantaError as error:
            if str(error) != model.rollouts.trouble:
                log.warning("the rollout or the shadow of %r waits: %s", name, error)
            model.rollouts.trouble = str(error)
        except Exception:  # an unexpected failure of one step must not end the task of the next one
            log.exception("the rollout or the shadow of %r takes no step", name)
        finally:
            del self._follow_tasks[name]

    async def _end_expired_loads(self) -> None:
        for model in self._catalog.held_by_loads():
            await model.follower.end_expired_loads()

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._next_poll_s - time.monotonic()))
            if time.monotonic() < self._next_poll_s:
                continue  # another replica has read the models meanwhile
            try:
                await self.poll()
            except Exception:  # an unexpected failure of one poll must not end the polling
                log.exception("reading the models of the service failed")
