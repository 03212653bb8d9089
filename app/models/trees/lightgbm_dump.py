"""Converts LightGBM's trees, from the fields of its text format, to flat arrays.

LightGBM compares float64 numbers by `x <= t` and adds the leaf values in float64.
"""

from typing import Final

import numpy as np

from app.models.formats.lightgbm_trees import CATEGORICAL, Model
from app.models.trees.flat_model import FlatModel, Link
from app.models.trees.flat_trees import NARROW, WIDE_NODE, ZERO_IS_MISSING, FlatTrees, LibraryTree

LINKS: Final[dict[str, Link]] = {
    "binary sigmoid:1": "wide_logistic",
    "multiclass": "ordered_softmax",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "poisson": "exponential",
    "gamma": "exponential",
    "tweedie": "exponential",
}
"""The link for each objective. LightGBM itself answers for every other objective, such as one with other options."""

DEFAULT_LEFT: Final = 2
"""Bit of `decision_type`: a missing value goes left."""

NOTHING_MISSING, ZERO_MISSING = 0, 1
"""What counts as missing: nothing, so that NaN counts as zero; or zero and NaN. In bits 2 and 3 of `decision_type`."""

ZERO: Final = float(np.float32(1e-35))
"""LightGBM counts a number as zero if it is not farther from zero."""


def flatten_lightgbm(model: Model, kinds: np.ndarray) -> FlatModel | None:
    """Convert a model whose indices were checked.

    Args:
        model: The fields of LightGBM's text format.
        kinds: The kind of each column, as it reaches LightGBM.

    Returns:
        The model, or None if only LightGBM can evaluate it: it has splits by categories, linear models in its leaves,
        thresholds next to zero, columns where zero is missing in some nodes only, or another objective.
    """
    trees, objective = model.trees, model.header.get("objective", "")
    link = LINKS.get(objective if objective in LINKS else objective.split(" num_class:")[0])
    if link is None or not trees or model.width != len(kinds):
        return None
    if any(tree.get("is_linear", np.zeros(1))[0] or _splits_by_categories(tree) for tree in trees):
        return None
    all_kinds = _with_zeros(trees, kinds)
    outputs = int(model.header["num_tree_per_iteration"])
    if all_kinds is None:
        return None
    flat = FlatTrees.lay_out(
        [_library_tree(tree, index % outputs) for index, tree in enumerate(trees)], node=WIDE_NODE, kinds=all_kinds
    )
    return None if flat is None else FlatModel(trees=flat, baseline=np.zeros(outputs), link=link)


def _splits_by_categories(tree: dict[str, np.ndarray]) -> bool:
    return bool((tree.get("decision_type", np.zeros(0, dtype=np.int64)) & CATEGORICAL).any())


def _with_zeros(trees: list[dict[str, np.ndarray]], kinds: np.ndarray) -> np.ndarray | None:
    """Mark the columns in which zero counts as missing; None if the nodes disagree or compare with such a zero."""
    split = [tree for tree in trees if len(tree.get("split_feature", ()))]
    features = np.concatenate([np.zeros(0, dtype=np.int64), *(tree["split_feature"] for tree in split)])
    decisions = np.concatenate([np.zeros(0, dtype=np.int64), *(tree["decision_type"] for tree in split)])
    thresholds = np.concatenate([np.zeros(0), *(tree["threshold"] for tree in split)])
    is_zero = (decisions >> 2) & 3 == ZERO_MISSING
    zeros, others = np.unique(features[is_zero]), np.unique(features[~is_zero])
    if len(np.intersect1d(zeros, others)) or (np.abs(thresholds) < ZERO).any() or (kinds[zeros] == NARROW).any():
        return None
    kinds = kinds.copy()
    kinds[zeros] = ZERO_IS_MISSING
    return kinds


def _library_tree(tree: dict[str, np.ndarray], output: int) -> LibraryTree:
    """Number the inner nodes first, as LightGBM does, and then the leaves."""
    values = tree["leaf_value"]
    inner = len(values) - 1
    empty = np.zeros(0, dtype=np.int64)
    decisions = tree["decision_type"] if inner else empty
    thresholds = tree["threshold"] if inner else np.zeros(0)
    # Where nothing is missing, LightGBM takes NaN for zero.
    is_left = np.where((decisions >> 2) & 3 == NOTHING_MISSING, thresholds >= 0, decisions & DEFAULT_LEFT != 0)
    leaves = np.zeros(len(values))
    return LibraryTree(
        left=np.concatenate([_children(tree["left_child"], inner) if inner else empty, leaves - 1]).astype(np.int64),
        right=np.concatenate([_children(tree["right_child"], inner) if inner else empty, leaves - 1]).astype(np.int64),
        feature=np.concatenate([tree["split_feature"] if inner else empty, leaves]).astype(np.int64),
        threshold=np.concatenate([thresholds, leaves]),
        missing_left=np.concatenate([is_left, leaves]).astype(bool),
        value=np.concatenate([np.zeros(inner), values])[:, None],
        output=output,
    )


def _children(children: np.ndarray, inner: int) -> np.ndarray:
    return np.where(children < 0, inner + ~children, children)
