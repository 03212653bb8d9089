"""The content of an XGBoost model as JSON, and whether its indices stay inside its arrays.

XGBoost's native code checks no index while it predicts.
"""

import json
from typing import Any, Final

import numpy as np

LEAF: Final = -1
"""Child of a leaf."""

Document = dict[str, Any]
"""XGBoost's JSON; its schema is in XGBoost's documentation of the model format."""


def document(booster: Any) -> Document:  # noqa: ANN401 - an xgboost.Booster; the package is optional
    """Return the content of a booster, in the form of XGBoost's JSON model files.

    `document["learner"]["gradient_booster"]["model"]["trees"]` holds the trees of the booster `gbtree`.
    """
    content: Document = json.loads(booster.save_raw("json"))
    return content


def is_sound(booster: Any) -> bool:  # noqa: ANN401 - an xgboost.Booster; the package is optional
    """Whether every index is inside its array and every walk down a tree ends.

    May raise any exception for a damaged booster.
    """
    learner = document(booster)["learner"]
    parameters = learner["learner_model_param"]
    width = int(parameters["num_feature"])
    groups = max(int(parameters["num_class"]), int(parameters.get("num_target", "1")), 1)
    gradient_booster = learner["gradient_booster"]
    if gradient_booster["name"] == "gblinear":
        return len(gradient_booster["model"]["weights"]) == (width + 1) * groups
    is_dart = gradient_booster["name"] == "dart"
    trees = (gradient_booster["gbtree"] if is_dart else gradient_booster)["model"]
    count = len(trees["trees"])
    rounds = np.asarray(trees.get("iteration_indptr", [0, count]), dtype=np.int64)
    tree_groups = np.asarray(trees["tree_info"], dtype=np.int64)
    return (
        (not is_dart or len(gradient_booster["weight_drop"]) == count)
        and len(tree_groups) == count
        and bool(((tree_groups >= 0) & (tree_groups < groups)).all())
        and rounds[-1] == count
        and bool((np.diff(rounds) >= 0).all())
        and all(_is_sound_tree(tree, width) for tree in trees["trees"])
    )


def _is_sound_tree(tree: dict[str, Any], width: int) -> bool:
    """Check one tree. The right child follows the left one: XGBoost computes its index and does not read it."""
    left = np.asarray(tree["left_children"], dtype=np.int64)
    right = np.asarray(tree["right_children"], dtype=np.int64)
    features = np.asarray(tree["split_indices"], dtype=np.int64)
    nodes = len(left)
    if nodes == 0 or not len(right) == len(features) == len(tree["split_conditions"]) == nodes:
        return False
    inner = left != LEAF
    return (
        bool((right[inner] == left[inner] + 1).all())
        and is_tree(np.concatenate([left[inner], right[inner]]), nodes)
        and bool(((features[inner] >= 0) & (features[inner] < width)).all())
    )


def is_tree(children: np.ndarray, nodes: int) -> bool:
    """Whether no walk from node 0 meets a node twice: each child is a node, has one parent, and is not the root.

    Args:
        children: Shape (links,), int64: the children of all nodes.
        nodes: Number of nodes.
    """
    if len(children) == 0:
        return True
    return bool(((children > 0) & (children < nodes)).all()) and int(np.bincount(children).max()) == 1
