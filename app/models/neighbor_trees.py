"""Builds the search trees of nearest-neighbour models again, from the rows that the model stores.

The native code of a tree follows indices in the tree without a check. A tree that scikit-learn has built from checked
rows has no wrong index, and equals the tree of the fitted model.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.neighbors import BallTree, KDTree


def rebuilds_tree(attributes: Mapping[str, object]) -> bool:
    """Whether `rebuild_trees` replaces the tree of an object.

    Args:
        attributes: The attributes of the object.
    """
    return isinstance(attributes.get("_tree"), BallTree | KDTree) and "_fit_X" in attributes


def rebuild_trees(parts: Iterable[Any]) -> None:  # parts of a model may be any objects
    """Replace the trees of nearest-neighbour models.

    Args:
        parts: All objects that a model holds. Their stored rows were checked.

    Raises:
        ValueError: The rows, the leaf size or the metric do not make a tree.
        AttributeError: An attribute of a nearest-neighbour model is missing.
    """
    for part in parts:
        if rebuilds_tree(getattr(part, "__dict__", {})):
            rows = part._fit_X  # noqa: SLF001 - no public name
            if not np.isfinite(rows).all():
                raise ValueError("the stored rows of a nearest-neighbour model are not finite")
            tree_type = BallTree if isinstance(part._tree, BallTree) else KDTree  # noqa: SLF001 - no public name
            part._tree = tree_type(  # noqa: SLF001 - no public name
                rows, part.leaf_size, metric=part.effective_metric_, **part.effective_metric_params_
            )
