"""Prepares a stored model for predictions that equal scikit-learn's exactly.

`app.models.artifact` decides which stored models may be read.
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
from app.models.forest_kernel import FlatForest
from app.models.signature import Columns

FORESTS: Final = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
"""Estimators that `app.models.forest_kernel` predicts for."""

EXAMPLE_TOLERANCE: Final = 1e-9
"""Allowed relative difference from the stored predictions. Trees do not differ at all. Models that use BLAS may differ
in the last bits."""


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A checked model that predicts the rows of a request, which are a matrix without column names."""

    model: BaseEstimator
    columns: Columns
    needs_column_names: bool
    """Whether the model needs a data frame, because it uses the names of the columns."""
    forest: FlatForest | None = None
    """The model's trees in compiled form; None if scikit-learn predicts."""
    labels: np.ndarray | None = None
    """Class labels, in the order of the columns of the probabilities; None for a regressor."""

    @property
    def classes(self) -> list[bool | str | int]:
        """Class labels, in the order of the columns of the probabilities; empty if the model gives no probabilities."""
        if not hasattr(self.model, "predict_proba"):
            return []
        labels: list[bool | str | int] = self.model.classes_.tolist()
        return labels

    def predict(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Predict rows.

        Args:
            rows: Shape (rows, columns), finite float64; dtype object if a column holds text.

        Returns:
            Predictions of shape (rows,), as scikit-learn's `predict` returns them. Probabilities of shape
            (rows, classes), float64, or None if the model gives none.
        """
        result = None if self.forest is None else self.forest.predict(rows)
        if result is not None:
            largest, outputs = result
            return (outputs[:, 0], None) if self.labels is None else (self.labels[largest], outputs)
        features = self._to_frame(rows) if self.needs_column_names else rows
        predictions = self.model.predict(features)
        return predictions, self.model.predict_proba(features) if hasattr(self.model, "predict_proba") else None

    def tree_walks(self, rows: int) -> float:
        """Return how often rows walk down a tree; `inf` when scikit-learn predicts, because the cost is unknown."""
        return float("inf") if self.forest is None else rows * len(self.forest.roots)

    def _to_frame(self, rows: np.ndarray) -> pd.DataFrame:
        frame = pd.DataFrame(rows, columns=self.columns.names)
        return frame.astype({column.name: column.type.to_pandas() for column in self.columns})


def compile_model(artifact: Artifact, *, label: str) -> Predictor:
    """Check a stored model, compile its trees, and compare its predictions for its input example.

    Args:
        artifact: The stored model.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: A tree is damaged, or the predictions differ from those recorded when the model was stored.
    """
    model = artifact.model
    for tree, width in _iter_trees(model, None):
        if not (_is_sound(tree, width) if isinstance(tree, Tree) else _is_sound_histogram(tree, width)):
            raise ModelRefusedError(
                f"{label} is damaged: a tree has an index outside its arrays.",
                next_step="Load another version, or train the model again.",
            )
    if hasattr(model, "n_jobs"):
        model.set_params(n_jobs=1)  # requests already run in parallel, and one job sums the trees in a fixed order
    holds_text = artifact.columns.hold_text
    predictor = Predictor(
        model=model,
        columns=artifact.columns,
        needs_column_names=hasattr(model, "feature_names_in_") or holds_text,
        forest=None if holds_text else _flatten(model),
        labels=model.classes_ if is_classifier(model) else None,
    )
    if not _reproduces_example(predictor, artifact, label):
        raise ModelRefusedError(
            f"{label} does not predict its input example as it did when it was stored.",
            next_step="Train and register the model again on this platform, or load another version.",
        )
    return predictor


def _flatten(model: BaseEstimator) -> FlatForest | None:
    """Compile a forest with one output; return None for any other model."""
    if type(model) not in FORESTS:
        return None
    trees = [getattr(member, "tree_", None) for member in model.estimators_]
    if not trees or not all(type(tree) is Tree for tree in trees):
        return None
    outputs = len(model.classes_) if is_classifier(model) else 1
    return FlatForest.flatten(trees, width=model.n_features_in_, outputs=outputs)


def _reproduces_example(predictor: Predictor, artifact: Artifact, label: str) -> bool:
    """Whether the predictor gives the answers that were recorded with the input example."""
    rows = artifact.example.to_numpy(dtype=object if artifact.columns.hold_text else np.float64)
    try:
        predictions, probabilities = predictor.predict(rows)
    except (ValueError, TypeError, AttributeError, IndexError, KeyError, MemoryError) as error:
        raise ModelRefusedError(
            f"{label} cannot predict its input example: {error}",
            next_step="Load another version, or train the model again.",
        ) from error
    if predictions.shape != (len(rows),):
        raise ModelRefusedError(
            f"{label} gives more than one prediction per row.",
            allowed="models with one output",
            next_step="Load another version.",
        )
    expected = artifact.example_predictions
    if expected is not None and not _equal_predictions(predictions, expected):
        return False
    expected_probabilities = artifact.example_probabilities
    if expected_probabilities is None:
        return True
    return (
        probabilities is not None
        and probabilities.shape == expected_probabilities.shape
        and np.allclose(probabilities, expected_probabilities, rtol=EXAMPLE_TOLERANCE)
    )


def _equal_predictions(predictions: np.ndarray, expected: list[str | int | float]) -> bool:
    if predictions.dtype.kind == "f":
        return np.allclose(predictions, expected, rtol=EXAMPLE_TOLERANCE)
    return bool(predictions.tolist() == expected)


def _iter_trees(part: object, width: int | None) -> Iterator[tuple[Tree | TreePredictor, int | None]]:
    """Find every tree in an estimator, at any depth, with the number of features in the rows that it gets.

    An ensemble passes its rows to its members with all columns or fewer. A member must therefore not read beyond the
    columns of its ensemble, even if its `n_features_in_` is larger.

    Args:
        part: An estimator, a tree, or a container of them.
        width: Number of features that `part` gets; None if it is not known.
    """
    if isinstance(part, Tree | TreePredictor):
        yield part, width
    elif isinstance(part, BaseEstimator):
        fitted_width = getattr(part, "n_features_in_", None)
        part_width = fitted_width if width is None or fitted_width is None else min(width, fitted_width)
        member_width = part_width if isinstance(part, BaseEnsemble) or _holds_trees(part) else None
        yield from _iter_trees(list(vars(part).values()), member_width)
    elif isinstance(part, dict):
        yield from _iter_trees(list(part.values()), width)
    elif isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.dtype == object):
        for item in part:
            yield from _iter_trees(item, width)


def _holds_trees(part: BaseEstimator) -> bool:
    return hasattr(part, "tree_") or hasattr(part, "_predictors")


def _is_sound(tree: Tree, width: int | None) -> bool:
    """Whether every index stays inside the arrays and every walk down the tree ends.

    scikit-learn stores children after their parent. A tree that does the same has no cycle.
    """
    inner = tree.children_left != TREE_LEAF
    children = np.stack([tree.children_left, tree.children_right])[:, inner]
    return (tree.children_right[~inner] == TREE_LEAF).all() and _points_inside(
        children, tree.feature[inner], inner, tree.n_features if width is None else min(width, tree.n_features)
    )


def _is_sound_histogram(tree: TreePredictor, width: int | None) -> bool:
    """The same check for a tree of histogram gradient boosting, including its sets of categories."""
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
