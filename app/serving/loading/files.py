"""The prepared files of a model version, as a child process writes them.

A forest is stored as flat arrays, so that the replica holds no scikit-learn model. Any other model is stored as the
skops file of the version. `app.serving.loading.manifest` describes both. `app.serving.loading.reader` reads them.
"""

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from app.models.flat_forest import FlatForest
from app.serving.loading.manifest import Manifest

MANIFEST: Final = "model.json"
ESTIMATOR: Final = "model.skops"
NODES, VALUES, ROOTS = "nodes.npy", "values.npy", "roots.npy"

CHUNK_BYTES: Final = 2**20


def digest(folder: Path) -> str:
    """Compute the SHA-256 over the names and contents of a folder's files, in hexadecimal digits.

    Raises:
        ValueError: The folder holds something else than the files of a prepared model.
        OSError: A file cannot be read.
    """
    result = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name not in {MANIFEST, ESTIMATOR, NODES, VALUES, ROOTS} or path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.name} is no file of a prepared model")
        result.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                result.update(chunk)
    return result.hexdigest()


def write(folder: Path, manifest: Manifest, forest: FlatForest | None, estimator_file: Path) -> None:
    """Write the files of a prepared model.

    Args:
        folder: An empty folder.
        manifest: The description.
        forest: The trees; None if scikit-learn predicts.
        estimator_file: The version's skops file, which is moved into the folder if scikit-learn predicts.
    """
    if forest is None:
        estimator_file.rename(folder / ESTIMATOR)
    else:
        for name, array in ((NODES, forest.nodes), (VALUES, forest.values), (ROOTS, forest.roots)):
            np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
    (folder / MANIFEST).write_text(manifest.to_json())
