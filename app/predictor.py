"""A classifier made ready to answer requests exactly as scikit-learn does.

What may be loaded at all is decided in `app.artifact`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.tree._tree import TREE_LEAF, Tree

from app.artifact import Artifact
from app.errors import ModelRefusedError

EXAMPLE_TOLERANCE: Final = 1e-9
"""Relative difference allowed to the stored answers: nothing for trees, last bits for models that use BLAS."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A classifier, checked, with one pass for labels and probabilities."""

    model: ClassifierMixin
    columns: tuple[str, ...]
    """Names of the features, in the order in which rows hold them."""

    @property
    def classes(self) -> list[str | int]:
        """The labels, in the order of the probabilities' columns."""
        labels: list[str | int] = self.model.classes_.tolist()
        return labels

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Answer rows.

        Args:
            rows: Shape (rows, columns), float64, finite.

        Returns:
            Labels of shape (rows,), and probabilities of shape (rows, classes) in float64. The labels are the
            classes of the largest probabilities, as scikit-learn's `predict` answers.
        """
        probabilities = self.model.predict_proba(rows)
        return self.model.classes_[probabilities.argmax(axis=1)], probabilities


def compile_model(stored: Artifact, *, label: str) -> Predictor:
    """Make a stored classifier ready, and let it answer its own input example.

    Args:
        stored: The classifier as `app.artifact` read it.
        label: What messages call it.

    Raises:
        ModelRefusedError: Its trees are damaged, or it does not answer as it did when it was stored.
    """
    for tree in _trees(stored.model):
        _check_tree(tree, label)
    model = stored.model
    if hasattr(model, "n_jobs"):
        model.set_params(n_jobs=1)  # requests run side by side already, and this is the exact order of sums
    if hasattr(model, "feature_names_in_"):
        del model.feature_names_in_  # rows come as arrays; names are checked by the API, not warned about
    predictor = Predictor(model=model, columns=stored.columns)
    rows = stored.example.to_numpy(dtype=np.float64)
    _, probabilities = predictor.predict(rows)
    expected = stored.example_probabilities
    if probabilities.shape != expected.shape or not np.allclose(probabilities, expected, rtol=EXAMPLE_TOLERANCE):
        raise ModelRefusedError(
            f"{label} does not answer its own input example as it did when it was stored.",
            next_step="Train and register it again on this platform, or load another version.",
        )
    return predictor


def _trees(part: object) -> Iterator[Tree]:
    """Every tree inside an estimator, however deep its ensembles nest."""
    if isinstance(part, Tree):
        yield part
    elif isinstance(part, BaseEstimator):
        yield from _trees(list(vars(part).values()))
    elif isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.dtype == object):
        for item in part:
            yield from _trees(item)


def _check_tree(tree: Tree, label: str) -> None:
    """Refuse indices that would lead native code outside the arrays, or round in a circle.

    scikit-learn writes children behind their parent, so that a walk down always ends.
    """
    nodes = np.arange(tree.node_count)
    inner = tree.children_left != TREE_LEAF
    children = np.stack([tree.children_left, tree.children_right])[:, inner]
    features = tree.feature[inner]
    sound = (
        ((children > nodes[inner]) & (children < tree.node_count)).all()
        and (tree.children_right[~inner] == TREE_LEAF).all()
        and ((features >= 0) & (features < tree.n_features)).all()
    )
    if not sound:
        raise ModelRefusedError(
            f"{label} is damaged: a tree points outside itself.", next_step="Load another version, or train again."
        )
