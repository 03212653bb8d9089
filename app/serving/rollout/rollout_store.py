"""Reads the rollout of a model from MLflow, and writes it there."""

import asyncio
import json
import logging
from contextlib import suppress

from app import names
from app.errors import ModelNotFoundError, RolloutError
from app.models.rollout_records import RolloutReading, RolloutRecords
from app.serving.rollout.policy import RolloutState

log = logging.getLogger(names.SERVING_LOG)


class RolloutStore:
    """Reads and writes the running or the last rollout of one model.

    Args:
        records: What MLflow stores.
    """

    def __init__(self, records: RolloutRecords) -> None:
        self.state: RolloutState | None = None
        """The last state that this replica read in MLflow or received from another replica."""
        self._records = records

    async def read(self) -> tuple[RolloutReading, RolloutState | None]:
        """Read aliases and tags of the model.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        reading = await asyncio.to_thread(self._records.read)
        try:
            self.state = RolloutState.model_validate_json(reading.content) if reading.content else None
        except ValueError:
            log.warning("the tag of the rollout was changed by hand and is not used: %s", reading.content[:200])
            self.state = None
        return reading, self.state

    async def read_running(self) -> RolloutState:
        """Read the running rollout.

        Raises:
            RolloutError: No rollout is running.
            RegistryUnavailableError: MLflow does not answer.
        """
        _, state = await self.read()
        if state is None or state.verdict is not None:
            raise RolloutError("No rollout is running.", next_step="Begin one: `manta rollout start VERSION`.")
        return state

    async def begin(self, state: RolloutState) -> None:
        """Write a new rollout, and let the alias `challenger` name its version.

        Raises:
            ModelNotFoundError: The version was deleted.
            RegistryUnavailableError: MLflow does not answer.
        """
        await self.write(state)
        await asyncio.to_thread(self._records.set_alias, names.CHALLENGER, state.version)

    async def write(self, state: RolloutState) -> None:
        """Write the state, unless another replica has ended the rollout meanwhile.

        Raises:
            RolloutError: Another replica has ended the rollout.
            RegistryUnavailableError: MLflow does not answer.
        """
        _, current = await self.read()
        if current is not None and current.id == state.id and current.verdict is not None and state.verdict is None:
            raise RolloutError(f"The rollout of version {state.version} has ended: {current.verdict}.")
        await asyncio.to_thread(self._records.write, json.dumps(state.model_dump(mode="json")))
        self.state = state

    async def close(self, state: RolloutState) -> None:
        """Write the verdict to the version, and delete the alias. Doing it twice changes nothing.

        A version that was deleted meanwhile gets no verdict and no alias.

        Raises:
            RegistryUnavailableError: MLflow does not answer.
        """
        is_rolled_back = state.verdict == "rolled back"
        with suppress(ModelNotFoundError):
            await asyncio.to_thread(
                self._records.mark_version, state.version, state.tags, is_rolled_back=is_rolled_back
            )
        if state.verdict == "promoted":
            with suppress(ModelNotFoundError):
                await asyncio.to_thread(self._records.set_alias, names.PREVIOUS, state.champion)
        await asyncio.to_thread(self._records.delete_challenger, state.version)
        await self.write(state.model_copy(update={"is_closed": True}))
