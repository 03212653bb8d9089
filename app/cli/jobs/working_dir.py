"""The working directory of a job, packed as Ray expects it: the same zip file that `ray job submit` would upload."""

import hashlib
import heapq
import io
import logging
import tempfile
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from app.cli.state import STATE_FOLDER
from app.errors import MantaError

MAX_BYTES: Final = 100 * 1024**2
"""Largest zip file: Ray's dashboard accepts no larger request body."""

URI_DIGEST_LENGTH: Final = 16
"""Length of the digest in Ray's name for a package."""

LISTED_FILES: Final = 5
"""Number of files that the error lists, the largest first."""

IGNORE_FILE: Final = ".rayignore"
"""File with the paths that are not packed, in the syntax of `.gitignore`. `.gitignore` applies as well."""


class WorkingDirError(MantaError):
    """The working directory is too large for Ray."""

    title = "Working directory too large"


@dataclass(frozen=True, kw_only=True)
class WorkingDir:
    """A packed working directory."""

    uri: str
    """`gcs://NAME.zip`, Ray's name for the package. NAME is a digest of the content."""
    content: bytes
    """The zip file."""
    files: frozenset[str]
    """Paths of the packed files, relative to the working directory."""
    env_vars: dict[str, str] = field(default_factory=dict)
    """Environment variables of the job that belong to files of the package."""

    def with_file(self, name: str, content: bytes) -> "WorkingDir":
        """Return a working directory with an additional file.

        Raises:
            WorkingDirError: The package would be larger than `MAX_BYTES`.
        """
        package = io.BytesIO(self.content)
        with zipfile.ZipFile(package, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        digest = hashlib.sha256(f"{self.uri} {name} ".encode() + content).hexdigest()[:URI_DIGEST_LENGTH]
        packed = package.getvalue()
        if len(packed) > MAX_BYTES:
            raise WorkingDirError(
                f"The working directory and {name} have {len(packed) / 1e6:.0f} MB.",
                allowed=f"up to {MAX_BYTES / 1e6:.0f} MB",
                next_step=f"List files that the job does not need in {IGNORE_FILE}, or give data as a URL.",
            )
        return replace(self, uri=f"gcs://_ray_pkg_{digest}.zip", content=packed, files=self.files | {name})


def pack(folder: Path) -> WorkingDir:
    """Pack a folder, without what `.rayignore` and `.gitignore` list, `.git`, virtual environments and `.manta`.

    Args:
        folder: The working directory.

    Raises:
        WorkingDirError: The folder is larger than `MAX_BYTES`. Nothing is uploaded; the error lists the largest files.
    """
    # Importing Ray takes half a second, so only commands that pack a folder import it.
    from ray._private import ray_constants  # noqa: PLC0415
    from ray._private.runtime_env import packaging  # noqa: PLC0415

    logging.getLogger(packaging.__name__).setLevel(logging.WARNING)
    folder = folder.resolve()
    excludes = [*ray_constants.get_runtime_env_default_excludes(), str(STATE_FOLDER)]
    sizes: dict[str, int] = {}

    def add_size(path: Path) -> None:
        if path.is_file():
            sizes[str(path.relative_to(folder))] = path.stat().st_size

    # Ray has no public function that lists the files of a package.
    packaging._dir_travel(folder, [packaging._get_excludes(folder, excludes)], add_size, include_gitignore=True)  # noqa: SLF001
    _check_size(folder, sizes, sum(sizes.values()))
    uri = packaging.get_uri_for_directory(str(folder), include_gitignore=True, excludes=excludes)
    with tempfile.TemporaryDirectory(prefix="manta-package-") as scratch:
        zip_file = Path(scratch) / "package.zip"
        packaging.create_package(str(folder), zip_file, include_gitignore=True, excludes=excludes)
        _check_size(folder, sizes, zip_file.stat().st_size)
        return WorkingDir(uri=uri, content=zip_file.read_bytes(), files=frozenset(sizes))


def _check_size(folder: Path, sizes: dict[str, int], total_bytes: int) -> None:
    if total_bytes > MAX_BYTES:
        largest = heapq.nlargest(LISTED_FILES, sizes.items(), key=lambda file: file[1])
        file_list = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in largest)
        raise WorkingDirError(
            f"{folder} has {total_bytes / 1e6:.0f} MB in {len(sizes)} files. The largest: {file_list}.",
            allowed=f"up to {MAX_BYTES / 1e6:.0f} MB",
            next_step=f"List files that the job does not need in {IGNORE_FILE}, or give data as a URL.",
        )
