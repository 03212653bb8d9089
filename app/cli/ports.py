"""Ports of the loopback interface that no other process uses."""

import random
import socket
from contextlib import suppress
from typing import Final

from app.errors import PlatformError

LOOPBACK: Final = "127.0.0.1"
"""Address that the local platform and the tunnels bind; other machines cannot reach it."""

QUIET_PORTS: Final = range(20_000, 32_000)
"""Ports below the ephemeral ranges of Linux, macOS and Windows."""


def free_ports(count: int) -> list[int]:
    """Find ports that no process uses now, outside the ephemeral range.

    Ray's processes take many ephemeral ports, so a free ephemeral port may be in use a moment later.

    Args:
        count: How many ports, all different.

    Raises:
        PlatformError: Fewer than `count` ports are free.
    """
    free: list[int] = []
    for port in random.sample(QUIET_PORTS, len(QUIET_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            free.append(port)
        if len(free) == count:
            return free
    raise PlatformError(
        f"Fewer than {count} ports from {QUIET_PORTS.start} to {QUIET_PORTS.stop} are free.",
        next_step="End the processes that use them.",
    )
