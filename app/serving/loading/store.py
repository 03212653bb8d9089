"""The copy of the version that served last, in a folder on the node.

All replicas on a node with the same MLflow share the copy. A lock on a file lets one of them change it at a time.
"""

import fcntl
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.serving.loading import files

KEPT: Final = "kept-"
"""Start of the name of the folder with a copy; the digest of its files follows."""

COPYING: Final = "copying-"
"""Start of the name of the folder to which a copy is written before it is renamed."""


class ModelStore:
    """The copy on this node.

    Args:
        model_cache: Folder of the copies of every MLflow server.
        mlflow_uri: URL of MLflow. Versions of different servers may have the same name and number.
    """

    def __init__(self, model_cache: Path, *, mlflow_uri: str) -> None:
        self._folder = model_cache / hashlib.sha256(mlflow_uri.encode()).hexdigest()[:16]

    def keep(self, folder: Path, digest: str) -> None:
        """Keep the prepared files of a version, and delete the copy of any other version.

        Args:
            folder: The files.
            digest: See `files.digest`.

        Raises:
            OSError: The files cannot be kept. The old copy stays.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock(fcntl.LOCK_EX):
            target = self._folder / f"{KEPT}{digest}"
            self._delete_except(COPYING)  # of a replica that died
            if not target.exists():
                copy = Path(tempfile.mkdtemp(prefix=COPYING, dir=self._folder))
                try:
                    files.link(folder, copy)
                    copy.rename(target)
                except OSError:
                    shutil.rmtree(copy, ignore_errors=True)
                    raise
            self._delete_except(KEPT, target)

    def fetch(self, folder: Path) -> str | None:
        """Copy the kept files into a folder that does not exist yet.

        Returns:
            The digest that the files must have; None if there is no copy.

        Raises:
            OSError: The files cannot be copied.
        """
        if not self._folder.exists():
            return None
        with self._lock(fcntl.LOCK_SH):
            copies = sorted(self._folder.glob(f"{KEPT}*"))
            if not copies:
                return None
            shutil.copytree(copies[-1], folder, symlinks=True)
            return copies[-1].name.removeprefix(KEPT)

    def delete(self) -> None:
        """Delete the copy.

        Raises:
            OSError: The folder cannot be locked.
        """
        with self._lock(fcntl.LOCK_EX):
            self._delete_except(KEPT)

    def _delete_except(self, prefix: str, exception: Path | None = None) -> None:
        """Delete the folders whose names start with the prefix, except for one."""
        for path in self._folder.glob(f"{prefix}*"):
            if path != exception:
                shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        with (self._folder / "lock").open("a") as lock:
            fcntl.flock(lock, kind)
            yield
