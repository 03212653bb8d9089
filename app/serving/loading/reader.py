"""Reads the prepared files of a model version into the replica.

Nothing in the files is trusted: every value and index is checked, so that native code stays inside its arrays.
`app.serving.loading.files` writes them.
"""

from pathlib import Path

import numpy as np

from app.errors import ModelRefusedError
from app.models import forest_kernel
from app.models.artifact import load_estimator
from app.models.estimator import Estimator, build_estimator
from app.models.flat_forest import NODE, FlatForest
from app.models.predictor import Predictor, check_forest
from app.models.signature import RETRAIN
from app.serving.loading import files
from app.serving.loading.arrays import read_array
from app.serving.loading.manifest import Manifest


def read(folder: Path, digest: str, *, label: str) -> tuple[Manifest, Predictor]:
    """Read a prepared model, after a comparison of its files with their digest.

    Args:
        folder: The files.
        digest: The result of `files.digest` when the files were written.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The files differ from their digest, an index is outside its arrays, or the model cannot be
            read.
    """
    try:
        _check_digest(folder, digest)
        manifest = files.read_manifest(folder)
        predictor = Predictor(
            columns=manifest.model_columns(),
            labels=manifest.class_labels(),
            gives_probabilities=manifest.gives_probabilities,
            evaluator=_read_evaluator(folder, manifest, label),
        )
        if manifest.is_forest:
            check_forest(predictor, manifest.example_rows(), manifest.example_answers(), label=label)
    except ModelRefusedError:
        raise
    except Exception as error:  # the files may hold anything
        raise _damaged(label, error) from error
    return manifest, predictor


def read_manifest(folder: Path, digest: str, *, label: str) -> Manifest:
    """Read the description of a prepared model, after a comparison of all files with their digest.

    Raises:
        ModelRefusedError: The files differ from their digest, or the description is damaged.
    """
    try:
        _check_digest(folder, digest)
        return files.read_manifest(folder)
    except (ValueError, OSError) as error:
        raise _damaged(label, error) from error


def _check_digest(folder: Path, digest: str) -> None:
    actual_digest = files.digest(folder)
    if actual_digest != digest:
        raise ValueError(f"the SHA-256 of the files is {actual_digest} instead of {digest}")


def _read_evaluator(folder: Path, manifest: Manifest, label: str) -> FlatForest | Estimator:
    if manifest.is_forest:
        return _read_forest(folder, manifest)
    model = load_estimator(folder / files.ESTIMATOR, label, manifest.storage())
    return build_estimator(model, manifest.model_columns(), label=label)


def _read_forest(folder: Path, manifest: Manifest) -> FlatForest:
    nodes = read_array(folder / files.NODES, NODE, 1)
    values = read_array(folder / files.VALUES, np.dtype(np.float64), 2)
    roots = read_array(folder / files.ROOTS, np.dtype(np.uint32), 1)
    width, outputs = len(manifest.columns), len(manifest.labels) or 1
    if len(roots) == 0 or values.shape != (len(nodes), outputs):
        raise ValueError(f"the shapes {nodes.shape}, {values.shape} and {roots.shape} do not fit {outputs} outputs")
    depths = forest_kernel.measure_depths(nodes, roots, width)
    if depths is None:
        raise ValueError("a tree has an index outside its arrays")
    return FlatForest(nodes=nodes, values=values, roots=roots, depths=depths, width=width)


def _damaged(label: str, error: Exception) -> ModelRefusedError:
    return ModelRefusedError(
        f"The prepared files of {label} are damaged: {type(error).__name__}: {error}", next_step=RETRAIN
    )
