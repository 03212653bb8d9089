"""Fitting a forest in slices on a Ray cluster, bit for bit equal to one `fit` of scikit-learn.

scikit-learn draws one seed per tree, in the order of the trees, and a warm start skips the seeds of the trees that
exist. So a worker can fit the trees after the first `offset` trees as if it had fitted those trees too.
`app.training.ray_cluster` connects to the cluster and waits for a free CPU.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd
import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayTaskError, WorkerCrashedError
from sklearn.base import clone, is_classifier
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import BaseDecisionTree
from sklearn.utils import compute_class_weight

from app.errors import ParameterError, PlatformError
from app.training.ray_cluster import RayWorkers

ForestModel = TypeVar(
    "ForestModel", RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor
)

MAX_RETRIES: Final = 5
"""How often Ray fits a slice again after its worker was lost."""

SLICES_PER_TASK: Final = 2
"""A slice has the trees that are left, divided by this number times the parallel tasks. The first slices are large and
the last ones are single trees, so that no task waits long for the last slice of another one."""


def fit(
    forest: ForestModel,
    features: pd.DataFrame | np.ndarray,
    target: pd.Series,
    *,
    workers: RayWorkers,
    weights: np.ndarray | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
) -> ForestModel:
    """Fit a forest on the connected Ray cluster.

    The rows go into Ray's object store once, as float32, and all workers on a node share that copy. Ray fits a slice
    again if its worker is lost.

    Args:
        forest: An unfitted forest, which stays unchanged. `random_state` must be a number, and `warm_start` off.
        features: Shape (rows, columns), numbers; a value may be NaN, and none may be infinite in float32.
        target: Shape (rows,), labels of a classifier or numbers of a regressor.
        workers: The CPUs of the cluster.
        weights: Shape (rows,), the sample weights, or None.
        on_progress: Called with the number of fitted trees each time that slices are done.

    Returns:
        A fitted copy, equal to `clone(forest).fit(features, target, weights)` in every tree and attribute.

    Raises:
        ParameterError: The forest has no fixed seed, or is to be warm-started.
        PlatformError: The worker of a slice was lost more than `MAX_RETRIES` times.
        ValueError: scikit-learn refuses the parameters.
    """
    _check_forest(forest, target)
    rows = np.ascontiguousarray(features, dtype=np.float32)
    template, labels = encode(forest, target)
    rows_reference = ray.put(rows)
    rows = writable_view(ray.get(rows_reference))  # a view of the shared copy, which frees the local one
    data = (ray.put(template), rows_reference, ray.put(labels), ray.put(weights))
    fit_remote = ray.remote(num_cpus=workers.cpus_per_task, max_retries=MAX_RETRIES)(fit_slice)
    offset_of_task = {
        fit_remote.remote(*data, offset, count): offset
        for offset, count in tree_slices(forest.n_estimators, workers.parallel_tasks)
    }
    trees_by_offset: dict[int, list[BaseDecisionTree]] = {}
    try:
        while offset_of_task:
            done, _ = ray.wait(list(offset_of_task))
            for task in done:
                trees_by_offset[offset_of_task.pop(task)] = ray.get(task)
            on_progress(sum(map(len, trees_by_offset.values())))
    except (NodeDiedError, OutOfMemoryError, WorkerCrashedError) as error:
        raise PlatformError(
            f"A worker was lost {MAX_RETRIES + 1} times while it fitted the same trees: {str(error).splitlines()[0]}",
            next_step="Give the workers more memory, or use fewer rows or a smaller --max-depth.",
        ) from error
    except RayTaskError as error:
        raise error.as_instanceof_cause() from error  # type: ignore[no-untyped-call] # Ray's API has no types
    finally:
        for task in offset_of_task:
            ray.cancel(task, force=True)
    trees = [tree for offset in sorted(trees_by_offset) for tree in trees_by_offset[offset]]
    names = features.columns if isinstance(features, pd.DataFrame) else None
    return assemble(forest, trees, rows, target, weights, names=names)


def tree_slices(tree_count: int, parallel_tasks: int) -> Iterator[tuple[int, int]]:
    """Divide the trees of a forest into slices.

    Yields:
        The number of trees before a slice, and the number of trees in it.
    """
    offset = 0
    while offset < tree_count:
        count = max(1, (tree_count - offset) // (SLICES_PER_TASK * parallel_tasks))
        yield offset, count
        offset += count


def encode(forest: ForestModel, target: pd.Series) -> tuple[ForestModel, np.ndarray]:
    """Replace labels by their index among the sorted classes, which is also what trees store.

    Ray's workers share an array of numbers. An array of strings would be copied into every worker.

    Returns:
        A forest with the class weights of the new labels, and the labels of shape (rows,). A regressor's target stays.
    """
    if not is_classifier(forest):
        return clone(forest), np.ascontiguousarray(target, dtype=np.float64)
    classes, labels = np.unique(target, return_inverse=True)
    template = clone(forest)
    if isinstance(forest.class_weight, dict):
        weights = compute_class_weight(forest.class_weight, classes=classes, y=np.asarray(target))
        template.set_params(class_weight=dict(enumerate(weights.tolist())))
    return template, labels


def fit_slice(
    template: Any,  # noqa: ANN401 - a TypeVar needs the forest in the return type
    rows: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None,
    offset: int,
    count: int,
) -> list[BaseDecisionTree]:
    """Fit `count` trees of a forest as if the `offset` trees before them were fitted too.

    Args:
        template: The forest from `encode`.
        rows: Shape (rows, columns), float32; may be read-only.
        labels: Shape (rows,), from `encode`.
        weights: Shape (rows,), the sample weights, or None.
        offset: Number of trees before the slice.
        count: Number of trees in the slice.
    """
    forest = clone(template).set_params(n_estimators=offset + count, warm_start=True, oob_score=False, n_jobs=1)
    forest.estimators_ = [None] * offset
    with _ignore_warm_start_warnings():
        forest.fit(writable_view(rows), labels, sample_weight=weights)
    trees: list[BaseDecisionTree] = forest.estimators_[offset:]
    return trees


def writable_view(rows: np.ndarray) -> np.ndarray:
    """Return an array of the same memory that is marked as writable, although writing to Ray's shared copy would fail.

    scikit-learn asks for a writable array to find missing values in, and only reads it. A copy would cost every worker
    as much memory as the rows.
    """
    return rows if rows.flags.writeable else np.asarray(_WritableInterface(rows))


class _WritableInterface:
    """An array's interface with the mark that its memory is writable."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows  # keeps the memory
        self.__array_interface__ = rows.__array_interface__ | {"data": (rows.ctypes.data, False)}


def assemble(
    forest: ForestModel,
    trees: list[BaseDecisionTree],
    rows: np.ndarray,
    target: pd.Series,
    weights: np.ndarray | None = None,
    *,
    names: pd.Index | None = None,
) -> ForestModel:
    """Put trees together into a forest with every attribute that one `fit` sets.

    The rows are an array with the names of the columns beside it, because the array of a DataFrame is read-only.

    A warm-started `fit` of a forest that has all its trees fits no tree. It only checks the data, and sets the
    classes, the weights and the out-of-bag scores.
    """
    fitted = clone(forest).set_params(warm_start=True)
    fitted.estimators_ = trees
    with _ignore_warm_start_warnings():
        fitted.fit(rows, target, sample_weight=weights)
    if names is not None:
        fitted.feature_names_in_ = np.asarray(names, dtype=object)
    return fitted.set_params(warm_start=False)


def can_slice(estimator: object) -> bool:
    """Whether an estimator is a forest that `fit` can divide: not warm-started, with a number as its seed."""
    return (
        type(estimator) in ForestModel.__constraints__
        and not estimator.warm_start  # type: ignore[attr-defined] # every forest has it
        and _has_seed(estimator)
    )


def _check_forest(forest: ForestModel, target: pd.Series) -> None:
    if not _has_seed(forest):
        raise ParameterError(
            f"A forest with random_state={forest.random_state!r} cannot be fitted in slices.",
            allowed="a number",
            next_step="Give a seed.",
        )
    if forest.warm_start or np.ndim(target) != 1:
        raise ParameterError(
            "A forest that is warm-started or has several outputs cannot be fitted in slices.",
            next_step="Turn warm_start off, and give one column as the target.",
        )


def _has_seed(forest: Any) -> bool:  # noqa: ANN401 - any of the forests
    return isinstance(forest.random_state, int | np.integer) and not isinstance(forest.random_state, bool)


@contextmanager
def _ignore_warm_start_warnings() -> Iterator[None]:
    """Ignore scikit-learn's warnings about warm starts: here all trees see the same rows, and no tree is missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "class_weight presets", UserWarning)
        warnings.filterwarnings("ignore", "Warm-start fitting without increasing", UserWarning)
        yield
