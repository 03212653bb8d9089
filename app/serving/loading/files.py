"""The prepared files of a model version, as a child process writes them.

A model of trees is stored as flat arrays, so that the replica holds no scikit-learn model. Any other model is stored as
the file of the version, in the format that the manifest names.
`app.serving.loading.manifest` describes both. `app.serving.loading.reader` reads them.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from app.models.trees.flat_model import FlatModel
from app.serving.loading import tree_files
from app.serving.loading.manifest import Manifest

MANIFEST: Final = "model.json"
ESTIMATOR: Final = "model.bin"

NAMES: Final = frozenset({MANIFEST, ESTIMATOR, *tree_files.NAMES})
"""The names of all files that a prepared model may have."""

MAX_MANIFEST_BYTES: Final = 8 * 2**20
"""Maximum size of the manifest, which holds the input example."""

CHUNK_BYTES: Final = 2**20


def digest(folder: Path) -> str:
    """Compute the SHA-256 over the names and contents of a folder's files, in hexadecimal digits.

    Raises:
        ValueError: The folder holds something else than the files of a prepared model.
        OSError: A file cannot be read.
    """
    result = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name not in NAMES or path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.name} is no file of a prepared model")
        result.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                result.update(chunk)
    return result.hexdigest()


def write(folder: Path, manifest: Manifest, flat: FlatModel | None, estimator_file: Path) -> None:
    """Write the files of a prepared model.

    Args:
        folder: An empty folder.
        manifest: The description.
        flat: The trees; None if the model's library predicts.
        estimator_file: The version's file, which is moved into the folder if its library predicts.
    """
    if flat is None:
        estimator_file.rename(folder / ESTIMATOR)
    else:
        tree_files.write(folder, flat)
    (folder / MANIFEST).write_text(manifest.to_json())


def link(source: Path, target: Path) -> None:
    """Put the files of a prepared model into another folder as hard links, or as copies on another file system.

    Args:
        source: The folder with the files. Nobody changes a file there.
        target: A folder that does not exist, or is empty.

    Raises:
        OSError: The source does not exist, or a file can neither be linked nor copied.
    """
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def read_manifest(folder: Path) -> Manifest:
    """Read the description of a prepared model.

    Raises:
        ValueError: The description is damaged.
        OSError: The description cannot be read.
    """
    path = folder / MANIFEST
    if path.stat().st_size > MAX_MANIFEST_BYTES:
        raise ValueError(f"{path.name} has more than {MAX_MANIFEST_BYTES:,} bytes")
    return Manifest.from_json(path.read_bytes())
