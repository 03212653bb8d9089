"""Files in a DVC repository, read at a git revision.

DVC is an optional extra and is imported only when a location starts with `dvc:`. `app.training.data.sources` checks
the rows of the file.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from app.errors import DataError
from app.training import run_tags
from app.training.git import DIRTY_SUFFIX

PREFIX: Final = "dvc:"
"""Prefix of a location in a DVC repository: `dvc:PATH` in the working tree, `dvc:PATH@REV` at a git revision."""

CHUNK_BYTES: Final = 2**20
"""Size of the parts in which a file is copied."""

STORAGE_STEP: Final = (
    "Check that the repository's DVC storage is reachable and has the file: run dvc pull here, "
    "or dvc push where the file was added."
)


@dataclass(frozen=True, kw_only=True)
class DvcLocation:
    """A path in a DVC repository, and a git revision."""

    path: str
    revision: str = ""
    """Git revision; empty for the working tree."""

    @classmethod
    def parse(cls, text: str) -> "DvcLocation":
        """Parse `dvc:PATH[@REV]`; the revision follows the last `@`."""
        path, separator, revision = text.removeprefix(PREFIX).rpartition("@")
        return cls(path=path, revision=revision) if separator else cls(path=revision)

    def __str__(self) -> str:
        return f"{PREFIX}{self.path}" + (f"@{self.revision}" if self.revision else "")


def is_dvc_location(location: str) -> bool:
    """Whether a location is in a DVC repository."""
    return location.startswith(PREFIX)


def copy(text: str, target: BinaryIO) -> dict[str, str]:
    """Copy a file from DVC's cache or remote storage into an open file.

    Args:
        text: `dvc:PATH[@REV]`.
        target: The file to write to.

    Returns:
        Run tags: `data.revision`, the git commit, with `DIRTY_SUFFIX` if the commit does not record this content; and
        `data.md5`, DVC's hash of the file.

    Raises:
        DataError: DVC is not installed; the repository, revision or file does not exist; the content is not
            available, or does not match the hash that DVC records.
    """
    with _tracked_file(text) as tracked:
        with tracked.file_system.open(tracked.path, "rb") as file:
            md5 = copy_content(file, target)
        if md5 != tracked.md5:
            raise DataError(
                f"{text} does not match the hash that DVC records: the file was changed, or was never added to DVC.",
                next_step=f"Add it: dvc add {tracked.path}; or give a revision: {PREFIX}{tracked.path}@REV.",
            )
        return tracked.tags()


def size_of(text: str) -> int:
    """Return the size in bytes of a file, as DVC records it.

    Raises:
        DataError: See `copy`.
    """
    with _tracked_file(text) as tracked:
        return int(tracked.file_system.info(tracked.path).get("size") or 0)


def find_remote(text: str) -> tuple[str, dict[str, str]]:
    """Return the URL that a file has in DVC's remote storage, and its run tags.

    Raises:
        DataError: The repository has no remote storage, or the package for that kind of storage is missing; and see
            `copy`.
    """
    from dvc.api import get_url  # noqa: PLC0415 - optional, and slow to import

    with _tracked_file(text) as tracked:
        url = get_url(tracked.path, repo=str(tracked.root), rev=DvcLocation.parse(text).revision or None)
        return str(url), tracked.tags()


@dataclass(frozen=True, kw_only=True)
class _TrackedFile:
    """A file in a DVC repository."""

    file_system: Any
    """The repository's files at a revision; DVC has no types."""
    root: Path
    path: str
    """Path relative to `root`."""
    revision: str
    """Git revision; empty for the working tree."""
    md5: str
    """The hash that DVC records; empty if DVC does not track the file."""

    def tags(self) -> dict[str, str]:
        """Return the run tags, see `copy`."""
        if self.revision:
            commit = str(self.file_system.repo.get_rev())
        else:
            commit = _working_tree_revision(self.root, self.path, self.md5)
        return {run_tags.DATA_REVISION: commit, run_tags.DATA_MD5: self.md5}


@contextmanager
def _tracked_file(text: str) -> Iterator[_TrackedFile]:
    """Find a file in its repository, and turn DVC's errors in the block into errors of the data."""
    try:
        from dvc.exceptions import DvcException  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise DataError(
            f"{text} needs DVC, which is not installed here.", next_step="pip install 'manta[dvc]'"
        ) from error
    location = DvcLocation.parse(text)
    path = Path(os.path.abspath(location.path))  # noqa: PTH100 - resolve() would follow DVC's links into its cache
    root = _find_repository(path, text)
    relative_path = str(path.relative_to(root))
    try:
        file_system = _open_file_system(root, location.revision)
        md5 = _recorded_md5(file_system, relative_path)
        yield _TrackedFile(file_system=file_system, root=root, path=relative_path, revision=location.revision, md5=md5)
    except IsADirectoryError as error:
        raise DataError(f"{text} is a folder.", allowed="one file", next_step="Name a file in the folder.") from error
    except FileNotFoundError as error:
        raise DataError(f"{text} cannot be read: {error.strerror}.", next_step=STORAGE_STEP) from error
    except DvcException as error:
        raise DataError(
            f"{text} cannot be read: {error}.", next_step="Give a file and a revision that the repository has."
        ) from error


def copy_content(source: BinaryIO, target: BinaryIO | None) -> str:
    """Return the MD5 of a file's content, in hex, and copy the content if there is a target."""
    digest = hashlib.md5(usedforsecurity=False)
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest()


def _find_repository(path: Path, text: str) -> Path:
    for folder in path.parents:
        if (folder / ".dvc").is_dir():
            return folder
    raise DataError(
        f"{text} is not in a DVC repository.",
        allowed="a path below a folder with .dvc, on the machine where the job runs",
        next_step="Run `dvc init`, or give the path relative to the current folder.",
    )


def _open_file_system(root: Path, revision: str) -> Any:  # noqa: ANN401 - DVC has no types
    from dvc.api import DVCFileSystem  # noqa: PLC0415 - optional, and slow to import

    # A cached instance would show the working tree as it was when that instance was opened.
    return DVCFileSystem(str(root), rev=revision or None, skip_instance_cache=True)


def _recorded_md5(file_system: Any, relative_path: str) -> str:  # noqa: ANN401 - DVC has no types
    """Return the hash that DVC records for a file; empty if DVC does not track the file."""
    return str((file_system.info(relative_path).get("dvc_info") or {}).get("md5", ""))


def _working_tree_revision(root: Path, relative_path: str, md5: str) -> str:
    """Return the commit of the working tree, with `DIRTY_SUFFIX` if the commit records another content of the file."""
    committed = _open_file_system(root, "HEAD")
    try:
        is_committed = _recorded_md5(committed, relative_path) == md5
    except FileNotFoundError:
        is_committed = False
    return str(committed.repo.get_rev()) + ("" if is_committed else DIRTY_SUFFIX)
