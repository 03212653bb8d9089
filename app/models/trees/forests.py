"""Converts scikit-learn's forests and its gradient boosting by stages to flat arrays."""

from typing import Any, Final

import numpy as np
from sklearn.base import is_classifier
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree._tree import Tree

from app.models.trees.flat_model import FlatModel, Link
from app.models.trees.flat_trees import NODE, PLAIN, FlatTrees, LibraryTree

FORESTS: Final = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
STAGES: Final = (GradientBoostingClassifier, GradientBoostingRegressor)

LINKS: Final[dict[str, Link]] = {
    "IdentityLink": "identity",
    "LogitLink": "stages",
    "HalfLogitLink": "half_logit",
    "MultinomialLogit": "softmax",
}
"""The link for each class of scikit-learn's links."""


def flatten_forest(model: Any) -> FlatModel | None:  # noqa: ANN401 - scikit-learn has no types
    """Convert a forest with one output, whose indices were checked; None if only scikit-learn can evaluate it."""
    trees: list[Any] = [getattr(member, "tree_", None) for member in model.estimators_]
    outputs = len(model.classes_) if is_classifier(model) else 1
    if not trees or not all(type(tree) is Tree and tree.value.shape[1:] == (1, outputs) for tree in trees):
        return None
    flat = _lay_out([_library_tree(tree, tree.value[:, 0]) for tree in trees], model.n_features_in_)
    if flat is None:
        return None
    return FlatModel(
        trees=flat,
        baseline=np.zeros(outputs),
        link="votes" if is_classifier(model) else "identity",
        divisor=len(trees),
    )


def flatten_stages(model: Any) -> FlatModel | None:  # noqa: ANN401 - scikit-learn has no types
    """Convert gradient boosting by stages, whose indices were checked; None if only scikit-learn can evaluate it."""
    has_constant_start = model.init_ == "zero" or type(model.init_) in {DummyClassifier, DummyRegressor}
    members = model.estimators_
    trees = [(member.tree_, output) for stage in members for output, member in enumerate(stage)]
    if not has_constant_start or not all(type(tree) is Tree and tree.value.shape[1:] == (1, 1) for tree, _ in trees):
        return None
    row = np.zeros((1, model.n_features_in_), dtype=np.float32)
    baseline = np.asarray(model._raw_predict_init(row))  # noqa: SLF001 - no public name
    link = LINKS.get(type(model._loss.link).__name__) if is_classifier(model) else "identity"  # noqa: SLF001
    if link is None or baseline.shape != (1, members.shape[1]) or baseline.dtype != np.float64:
        return None
    # scikit-learn multiplies when it predicts; the product is rounded to the same number.
    flat = _lay_out(
        [_library_tree(tree, model.learning_rate * tree.value[:, 0], output) for tree, output in trees],
        model.n_features_in_,
    )
    return None if flat is None else FlatModel(trees=flat, baseline=baseline[0], link=link, takes_missing=False)


def _lay_out(trees: list[LibraryTree], width: int) -> FlatTrees | None:
    return FlatTrees.lay_out(trees, node=NODE, kinds=np.full(width, PLAIN))


def _library_tree(tree: Tree, value: np.ndarray, output: int = 0) -> LibraryTree:
    return LibraryTree(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        missing_left=tree.missing_go_to_left,
        value=value,
        output=output,
    )
