"""Waits for a state of the world, and says what was there instead."""

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

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


def wait_until(look: Callable[[], object], *, what: str, limit_s: float = 60.0) -> None:
    """Look again and again until the answer is true; a server that does not answer yet counts as false."""
    end = time.monotonic() + limit_s
    while True:
        try:
            if look():
                return
        except httpx.HTTPError as error:
            what = f"{what} ({error!r})" if repr(error) not in what else what
        assert time.monotonic() < end, f"still waiting for {what} after {limit_s} s"
        time.sleep(0.1)
