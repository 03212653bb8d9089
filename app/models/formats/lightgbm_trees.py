"""The trees in LightGBM's text format, and whether their indices stay inside their arrays.

LightGBM's native code checks no index while it predicts.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from app.models.formats.xgboost_trees import is_tree

INTEGERS: Final = (
    "num_leaves",
    "num_cat",
    "split_feature",
    "decision_type",
    "left_child",
    "right_child",
    "cat_boundaries",
    "cat_threshold",
    "is_linear",
    "num_features",
    "leaf_features",
)
"""Fields of a tree that hold whole numbers."""
FLOATS: Final = ("threshold", "leaf_value", "leaf_const", "leaf_coeff", "shrinkage")
"""Fields of a tree that hold float64."""

CATEGORICAL: Final = 1
"""Bit of `decision_type`: the node splits by categories. `threshold` is then the index of its set."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model in LightGBM's text format."""

    header: dict[str, str]
    """The fields before the first tree."""
    trees: list[dict[str, np.ndarray]]
    """The fields of each tree, as arrays; a child below 0 is the leaf `~child`."""

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.header["max_feature_idx"]) + 1


def parse(text: str) -> Model:
    """Parse the text of `Booster.model_to_string`.

    Raises:
        ValueError: The text is damaged.
        KeyError: A field is missing.
    """
    head, *blocks = text.split("\nend of trees", maxsplit=1)[0].split("\nTree=")
    return Model(header=_fields(head), trees=[_arrays(_fields(block)) for block in blocks])


def is_sound(text: str) -> bool:
    """Whether every index is inside its array and every walk down a tree ends.

    Args:
        text: See `parse`. May raise any exception for a damaged text.
    """
    model = parse(text)
    classes, outputs = int(model.header["num_class"]), int(model.header["num_tree_per_iteration"])
    objective = dict(part.split(":", 1) for part in model.header.get("objective", "").split() if ":" in part)
    return (
        classes == outputs
        and int(objective.get("num_class", outputs)) == outputs
        and len(model.trees) % outputs == 0
        and all(_is_sound_tree(tree, model.width) for tree in model.trees)
    )


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def _arrays(fields: dict[str, str]) -> dict[str, np.ndarray]:
    arrays = {name: np.array(fields[name].split(), dtype=np.int64) for name in INTEGERS if name in fields}
    return arrays | {name: np.array(fields[name].split(), dtype=np.float64) for name in FLOATS if name in fields}


def _is_sound_tree(tree: dict[str, np.ndarray], width: int) -> bool:
    leaves = int(tree["num_leaves"][0])
    inner = leaves - 1
    if leaves < 1 or len(tree["leaf_value"]) != leaves:
        return False
    if inner == 0:
        return _is_sound_linear(tree, leaves, width)
    names = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
    if any(len(tree[name]) != inner for name in names):
        return False
    children = np.concatenate([tree["left_child"], tree["right_child"]])
    used_leaves = ~children[children < 0]
    features = tree["split_feature"]
    return (
        is_tree(children[children >= 0], inner)
        and bool((used_leaves < leaves).all())
        and bool(((features >= 0) & (features < width)).all())
        and _knows_its_categories(tree)
        and _is_sound_linear(tree, leaves, width)
    )


def _knows_its_categories(tree: dict[str, np.ndarray]) -> bool:
    sets = tree["threshold"][(tree["decision_type"] & CATEGORICAL) != 0]
    count = int(tree["num_cat"][0])
    if len(sets) == 0 and count == 0:
        return True
    bounds = tree["cat_boundaries"]
    return (
        len(bounds) == count + 1
        and bounds[0] == 0
        and bool((np.diff(bounds) >= 0).all())
        and bounds[-1] <= len(tree["cat_threshold"])
        and bool(((sets >= 0) & (sets < count)).all())
    )


def _is_sound_linear(tree: dict[str, np.ndarray], leaves: int, width: int) -> bool:
    """Check the linear models in the leaves, if the tree has any."""
    if not tree.get("is_linear", np.zeros(1))[0]:
        return True
    features, sizes = tree["leaf_features"], tree["num_features"]
    return (
        len(tree["leaf_const"]) == len(sizes) == leaves
        and bool((sizes >= 0).all())
        and int(sizes.sum()) == len(features) == len(tree["leaf_coeff"])
        and bool(((features >= 0) & (features < width)).all())
    )
