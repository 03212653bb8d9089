"""A model made ready to answer requests exactly as scikit-learn does.

What may be loaded at all is decided in `app.models.artifact`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.ensemble._base import BaseEnsemble
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import TREE_LEAF, Tree

from app.errors import ModelRefusedError
from app.models.artifact import Artifact
from app.models.forest_kernel import Forest
from app.models.signature import Columns

FORESTS: Final = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
"""Models that `app.models.forest_kernel` answers for."""

EXAMPLE_TOLERANCE: Final = 1e-9
"""Relative difference allowed to the stored answers: nothing for trees, last bits for models that use BLAS."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A model, checked, that answers rows in the form in which requests hold them."""

    model: BaseEstimator
    columns: Columns
    takes_frame: bool
    """Whether the model looks at the names of columns."""
    forest: Forest | None = None
    """The model's trees, where they give its answers in one pass; None where scikit-learn itself answers."""
    labels: np.ndarray | None = None
    """A classifier's labels, in the order of the probabilities' columns; None of a regressor."""

    @property
    def classes(self) -> list[str | int]:
        """The labels, in the order of the probabilities' columns; none where there are no probabilities."""
        if not hasattr(self.model, "predict_proba"):
            return []
        labels: list[str | int] = self.model.classes_.tolist()
        return labels

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Answer rows.

        Args:
            rows: Shape (rows, columns), float64 and finite; of dtype object where a column holds text.

        Returns:
            Predictions of shape (rows,), as scikit-learn's `predict` gives them, and a classifier's probabilities of
            shape (rows, classes) in float64, or None.
        """
        answer = None if self.forest is None else self.forest.answer(rows)
        if answer is not None:
            largest, outputs = answer
            return (outputs[:, 0], None) if self.labels is None else (self.labels[largest], outputs)
        given = self._frame(rows) if self.takes_frame else rows
        labels = self.model.predict(given)
        return labels, self.model.predict_proba(given) if hasattr(self.model, "predict_proba") else None

    def walks(self, rows: int) -> float:
        """Walks down a tree that so many rows take; infinite where scikit-learn itself answers, at a cost unknown."""
        return float("inf") if self.forest is None else rows * len(self.forest.roots)

    def _frame(self, rows: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=self.columns.names)
        return frame.astype({column.name: column.type.to_pandas() for column in self.columns})


def compile_model(stored: Artifact, *, label: str) -> Predictor:
    """Make a stored model ready, and let it answer its own input example.

    Args:
        stored: The model as `app.models.artifact` read it.
        label: What messages call it.

    Raises:
        ModelRefusedError: Its trees are damaged, or it does not answer as it did when it was stored.
    """
    model = stored.model
    for tree, width in _trees(model, None):
        if not (_is_sound(tree, width) if isinstance(tree, Tree) else _is_sound_histogram(tree, width)):
            raise ModelRefusedError(
                f"{label} is damaged: a tree points outside itself.",
                next_step="Load another version, or train again.",
            )
    if hasattr(model, "n_jobs"):
        model.set_params(n_jobs=1)  # requests run side by side already, and this is the exact order of sums
    takes_text = stored.columns.hold_text
    predictor = Predictor(
        model=model,
        columns=stored.columns,
        takes_frame=hasattr(model, "feature_names_in_") or takes_text,
        forest=None if takes_text else _flatten(model),
        labels=model.classes_ if is_classifier(model) else None,
    )
    if not _answers_as_stored(predictor, stored, label):
        raise ModelRefusedError(
            f"{label} does not answer its own input example as it did when it was stored.",
            next_step="Train and register it again on this platform, or load another version.",
        )
    return predictor


def _flatten(model: BaseEstimator) -> Forest | None:
    """A forest with one output as arrays; None for any other model."""
    if type(model) not in FORESTS:
        return None
    trees = [getattr(member, "tree_", None) for member in model.estimators_]
    if not trees or not all(type(tree) is Tree for tree in trees):
        return None
    outputs = len(model.classes_) if is_classifier(model) else 1
    return Forest.flatten(trees, width=model.n_features_in_, outputs=outputs)


def _answers_as_stored(predictor: Predictor, stored: Artifact, label: str) -> bool:
    rows = stored.example.to_numpy(dtype=object if stored.columns.hold_text else np.float64)
    try:
        predictions, probabilities = predictor.predict(rows)
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, MemoryError) as error:
        raise ModelRefusedError(
            f"{label} cannot answer its own input example: {error}", next_step="Load another version, or train again."
        ) from error
    if predictions.shape != (len(rows),):
        raise ModelRefusedError(
            f"{label} answers with more than one value a row.",
            allowed="models with one output",
            next_step="Load another version.",
        )
    expected = stored.example_predictions
    if expected is not None:
        is_number = predictions.dtype.kind == "f"
        same = np.allclose(predictions, expected, rtol=EXAMPLE_TOLERANCE) if is_number else None
        if same is False or (same is None and predictions.tolist() != expected):
            return False
    wanted = stored.example_probabilities
    if wanted is None:
        return True
    return (
        probabilities is not None
        and probabilities.shape == wanted.shape
        and np.allclose(probabilities, wanted, rtol=EXAMPLE_TOLERANCE)
    )


def _trees(part: object, width: int | None) -> Iterator[tuple[Tree | TreePredictor, int | None]]:
    """Every tree inside an estimator, however deep its ensembles nest, with the number of features it is given.

    An ensemble hands its rows to its members as they are, or fewer of their columns; so no member may look beyond
    what its ensemble takes, whatever it says of itself.
    """
    if isinstance(part, Tree | TreePredictor):
        yield part, width
    elif isinstance(part, BaseEstimator):
        own = getattr(part, "n_features_in_", None)
        inner = own if width is None or own is None else min(width, own)
        below = inner if isinstance(part, BaseEnsemble) or _holds_trees(part) else None
        yield from _trees(list(vars(part).values()), below)
    elif isinstance(part, dict):
        yield from _trees(list(part.values()), width)
    elif isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.dtype == object):
        for item in part:
            yield from _trees(item, width)


def _holds_trees(part: BaseEstimator) -> bool:
    return hasattr(part, "tree_") or hasattr(part, "_predictors")


def _is_sound(tree: Tree, width: int | None) -> bool:
    """Whether no index leads native code outside the arrays, or round in a circle.

    scikit-learn writes children behind their parent, so that a walk down always ends.
    """
    inner = tree.children_left != TREE_LEAF
    children = np.stack([tree.children_left, tree.children_right])[:, inner]
    return (tree.children_right[~inner] == TREE_LEAF).all() and _points_inside(
        children, tree.feature[inner], inner, tree.n_features if width is None else min(width, tree.n_features)
    )


def _is_sound_histogram(tree: TreePredictor, width: int | None) -> bool:
    """The same for a tree of histogram gradient boosting, and for its sets of categories."""
    nodes = tree.nodes
    inner = nodes["is_leaf"] == 0
    splits = nodes[inner]
    sets = splits["bitset_idx"][splits["is_categorical"] != 0]
    return bool((sets < len(tree.raw_left_cat_bitsets)).all()) and _points_inside(
        np.stack([splits["left"], splits["right"]]).astype(np.int64),
        splits["feature_idx"],
        inner,
        0 if width is None else width,
    )


def _points_inside(children: np.ndarray, features: np.ndarray, inner: np.ndarray, width: int) -> bool:
    parents = np.flatnonzero(inner)
    inside = (children > parents) & (children < len(inner))
    return bool(inside.all() and ((features >= 0) & (features < width)).all())
