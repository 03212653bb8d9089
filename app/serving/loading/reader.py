"""Reads the prepared files of a model version into the replica.

Nothing in the files is trusted: every value and index is checked, so that native code stays inside its arrays.
`app.serving.loading.files` writes them.
"""

from pathlib import Path

from app.errors import ModelRefusedError
from app.models.artifact import load_estimator
from app.models.estimator import Estimator, build_estimator
from app.models.predictor import Predictor, check_example
from app.models.signature import RETRAIN
from app.models.trees.flat_model import FlatModel
from app.models.trees.links import CLASSIFIERS, REGRESSORS, TWO_CLASSES
from app.serving.loading import files, tree_files
from app.serving.loading.manifest import Manifest, TreeSums


def read(folder: Path, digest: str, *, label: str, is_mapped: bool = False) -> tuple[Manifest, Predictor]:
    """Read a prepared model, after a comparison of its files with their digest.

    Args:
        folder: The files.
        digest: The result of `files.digest` when the files were written.
        label: Name of the model in error messages.
        is_mapped: See `app.serving.loading.arrays.read_array`.

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
            answers=tuple(manifest.answers),
            output_classes=manifest.output_classes,
            evaluator=_read_evaluator(folder, manifest, label, is_mapped=is_mapped),
        )
        check_example(predictor, manifest.example_rows(), manifest.example_answers(), label=label)
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


def _read_evaluator(folder: Path, manifest: Manifest, label: str, *, is_mapped: bool) -> FlatModel | Estimator:
    if manifest.trees is not None:
        return _read_trees(folder, manifest, manifest.trees, is_mapped=is_mapped)
    storage = manifest.storage()
    model = load_estimator(folder / files.ESTIMATOR, label, storage)
    return build_estimator(model, manifest.model_columns(), label=label, needs_frames=storage.needs_frames)


def _read_trees(folder: Path, manifest: Manifest, sums: TreeSums, *, is_mapped: bool) -> FlatModel:
    if sums.link not in (REGRESSORS if manifest.label_dtype is None else CLASSIFIERS):
        raise ValueError(f"its sums cannot become answers by {sums.link}")
    if sums.link in TWO_CLASSES and len(manifest.labels) != 2:  # noqa: PLR2004 - two classes
        raise ValueError(f"it has {len(manifest.labels)} classes for the probabilities of two")
    outputs = 1 if sums.link in TWO_CLASSES or manifest.label_dtype is None else len(manifest.labels)
    return tree_files.read(folder, sums, width=len(manifest.columns), outputs=outputs, is_mapped=is_mapped)


def _damaged(label: str, error: Exception) -> ModelRefusedError:
    return ModelRefusedError(
        f"The prepared files of {label} are damaged: {type(error).__name__}: {error}", next_step=RETRAIN
    )
