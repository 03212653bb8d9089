"""Waits for a condition. The error of a time-out shows the last result."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

Result = TypeVar("Result")

POLL_INTERVAL_S = 0.1


def wait_for(what: str, poll: Callable[[], Result | None], *, timeout_s: float, interval_s: float = 1) -> Result:
    """Poll until the result is true, and return it.

    Args:
        what: Name of the condition, for the error.
        poll: Returns None or another false value while the condition does not hold.
        timeout_s: Longest time to wait.
        interval_s: Pause between two polls.

    Raises:
        AssertionError: The condition did not hold in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        result = poll()
        if result:
            return result
        if time.monotonic() > deadline_s:
            raise AssertionError(f"{what} took more than {timeout_s:.0f} s; last result: {result!r}")
        time.sleep(interval_s)


def wait_until(condition: Callable[[], object], *, what: str, timeout_s: float = 240.0) -> None:
    """Poll until a condition is true. A server that does not answer counts as false.

    Raises:
        AssertionError: The condition did not hold in time.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return
        except httpx.HTTPError as error:
            what = f"{what} ({error!r})" if repr(error) not in what else what
        assert time.monotonic() < deadline_s, f"still waiting for {what} after {timeout_s} s"
        time.sleep(POLL_INTERVAL_S)
