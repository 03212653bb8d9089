"""The working directory as the package that Ray unpacks for a job: the one that `ray job submit` would make of it."""

import heapq
import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.cli.state import STATE
from app.errors import MantaError

LIMIT_BYTES: Final = 100 * 1024**2
"""The largest body of a request that Ray's dashboard takes, and so the largest package."""

NAMED: Final = 5
"""Files that a refusal names, the biggest first."""

KEEP_OUT: Final = ".rayignore"
"""File that lists what does not go along, in the words of `.gitignore`, which counts too."""


class PackageError(MantaError):
    """A working directory that Ray would not take."""

    title = "Working directory too large"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A zip file, and the name by which Ray knows it."""

    uri: str
    """`gcs://NAME.zip`; the name is a digest of the content."""
    content: bytes
    files: frozenset[str]
    """Paths in it, below the working directory."""


def pack(folder: Path) -> Package:
    """Pack a folder by its `.rayignore` and `.gitignore`, without git's own files, environments and our state.

    Args:
        folder: The working directory.

    Raises:
        PackageError: It is larger than `LIMIT_BYTES`; nothing was read or sent, and the biggest files are named.
    """
    # Importing Ray takes half a second, which only a command that packs has to pay.
    from ray._private import ray_constants  # noqa: PLC0415
    from ray._private.runtime_env import packaging  # noqa: PLC0415

    logging.getLogger(packaging.__name__).setLevel(logging.WARNING)
    folder = folder.resolve()
    excludes = [*ray_constants.get_runtime_env_default_excludes(), str(STATE)]
    sizes: dict[str, int] = {}

    def measure(path: Path) -> None:
        if path.is_file():
            sizes[str(path.relative_to(folder))] = path.stat().st_size

    packaging._dir_travel(folder, [packaging._get_excludes(folder, excludes)], measure, include_gitignore=True)  # noqa: SLF001
    _check(folder, sizes, sum(sizes.values()))
    uri = packaging.get_uri_for_directory(str(folder), include_gitignore=True, excludes=excludes)
    with tempfile.TemporaryDirectory(prefix="manta-package-") as scratch:
        made = Path(scratch) / "package.zip"
        packaging.create_package(str(folder), made, include_gitignore=True, excludes=excludes)
        _check(folder, sizes, made.stat().st_size)
        return Package(uri=uri, content=made.read_bytes(), files=frozenset(sizes))


def _check(folder: Path, sizes: dict[str, int], total: int) -> None:
    if total > LIMIT_BYTES:
        biggest = heapq.nlargest(NAMED, sizes.items(), key=lambda entry: entry[1])
        named = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in biggest)
        raise PackageError(
            f"{folder} has {total / 1e6:.0f} MB in {len(sizes)} files. The biggest: {named}.",
            allowed=f"up to {LIMIT_BYTES / 1e6:.0f} MB",
            next_step=f"List what the job does not need in {KEEP_OUT}, or give data by URL.",
        )
