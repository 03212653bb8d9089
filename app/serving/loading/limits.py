"""The memory and disk that the loading of a model may use.

A load may use all memory that is free in the container, except for a tenth of the container's memory: Ray kills
replicas when 95 % of a node's memory is in use. Free memory is the smallest `limit - (use - inactive file cache)` of
the cgroups of this process, version 2 or 1, and at most what the operating system calls available.
"""

import os
import resource
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

from app.errors import ModelRefusedError

RESERVED_SHARE: Final = 0.1
"""Share of the container's memory that no load may use."""

COPIES: Final = 2
"""Copies of a version's files on the disk while it is loaded: the downloaded files, and what a replica reads."""

CGROUPS: Final = Path("/sys/fs/cgroup")
NO_LIMIT: Final = 2**60
"""Limits above this number of bytes mean that a cgroup of version 1 has no limit."""

MIB: Final = 2**20


def resident_bytes() -> int:
    """Return the memory in bytes that this process has in use."""
    return int(psutil.Process().memory_info().rss)


def total_memory_bytes() -> int:
    """Return the memory in bytes of this container, or of the machine if the container has no limit."""
    return min([int(psutil.virtual_memory().total), *(limit for limit, _ in _cgroup_figures())])


def usable_memory_bytes() -> int:
    """Return the memory in bytes that a load may use now, at least 0."""
    machine = psutil.virtual_memory()
    total, free = machine.total, machine.available
    for limit, use in _cgroup_figures():
        total, free = min(total, limit), min(free, limit - use)
    return max(0, int(free - RESERVED_SHARE * total))


def limit_memory(size_bytes: int) -> None:
    """Let every further allocation of this process fail once it has `size_bytes` more than now.

    The soft limit of `RLIMIT_DATA` counts private writable memory. macOS has no such limit.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
    except OSError:  # macOS
        return
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    soft = pages * os.sysconf("SC_PAGE_SIZE") + size_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def lift_memory_limit() -> None:
    """Undo `limit_memory`, so that the process can report what happened."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def check_size(size_bytes: int, folder: Path, *, label: str) -> None:
    """Compare the size of a version's files with the free memory and the free disk.

    Args:
        size_bytes: Size of all files.
        folder: The folder to which they are downloaded.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The memory or the disk is too small.
    """
    memory_bytes, disk_bytes = usable_memory_bytes(), shutil.disk_usage(folder).free
    if size_bytes > memory_bytes:
        raise ModelRefusedError(
            f"The files of {label} have {size_bytes / MIB:,.1f} MiB, "
            f"but only {memory_bytes / MIB:,.1f} MiB of memory are free for a model on this replica.",
            next_step="Give the workers more memory, or train a smaller model.",
        )
    if COPIES * size_bytes > disk_bytes:
        raise ModelRefusedError(
            f"The files of {label} have {size_bytes / MIB:,.1f} MiB, which a load stores {COPIES} times, "
            f"but only {disk_bytes / MIB:,.1f} MiB of disk are free on this node.",
            next_step="Free disk space in the folder for temporary files, or train a smaller model.",
        )


def out_of_memory(size_bytes: int, *, label: str) -> ModelRefusedError:
    """Build the refusal of a version that needs more memory than is free."""
    return ModelRefusedError(
        f"{label} needs more than the {size_bytes / MIB:,.1f} MiB of memory that are free for a model on this replica.",
        next_step="Give the workers more memory, or train a smaller model.",
    )


def _cgroup_figures() -> Iterable[tuple[int, int]]:
    """Limit and use in bytes of each cgroup of this process that limits memory."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # macOS
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _figures(CGROUPS, path, ("memory.max", "memory.current", "inactive_file"))
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _figures(CGROUPS / "memory", path, names)


def _figures(root: Path, path: str, names: tuple[str, str, str]) -> Iterable[tuple[int, int]]:
    """Read a cgroup and its ancestors. In a container the path may not exist; the root is then its cgroup."""
    limit_name, use_name, cache_name = names
    folder = root / path.lstrip("/")
    for group in (folder, *folder.parents):
        if group.is_relative_to(root):
            try:
                limit, use = (group / limit_name).read_text().strip(), int((group / use_name).read_text())
                stat = dict(entry.split() for entry in (group / "memory.stat").read_text().splitlines())
            except (OSError, ValueError):  # no such group, or no memory controller there
                continue
            if limit.isdecimal() and int(limit) < NO_LIMIT:
                yield int(limit), use - int(stat.get(cache_name, 0))
