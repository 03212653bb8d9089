"""Whether the arrays of one part of a stored model fit together, so that native code stays inside them.

`app.models.soundness` finds the parts. A function may raise any exception if an attribute is missing or has another
type; that is a damaged part too.
"""

from typing import Any, Final

import numpy as np
import scipy.sparse
from scipy.interpolate import BSpline
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import TREE_LEAF, Tree

BITSET_WORDS: Final = 8
"""Words of 32 bits in a set of the 256 categories of histogram gradient boosting."""


def is_sound_tree(tree: Tree, width: int | None) -> bool:
    """Whether every index of a tree stays inside its arrays and every walk down the tree ends.

    scikit-learn stores children after their parent. A tree that does the same has no cycle.

    Args:
        tree: The tree.
        width: Number of features in the rows that it gets. A tree with unknown rows is not sound.
    """
    inner = tree.children_left != TREE_LEAF
    children = np.stack([tree.children_left, tree.children_right])[:, inner]
    return (
        width is not None
        and tree.value.shape[0] == tree.node_count
        and bool((tree.children_right[~inner] == TREE_LEAF).all())
        and _points_inside(children, tree.feature[inner], inner, min(width, tree.n_features))
    )


def is_sound_histogram(tree: TreePredictor, width: int | None) -> bool:
    """The same check for a tree of histogram gradient boosting, including its sets of categories."""
    nodes, sets = tree.nodes, tree.raw_left_cat_bitsets
    inner = nodes["is_leaf"] == 0
    splits = nodes[inner]
    used_sets = splits["bitset_idx"][splits["is_categorical"] != 0]
    children = np.stack([splits["left"], splits["right"]]).astype(np.int64)
    return (
        width is not None
        and nodes.ndim == 1
        and sets.ndim == 2  # noqa: PLR2004 - sets and words
        and sets.shape[1] == BITSET_WORDS
        and bool((used_sets < len(sets)).all())
        and _points_inside(children, splits["feature_idx"], inner, width)
    )


def is_sound_sparse(matrix: Any) -> bool:  # noqa: ANN401 - scipy has no types
    """Whether the indices of a sparse matrix are inside its shape, and its index pointers rise."""
    try:
        if matrix.format in {"csr", "csc", "bsr"}:
            matrix.check_format(full_check=True)
        elif matrix.format == "coo":
            return all(
                index.shape == matrix.data.shape and bool(((index >= 0) & (index < size)).all())
                for index, size in zip(matrix.coords, matrix.shape, strict=True)
            )
        elif matrix.format == "dia":
            return bool(matrix.data.shape[0] == len(matrix.offsets))
    except ValueError:
        return False
    return True


def is_sound_svm(part: Any) -> bool:  # noqa: ANN401 - any object with the arrays of libsvm
    """Whether the arrays of a libsvm model have the sizes that its numbers of support vectors say."""
    counts, support, vectors = part._n_support, part.support_, part.support_vectors_  # noqa: SLF001 - no public name
    classes, size = len(counts), len(support)
    pairs = classes * (classes - 1) // 2
    rows = part.shape_fit_[0]
    is_precomputed = part.kernel == "precomputed"
    if counts.ndim != 1 or support.ndim != 1 or classes < 2 or (counts < 0).any():  # noqa: PLR2004 - two classes
        return False
    if hasattr(part, "classes_") and (len(part.classes_) != classes or counts.sum() != size):
        return False
    if not is_precomputed and vectors.shape != (size, part.n_features_in_):
        return False
    probabilities = (part._probA, part._probB)  # noqa: SLF001 - no public name
    return (
        all(_has_coefficients(matrix, classes - 1, size) for matrix in (part.dual_coef_, part._dual_coef_))
        and all(values.size == pairs for values in (part.intercept_, part._intercept_))
        and all(values.size in {0, pairs} for values in probabilities)
        and probabilities[0].size == probabilities[1].size
        and bool(((support >= 0) & (support < rows)).all())
    )


def is_sound_neighbors(part: Any) -> bool:  # noqa: ANN401 - any object with the rows of a nearest-neighbour search
    """Whether the stored rows have the columns of the model, and every stored label is one of its classes."""
    rows = part._fit_X  # noqa: SLF001 - no public name
    if rows.ndim != 2 or rows.shape[1] != part.n_features_in_:  # noqa: PLR2004 - rows and columns
        return False
    labels = getattr(part, "_y", None)
    if labels is None:
        return True
    if len(labels) != rows.shape[0]:
        return False
    classes = getattr(part, "classes_", None)
    if classes is None:
        return True
    counts = [len(classes)] if isinstance(classes, np.ndarray) else [len(values) for values in classes]
    outputs = labels.reshape(len(labels), -1)
    return outputs.shape[1] == len(counts) and bool(((outputs >= 0) & (outputs < np.array(counts))).all())


def is_sound_spline(part: BSpline) -> bool:
    """Whether scipy accepts the knots and coefficients of a spline, and holds them as they are."""
    knots, coefficients = part._t, part._c  # noqa: SLF001 - scipy's public attributes are copies
    if type(part.k) is not int or part.axis != 0 or coefficients.dtype != np.float64:
        return False
    try:
        spline = BSpline(knots, coefficients, part.k, part.extrapolate)
    except ValueError:
        return False
    return knots.dtype == np.float64 and bool(spline._t.shape == knots.shape)  # noqa: SLF001 - see above


def are_sound_centers(part: Any) -> bool:  # noqa: ANN401 - any clustering
    """Whether the centers of clusters have the columns of the model."""
    centers = part.cluster_centers_
    return bool(centers.ndim == 2 and centers.shape[1] == part.n_features_in_)  # noqa: PLR2004 - centers and columns


def knows_categories(part: Any) -> bool:  # noqa: ANN401 - any object with trees of histogram gradient boosting
    """Whether every split by categories uses a column that has categories."""
    predictors = [tree for trees in part._predictors for tree in trees]  # noqa: SLF001 - no public name
    columns = [tree.nodes["feature_idx"][tree.nodes["is_categorical"] != 0] for tree in predictors]
    used = np.concatenate([*columns, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    is_categorical = np.asarray(part._bin_mapper.is_categorical_)  # noqa: SLF001 - no public name
    return len(used) == 0 or bool(((used >= 0) & (used < len(is_categorical))).all() and is_categorical[used].all())


def has_one_tree_per_output(part: Any) -> bool:  # noqa: ANN401 - any object with members
    """Whether gradient boosting has as many trees a stage as outputs, because native code writes one output a tree."""
    if not hasattr(part, "_raw_predict_init"):
        return True
    row = np.zeros((1, part.n_features_in_), dtype=np.float32)
    members = part.estimators_
    return bool(
        members.ndim == 2  # noqa: PLR2004 - stages and outputs
        and members.shape[1] == part.n_trees_per_iteration_ == part._raw_predict_init(row).shape[1]  # noqa: SLF001
    )


def _has_coefficients(matrix: Any, rows: int, columns: int) -> bool:  # noqa: ANN401 - dense or sparse
    if matrix.shape != (rows, columns):
        return False
    return not scipy.sparse.issparse(matrix) or matrix.data.size == rows * columns


def _points_inside(children: np.ndarray, features: np.ndarray, inner: np.ndarray, width: int) -> bool:
    parents = np.flatnonzero(inner)
    inside = (children > parents) & (children < len(inner))
    return bool(len(inner) > 0 and inside.all() and ((features >= 0) & (features < width)).all())
