"""Whether a training has the memory for its data, decided before the data is read.

The driver of a training holds the rows several times: as they were read, as the two parts of the split, and as the
arrays that the fit and the metrics work on. `app.training.data.sources` asks this module before it reads a file.
"""

import re
from pathlib import Path
from typing import Final

import psutil

from app.errors import DataError
from app.settings import settings

BYTES_PER_CELL: Final = 56
"""Memory that a training needs for each value of its data, at its peak: seven times the eight bytes of a float.

Measured with 26 million integers and 6 million floats, as CSV and as Parquet: 33 to 55 bytes.
"""

CGROUP: Final = Path("/sys/fs/cgroup")
"""Folder with the memory limit of the container. Its files differ between the two versions of cgroups."""

CGROUP_FILES: Final = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""Limit, usage and statistics of a container, and the statistic with the cached files that the kernel can drop: version
2, then version 1."""

GIBIBYTE: Final = 2**30

SIZE_STEP_BYTES: Final = 2**29
"""Step of the memory sizes that an error suggests."""


def check_fits(cells: int, size_bytes: int, source: str) -> None:
    """Refuse data that this process has not the memory to train on. Call this before the data is read.

    Args:
        cells: Number of values: rows times columns.
        size_bytes: Size of the file, or of all files of a folder.
        source: Path or URL, for the message.

    Raises:
        DataError: The training needs more memory than is free in the container or on the machine, or more than
            `--driver-memory` reserved.
    """
    needed_bytes, free_bytes = size_bytes + cells * BYTES_PER_CELL, free_memory()
    if needed_bytes <= free_bytes:
        return
    driver_steps = -(-(needed_bytes + psutil.Process().memory_info().rss) // SIZE_STEP_BYTES)
    raise DataError(
        f"{source} has {size_bytes / GIBIBYTE:.2g} GiB with about {cells / 1e6:.3g} million values. Training on it "
        f"needs about {needed_bytes / GIBIBYTE:.2g} GiB of memory, and {max(0, free_bytes) / GIBIBYTE:.2g} GiB are "
        "free for it.",
        next_step="Use a sample of the rows or fewer columns. Or give the training more memory: "
        f"`--driver-memory {driver_steps * SIZE_STEP_BYTES / GIBIBYTE:g}Gi`, on a stack whose workers have more than "
        "that (its key `memory`).",
    )


def free_memory() -> int:
    """Memory in bytes that this process can still use: of what `--driver-memory` reserved, else of its container."""
    reserved_bytes = settings().driver_memory_bytes
    if reserved_bytes is not None:
        return reserved_bytes - int(psutil.Process().memory_info().rss)
    return min(int(psutil.virtual_memory().available), _free_in_container())


def estimate_csv_cells(head: bytes, size_bytes: int) -> int:
    """Estimate the number of values of a CSV file from its first bytes.

    Args:
        head: The first bytes of the file, uncompressed. A mebibyte gives a good estimate.
        size_bytes: Size of the uncompressed file.
    """
    cells_in_head = head.count(b",") + head.count(b"\n")
    return round(cells_in_head * size_bytes / max(1, len(head)))


def _free_in_container() -> int:
    """Memory in bytes below the limit of the container. Without a limit, the memory of the machine."""
    free_bytes = int(psutil.virtual_memory().total)
    for limit_file, usage_file, statistics_file, cache_name in CGROUP_FILES:
        if not (CGROUP / limit_file).exists():
            continue
        limit = (CGROUP / limit_file).read_text().strip()
        if limit != "max":
            statistics = (CGROUP / statistics_file).read_text()
            cache = re.search(rf"^{cache_name} (\d+)$", statistics, re.MULTILINE)
            usage_bytes = int((CGROUP / usage_file).read_text()) - (int(cache[1]) if cache else 0)
            free_bytes = min(free_bytes, int(limit) - usage_bytes)
    return free_bytes
