"""Ends the reading of a request body that takes too long."""

import asyncio


class Deadlines:
    """The deadlines of all bodies that are being received.

    One timer serves all of them, because all have the same time. A timer for each request would take three times as
    long as this class, and `asyncio.timeout` far longer.

    Args:
        timeout_s: Seconds from `begin` until the task is cancelled.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._deadlines: dict[asyncio.Task[object], float] = {}
        """The deadline of each task on the clock of the event loop, earliest first."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Let the current task be cancelled after `timeout_s`. Call `end` before the task does anything else."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self.timeout_s
        self._deadlines[_current_task()] = deadline_s
        if self._timer is None:
            self._timer = loop.call_at(deadline_s, self._expire)

    def have_passed(self) -> bool:
        """Whether the deadline of the current task has passed, between `begin` and `end`."""
        return _current_task() not in self._deadlines

    def end(self) -> None:
        """End the deadline of the current task."""
        self._deadlines.pop(_current_task(), None)

    def _expire(self) -> None:
        """Cancel every task whose deadline has passed, and wait for the next deadline."""
        loop = asyncio.get_running_loop()
        self._timer = None
        for task, deadline_s in list(self._deadlines.items()):
            if deadline_s > loop.time():
                self._timer = loop.call_at(deadline_s, self._expire)
                return
            del self._deadlines[task]
            task.cancel()


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("A request body is read in a task.")
    return task
