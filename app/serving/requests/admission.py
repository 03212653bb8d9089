"""Which requests find a place in a replica: by the bytes that they hold, and by the work that waits.

`app.serving.requests.limits` has the numbers.
"""

import asyncio
from types import TracebackType

from app.errors import OverloadedError


class ByteBudget:
    """The bytes of larger bodies that a replica may hold.

    Args:
        limit: Bytes of all bodies together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0
        """Bytes that requests hold at present."""

    def take(self, size: int) -> None:
        """Add bytes to those that are held.

        Raises:
            OverloadedError: They do not fit.
        """
        if self.held + size > self._limit:
            raise OverloadedError(
                f"This replica already holds {self.held} bytes of large request bodies.",
                allowed=f"up to {self._limit} bytes at the same time",
                next_step="Send the request again after the time in the header Retry-After.",
            )
        self.held += size


class BodyCharge:
    """The bytes that one request holds of a budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._size = 0

    def grow_to(self, size: int) -> None:
        """Hold as many bytes in all.

        Raises:
            OverloadedError: They do not fit into the budget.
        """
        self._budget.take(size - self._size)
        self._size = size

    def release(self) -> None:
        """Hold no bytes any more."""
        self._budget.held -= self._size
        self._size = 0


class Places:
    """Places for predictions that need a thread or a process: an asynchronous context manager that waits for a place.

    Predictions on the event loop and control requests need no place.

    Args:
        ongoing: Predictions that have a place at the same time.
        queued: Predictions that wait for a place.
    """

    def __init__(self, *, ongoing: int, queued: int) -> None:
        self._limit = ongoing + queued
        self._queued = queued
        self._places = asyncio.Semaphore(ongoing)
        self.taken = 0
        """Predictions that have a place or wait for one."""

    async def __aenter__(self) -> None:
        """Wait for a place.

        Raises:
            OverloadedError: Too many predictions wait already.
        """
        if self.taken >= self._limit:
            raise OverloadedError(
                "This replica has no place for another prediction.",
                allowed=f"up to {self._queued} waiting predictions",
                next_step="Send the request again after the time in the header Retry-After.",
            )
        self.taken += 1
        try:
            await self._places.acquire()
        except BaseException:  # a cancelled request
            self.taken -= 1
            raise

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the place to the next prediction."""
        self.taken -= 1
        self._places.release()
