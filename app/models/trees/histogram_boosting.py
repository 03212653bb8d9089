"""Converts scikit-learn's histogram gradient boosting to flat arrays."""

from typing import Any, Final

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

from app.models.trees.flat_model import FlatModel, Link
from app.models.trees.flat_trees import CATEGORY, NO_SETS, WIDE_NODE, FlatTrees, LibraryTree

HISTOGRAMS: Final = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)

LINKS: Final[dict[str, Link]] = {
    "IdentityLink": "identity",
    "LogLink": "log",
    "LogitLink": "logit",
    "MultinomialLogit": "softmax_by_column",
}
"""The link for each class of scikit-learn's links."""


def flatten_histograms(model: Any, kinds: np.ndarray) -> FlatModel | None:  # noqa: ANN401 - scikit-learn has no types
    """Convert histogram gradient boosting, whose indices were checked.

    Args:
        model: The estimator.
        kinds: The kind of each column, as it reaches the estimator.

    Returns:
        The model, or None if only scikit-learn can evaluate it: its categories are not numbers.
    """
    link = LINKS.get(type(model._loss.link).__name__)  # noqa: SLF001 - no public name
    baseline = np.asarray(model._baseline_prediction)  # noqa: SLF001 - no public name
    is_categorical = model.is_categorical_
    if is_categorical is None:
        is_categorical = np.zeros(len(kinds), dtype=bool)
    categories = _categories(model, is_categorical)
    members = [(tree, output) for stage in model._predictors for output, tree in enumerate(stage)]  # noqa: SLF001
    if link is None or categories is None or len(is_categorical) != len(kinds) or not members:
        return None
    if baseline.ndim != 2 or baseline.dtype != np.float64:  # noqa: PLR2004 - one row
        return None
    # scikit-learn moves the columns with categories to the front.
    order = np.concatenate([np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)])
    starts = np.cumsum([0, *(len(tree.raw_left_cat_bitsets) for tree, _ in members)])
    flat = FlatTrees.lay_out(
        [_library_tree(tree, output, order, start) for (tree, output), start in zip(members, starts, strict=False)],
        node=WIDE_NODE,
        kinds=np.where(is_categorical, CATEGORY, kinds),
        sets=np.concatenate([NO_SETS, *(tree.raw_left_cat_bitsets for tree, _ in members)]),
        categories=categories,
    )
    return None if flat is None else FlatModel(trees=flat, baseline=baseline[0], link=link)


def _categories(model: Any, is_categorical: np.ndarray) -> list[np.ndarray] | None:  # noqa: ANN401 - no types
    """Return the categories of each column in ascending order; None if they are not numbers or too many."""
    categories = [np.zeros(0)] * len(is_categorical)
    if not is_categorical.any():
        return categories
    encoder = model._preprocessor.named_transformers_["encoder"]  # noqa: SLF001 - no public name
    known, rows = model._bin_mapper.make_known_categories_bitsets()  # noqa: SLF001 - no public name
    for index, (column, values) in enumerate(zip(np.flatnonzero(is_categorical), encoder.categories_, strict=True)):
        if values.dtype.kind not in "biuf":
            return None
        numbers = values.astype(np.float64)
        numbers = numbers[~np.isnan(numbers)]
        codes = np.arange(len(numbers))
        bits = np.unpackbits(known[rows[index]].view(np.uint8), bitorder="little")
        if len(numbers) > len(bits) or not bits[codes].all() or not (np.diff(numbers) > 0).all():
            return None
        categories[column] = numbers
    return categories


def _library_tree(tree: TreePredictor, output: int, order: np.ndarray, first_set: int) -> LibraryTree:
    nodes = tree.nodes
    is_leaf = nodes["is_leaf"] != 0
    return LibraryTree(
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        feature=order[np.where(is_leaf, 0, nodes["feature_idx"])],
        threshold=nodes["num_threshold"],
        missing_left=nodes["missing_go_to_left"],
        value=nodes["value"][:, None],
        output=output,
        set_index=np.where(nodes["is_categorical"] != 0, first_set + nodes["bitset_idx"].astype(np.int64), -1),
    )
