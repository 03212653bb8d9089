"""Files of a DVC repository, at the revision of git that is asked for.

DVC is an optional extra, imported only where it is asked for. What the rows must be is decided in
`app.training.data.sources`.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import DataError
from app.training import run_tags
from app.training.git import DIRTY

PREFIX: Final = "dvc:"
"""Beginning of a location that DVC resolves: `dvc:PATH` as the working tree has it, `dvc:PATH@REV` at a revision."""

STORAGE_STEP: Final = "See that the repository's DVC storage is reachable and holds it: dvc pull, or dvc push there."


@dataclass(frozen=True, kw_only=True)
class Location:
    """A path in a DVC repository, and a revision of git; an empty one means the working tree."""

    path: str
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> "Location":
        """Read `dvc:PATH[@REV]`; what follows the last `@` is the revision."""
        path, at, revision = text.removeprefix(PREFIX).rpartition("@")
        return cls(path=path, revision=revision) if at else cls(path=revision)

    def __str__(self) -> str:
        return f"{PREFIX}{self.path}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as DVC has it."""

    content: bytes
    tags: dict[str, str]
    """`data.revision`: commit of git, with `DIRTY` where it does not hold the file's entry; `data.md5`: DVC's hash."""


def is_versioned(location: str) -> bool:
    """Whether DVC resolves it."""
    return location.startswith(PREFIX)


def read(text: str) -> File:
    """Read a file from DVC's cache or storage.

    Args:
        text: `dvc:PATH[@REV]`.

    Raises:
        DataError: DVC is not installed; there is no such repository, revision or file; its content cannot be had,
            or is not what DVC knows.
    """
    try:
        from dvc.exceptions import DvcException  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise DataError(
            f"{text} needs DVC, which is not installed where the job runs.", next_step="pip install 'manta[dvc]'"
        ) from error
    location = Location.parse(text)
    path = Path(os.path.abspath(location.path))  # noqa: PTH100 - a link of DVC's is not to be followed
    root = _repository(path, text)
    inside = str(path.relative_to(root))
    try:
        system = _opened(root, location.revision)
        known = _md5(system, inside)
        with system.open(inside, "rb") as file:
            content: bytes = file.read()
        revision = system.repo.get_rev() if location.revision else _revision(root, inside, known)
    except IsADirectoryError as error:
        raise DataError(f"{text} is a folder.", allowed="one file", next_step="Name a file in it.") from error
    except FileNotFoundError as error:
        raise DataError(f"{text} cannot be read: {error.strerror}.", next_step=STORAGE_STEP) from error
    except DvcException as error:
        raise DataError(
            f"{text} cannot be read: {error}.", next_step="Name a file and a revision that the repository has."
        ) from error
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != known:
        raise DataError(
            f"{text} is not what DVC knows: it was changed, or was never added.",
            next_step=f"Add it: dvc add {inside}; or name a revision: {PREFIX}{location.path}@REV.",
        )
    return File(content=content, tags={run_tags.DATA_REVISION: revision, run_tags.DATA_MD5: known})


def _repository(path: Path, text: str) -> Path:
    for folder in path.parents:
        if (folder / ".dvc").is_dir():
            return folder
    raise DataError(
        f"{text} lies in no DVC repository.",
        allowed="a path below a folder with .dvc, on the machine where the job runs",
        next_step="Run `dvc init`, or give the path from this folder.",
    )


def _opened(root: Path, revision: str) -> Any:  # noqa: ANN401 - DVC has no types
    from dvc.api import DVCFileSystem  # noqa: PLC0415 - optional, and slow to import

    # One that was opened before knows the working tree as it was then.
    return DVCFileSystem(str(root), rev=revision or None, skip_instance_cache=True)


def _md5(system: Any, inside: str) -> str:  # noqa: ANN401 - DVC has no types
    """DVC's hash of a file; empty where it does not know the file."""
    return str((system.info(inside).get("dvc_info") or {}).get("md5", ""))


def _revision(root: Path, inside: str, known: str) -> str:
    """The commit that the working tree is at, with `DIRTY` where another content is recorded there."""
    committed = _opened(root, "HEAD")
    try:
        is_same = _md5(committed, inside) == known
    except FileNotFoundError:
        is_same = False
    return str(committed.repo.get_rev()) + ("" if is_same else DIRTY)
