"""Converts XGBoost's trees, from the JSON of its model format, to flat arrays.

XGBoost compares float32 numbers by `x < t`, adds the leaf values in float32, and has no NaN in its thresholds.
"""

from typing import Any, Final

import numpy as np

from app.models.formats.xgboost_trees import Document
from app.models.trees.flat_model import FlatModel, Link
from app.models.trees.flat_trees import NODE, PLAIN, FlatTrees, LibraryTree

LINKS: Final[dict[str, Link]] = {
    "binary:logistic": "narrow_logistic",
    "multi:softprob": "ordered_softmax",
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:absoluteerror": "identity",
    "reg:quantileerror": "identity",
    "count:poisson": "exponential",
    "reg:gamma": "exponential",
    "reg:tweedie": "exponential",
}
"""The link for each objective. XGBoost itself answers for every other objective."""


def flatten_xgboost(document: Document, *, rounds: int) -> FlatModel | None:
    """Convert a model whose indices were checked.

    Args:
        document: XGBoost's JSON.
        rounds: Number of boosting rounds that predict; 0 for all.

    Returns:
        The model, or None if only XGBoost can evaluate it: its booster is not `gbtree`, or it has splits by
        categories, several numbers in a leaf, or another objective.
    """
    learner = document["learner"]
    link, booster = LINKS.get(learner["objective"]["name"]), learner["gradient_booster"]
    if link is None or booster["name"] != "gbtree":
        return None
    model, parameters = booster["model"], learner["learner_model_param"]
    count = int(model["iteration_indptr"][rounds] if rounds else len(model["trees"]))
    trees, outputs = model["trees"][:count], max(int(parameters["num_class"]), 1)
    if not trees or int(parameters.get("num_target", "1")) > 1 or not all(map(_is_plain, trees)):
        return None
    flat = FlatTrees.lay_out(
        [_library_tree(tree, output) for tree, output in zip(trees, model["tree_info"], strict=False)],
        node=NODE,
        kinds=np.full(int(parameters["num_feature"]), PLAIN),
    )
    baseline = _margins(parameters["base_score"], link, outputs)
    return None if flat is None or baseline is None else FlatModel(trees=flat, baseline=baseline, link=link)


def _margins(base_score: str, link: Link, outputs: int) -> np.ndarray | None:
    """Return the margins that XGBoost starts with; None if their number is not that of the outputs."""
    scores = np.array(base_score.strip("[]").split(","), dtype=np.float32)
    if link == "narrow_logistic":
        # The logarithm of the C library, which XGBoost calls, is within the rounding of float64's.
        scores = -np.log(np.float32(1) / scores - np.float32(1), dtype=np.float64).astype(np.float32)
    elif link == "exponential":
        scores = np.log(scores, dtype=np.float64).astype(np.float32)
    if len(scores) not in {1, outputs} or not np.isfinite(scores).all():
        return None
    return np.broadcast_to(scores, outputs).copy()


def _is_plain(tree: dict[str, Any]) -> bool:
    return not any(tree["split_type"]) and int(tree["tree_param"]["size_leaf_vector"]) <= 1


def _library_tree(tree: dict[str, Any], output: int) -> LibraryTree:
    left = np.asarray(tree["left_children"], dtype=np.int64)
    numbers = np.asarray(tree["split_conditions"], dtype=np.float32)
    return LibraryTree(
        left=left,
        right=np.asarray(tree["right_children"], dtype=np.int64),
        feature=np.asarray(tree["split_indices"], dtype=np.int64),
        # `x < t` holds for the same float32 numbers as `x <= s`, where s is the next float32 below t.
        threshold=np.nextafter(numbers, np.float32(-np.inf)),
        missing_left=np.asarray(tree["default_left"], dtype=bool),
        value=np.where(left == -1, numbers, np.float32(0))[:, None],
        output=output,
    )
