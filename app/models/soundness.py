"""Finds every part of a stored model whose indices native code trusts, and refuses a model with a damaged part.

The search visits every object that the model holds. The class of an estimator does not say which parts it holds.
`app.models.index_checks` decides which parts are sound. `app.models.artifact` decides which types a model may hold.
"""

from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Final

import numpy as np
import scipy.sparse
from scipy.interpolate import BSpline
from sklearn.base import BaseEstimator
from sklearn.ensemble._base import BaseEnsemble
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree._tree import Tree

from app.errors import ModelRefusedError
from app.models import index_checks
from app.models.formats import boosters
from app.models.neighbor_trees import rebuild_trees, rebuilds_tree

MAX_PARTS: Final = 2_000_000
"""Maximum number of objects in a model. A forest of 1,000 trees has about 30,000."""

TREE_FAULT: Final = "a tree has an index outside its arrays"

SEARCH_TYPES: Final = (BallTree, KDTree, DistanceMetric)
"""Types whose native code trusts what a file says. `app.models.neighbor_trees` builds them again."""

PLAIN_TYPES: Final = (str, bytes, bool, int, float, complex, type(None), type, np.generic, np.dtype)
"""Types of values that hold no other objects."""


def check_indices(model: BaseEstimator, *, label: str) -> None:
    """Refuse a model with an index outside its arrays.

    Args:
        model: The estimator.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: An index is outside its arrays, or the model holds more than `MAX_PARTS` objects.
    """
    try:
        for part, width in iter_parts(model, label):
            _check_part(part, width, label)
    except (ModelRefusedError, MemoryError):
        raise
    except Exception as error:  # a damaged part may lack any attribute, or have one of any type
        raise _damaged(label, f"one of its arrays is missing or has another type ({error})") from error


def rebuild_search_trees(model: BaseEstimator, *, label: str) -> None:
    """Build the search trees of all nearest-neighbour models in a model again.

    Args:
        model: An estimator that passed `check_indices`.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The stored rows do not make a tree.
    """
    try:
        rebuild_trees(part for part, _ in iter_parts(model, label))
    except (ModelRefusedError, MemoryError):
        raise
    except Exception as error:  # a damaged part may lack any attribute, or have one of any type
        raise _damaged(label, f"a nearest-neighbour model cannot be built again ({error})") from error


def use_one_thread(model: BaseEstimator, *, label: str) -> None:
    """Let every booster in a model predict in one thread, because requests already run in parallel.

    Args:
        model: An estimator that passed `check_indices`.
        label: Name of the model in error messages.
    """
    if boosters.may_exist():
        for part, _ in iter_parts(model, label):
            boosters.use_one_thread(part)


def _damaged(label: str, fault: str) -> ModelRefusedError:
    return ModelRefusedError(
        f"{label} is damaged: {fault}.", next_step="Load another version, or train the model again."
    )


def _check_part(part: object, width: int | None, label: str) -> None:
    """Refuse a part that is not sound. Native code trusts nothing in a part that fits none of the descriptions."""
    attributes = attributes_of(part)
    checks: list[tuple[bool, Callable[[], bool], str]] = [
        (isinstance(part, Tree), lambda: index_checks.is_sound_tree(part, width), TREE_FAULT),
        (isinstance(part, TreePredictor), lambda: index_checks.is_sound_histogram(part, width), TREE_FAULT),
        (
            scipy.sparse.issparse(part),
            lambda: index_checks.is_sound_sparse(part),
            "a sparse matrix has an index outside its shape",
        ),
        (
            "_n_support" in attributes,
            lambda: index_checks.is_sound_svm(part),
            "the arrays of a support vector machine have different sizes",
        ),
        (
            "_fit_X" in attributes,
            lambda: index_checks.is_sound_neighbors(part),
            "the stored rows of a nearest-neighbour model do not fit its columns and classes",
        ),
        (
            isinstance(part, SEARCH_TYPES),
            lambda: False,
            "it holds a search tree or a metric that does not belong to a nearest-neighbour model",
        ),
        (
            isinstance(part, BSpline),
            lambda: index_checks.is_sound_spline(part),
            "the knots and coefficients of a spline do not fit together",
        ),
        (
            "cluster_centers_" in attributes,
            lambda: index_checks.are_sound_centers(part),
            "the centers of clusters have another number of columns than the model",
        ),
        (
            "_predictors" in attributes,
            lambda: index_checks.knows_categories(part),
            "a tree splits by a column that has no categories",
        ),
        (
            "estimators_" in attributes,
            lambda: index_checks.has_one_tree_per_output(part),
            "it has another number of trees than outputs",
        ),
        *boosters.soundness_checks(part),
    ]
    for applies, is_sound, fault in checks:
        if applies and not is_sound():
            raise _damaged(label, fault)


def iter_parts(model: object, label: str) -> Iterator[tuple[object, int | None]]:
    """Yield every object in a model, with the number of features in the rows that it gets; None if not known.

    An ensemble passes its rows to its members with all columns or fewer. A member must therefore not read beyond the
    columns of its ensemble, even if its `n_features_in_` is larger.
    """
    waiting: list[tuple[object, int | None]] = [(model, None)]
    seen: set[tuple[int, int | None]] = set()
    while waiting:
        part, width = waiting.pop()
        if isinstance(part, PLAIN_TYPES) or (id(part), width) in seen:
            continue
        seen.add((id(part), width))
        if len(seen) > MAX_PARTS:
            raise ModelRefusedError(
                f"{label} holds too many objects.", allowed=f"{MAX_PARTS:,} objects", next_step="Load another version."
            )
        yield part, width
        waiting += [(member, _member_width(part, width)) for member in _members(part)]


def _members(part: object) -> list[object]:
    """Return the objects that an object holds."""
    if isinstance(part, dict):
        return [*part.keys(), *part.values()]
    if isinstance(part, list | tuple | set | frozenset):
        return list(part)
    if isinstance(part, np.ndarray):
        return list(part.ravel()) if part.dtype.hasobject else []
    attributes = attributes_of(part)
    if rebuilds_tree(attributes):
        attributes.pop("_tree")
    return list(attributes.values())


def attributes_of(part: object) -> dict[str, object]:
    """Return the attributes of an object, including those in slots."""
    attributes = dict(getattr(part, "__dict__", {}))
    for base in type(part).__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if hasattr(part, slot):
                attributes[slot] = getattr(part, slot)
    return attributes


def _member_width(part: object, width: int | None) -> int | None:
    """Return how many features the members of an object get."""
    if isinstance(part, dict | list | tuple | set | frozenset | np.ndarray):
        return width
    own_width = getattr(part, "n_features_in_", None)
    if own_width is not None and not isinstance(own_width, Integral):
        raise TypeError("n_features_in_ is no number")
    widths = [int(value) for value in (width, own_width) if value is not None]
    passes_rows_on = isinstance(part, BaseEnsemble) or hasattr(part, "tree_") or hasattr(part, "_predictors")
    return min(widths, default=None) if passes_rows_on else None
