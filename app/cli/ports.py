"""Free ports of the loopback interface."""

import random
import socket
from typing import Final

from app.errors import PlatformError

LOOPBACK: Final = "127.0.0.1"
"""Address that the local platform and the tunnels bind. Other machines cannot reach it."""

PORT_RANGE: Final = range(20_000, 32_000)
"""Ports below the ephemeral ranges of Linux, macOS and Windows."""


def free_ports(count: int) -> list[int]:
    """Find ports that no process uses now, outside the ephemeral range.

    Ray's processes take many ephemeral ports, so a free ephemeral port may be in use a moment later.

    Args:
        count: Number of ports; all are different.

    Raises:
        PlatformError: Fewer than `count` ports are free.
    """
    free: list[int] = []
    for port in random.sample(PORT_RANGE, len(PORT_RANGE)):
        if _is_free(port):
            free.append(port)
        if len(free) == count:
            return free
    raise PlatformError(
        f"Fewer than {count} ports from {PORT_RANGE.start} to {PORT_RANGE.stop - 1} are free.",
        next_step="End the processes that use them.",
    )


def free_port_range(size: int) -> range:
    """Find consecutive ports that no process uses now.

    Args:
        size: Number of ports.

    Raises:
        PlatformError: There are no `size` consecutive free ports.
    """
    starts = range(PORT_RANGE.start, PORT_RANGE.stop - size + 1, size)
    for start in random.sample(starts, len(starts)):
        ports = range(start, start + size)
        if all(_is_free(port) for port in ports):
            return ports
    raise PlatformError(
        f"There are no {size} consecutive free ports from {PORT_RANGE.start} to {PORT_RANGE.stop - 1}.",
        next_step="End the processes that use them.",
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
