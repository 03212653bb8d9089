"""Waits for a state of the world, and says what was there instead."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def until(what: str, ask: Callable[[], Found | None], *, timeout_s: float, pause_s: float = 1) -> Found:
    """Ask again until there is an answer.

    Raises:
        AssertionError: There was none in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = ask()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} took more than {timeout_s:.0f} s; last seen: {found!r}")
        time.sleep(pause_s)
