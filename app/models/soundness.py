"""Checks the indices in a stored model, so that native code stays inside the model's arrays.

`app.models.artifact` decides which types a model may hold.
"""

from collections.abc import Iterator

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble._base import BaseEnsemble
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import TREE_LEAF, Tree

from app.errors import ModelRefusedError


def check_indices(model: BaseEstimator, *, label: str) -> None:
    """Refuse a model with an index outside its arrays.

    Args:
        model: The estimator.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: An index is outside its arrays.
    """
    for tree, width in _iter_trees(model, None):
        if not (_is_sound(tree, width) if isinstance(tree, Tree) else _is_sound_histogram(tree, width)):
            raise ModelRefusedError(
                f"{label} is damaged: a tree has an index outside its arrays.",
                next_step="Load another version, or train the model again.",
            )


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
