"""Lets one replica at a time look after the rollout and the shadow."""

import asyncio
import logging
import random
import time
from typing import Final

from app import names
from app.serving.rollout.member import RolloutReport
from app.serving.rollout.policy import RolloutState
from app.serving.rollout.rollouts import Rollouts
from app.serving.shadow.shadows import Shadows

log = logging.getLogger(names.SERVING_LOG)

IDLE_INTERVAL_S: Final = (2.0, 3.5)
"""Range of the pause between two polls without a rollout, as for the champion."""

RUNNING_INTERVAL_S: Final = (0.7, 1.3)
"""The same during a rollout."""


class RolloutFollower:
    """Polls the rollout again and again. A replica whose neighbour has polled waits with its own poll.

    Args:
        rollouts: The rollouts of the default model.
        shadows: Its shadows.
    """

    def __init__(self, rollouts: Rollouts, shadows: Shadows) -> None:
        self.rollouts = rollouts
        self.shadows = shadows
        self._next_poll_s = 0.0
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to poll. Serve does not know a replica that starts, so the first poll is not at once."""
        self._postpone()
        self._polling = asyncio.create_task(self._poll_forever())

    async def stop(self) -> None:
        """Stop polling, and end a load of the challenger that this replica runs."""
        if self._polling is not None:
            self._polling.cancel()
        self.shadows.stop()
        self.rollouts.member.stop()
        await self.rollouts.member.challenger.fleet.stop()

    async def on_state(self, state: RolloutState | None) -> RolloutReport:
        """Take over what a replica has read, and wait with the next poll; see `RolloutMember.on_state`."""
        self._postpone()
        return await self.rollouts.on_state(state)

    def _postpone(self) -> None:
        state = self.rollouts.state
        is_running = state is not None and not state.is_closed
        pause_s = random.uniform(*(RUNNING_INTERVAL_S if is_running else IDLE_INTERVAL_S))  # noqa: S311 - spreads load
        self._next_poll_s = time.monotonic() + pause_s

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self._next_poll_s - time.monotonic()))
            if time.monotonic() < self._next_poll_s:
                continue  # another replica has polled meanwhile
            try:
                reading = await self.rollouts.poll()
                if reading is not None:
                    await self.shadows.follow(reading)
            except Exception:  # an unexpected failure of one poll must not end the polling
                log.exception("the rollout takes no step")
            self._postpone()
