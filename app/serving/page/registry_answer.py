"""An answer of MLflow that is remembered for a moment, so that any number of open pages ask MLflow once."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from app.errors import RegistryUnavailableError

MAX_AGE_S: Final = 5.0
"""Age in seconds up to which an answer is used again."""

TIMEOUT_S: Final = 5.0
"""How long a request waits for MLflow. MLflow's client goes on, and the next request gets its answer."""

Answer = TypeVar("Answer")


class RegistryAnswer(Generic[Answer]):
    """Asks MLflow in a thread, and remembers the answer.

    Args:
        ask: Asks MLflow. It may take any time.
        uri: URL of MLflow, for the error.
    """

    def __init__(self, ask: Callable[[], Answer], *, uri: str) -> None:
        self._ask = ask
        self._uri = uri
        self._asking: asyncio.Task[Answer] | None = None
        self._asked_s = 0.0

    async def read(self) -> Answer:
        """Return the answer.

        Raises:
            MantaError: See the function that asks.
            RegistryUnavailableError: MLflow does not answer in time.
        """
        asking = self._asking
        is_old = time.monotonic() - self._asked_s > MAX_AGE_S
        if asking is None or (asking.done() and (is_old or asking.exception() is not None)):
            self._asked_s = time.monotonic()
            asking = self._asking = asyncio.create_task(asyncio.to_thread(self._ask))
        done, _ = await asyncio.wait([asking], timeout=TIMEOUT_S)
        if not done:
            raise RegistryUnavailableError(
                f"MLflow at {self._uri} has not answered for {TIMEOUT_S:g} s.",
                next_step="Look at MLflow: manta status.",
            )
        return asking.result()
