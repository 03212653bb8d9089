"""A forest fitted in slices over a Ray cluster, bit for bit the one that a single `fit` of scikit-learn gives.

scikit-learn draws one seed a tree, in the order of the trees, and a warm start skips the seeds of the trees that are
there. So a worker that is told of `first` trees fits the ones behind them as if it had fitted those, too. Which
cluster it is, and when it has CPUs, is decided in `app.training.ray_cluster`.
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
from app.training.ray_cluster import Cluster

Forest = TypeVar("Forest", RandomForestClassifier, RandomForestRegressor, ExtraTreesClassifier, ExtraTreesRegressor)

RETRIES: Final = 5
"""How often a slice is fitted again after its worker was lost, before the fit gives up."""

SPLIT: Final = 2
"""A slice is what is left, by this and by the lanes: large slices first, single trees last, so that no lane waits long
for another's last one."""


def fit(
    forest: Forest,
    features: pd.DataFrame,
    target: pd.Series,
    *,
    cluster: Cluster,
    on_trees: Callable[[int], None] = lambda _: None,
) -> Forest:
    """Fit a forest over the cluster that this process is connected to.

    The rows are put into the object store once, as float32; workers on a node share that one copy. A slice whose
    worker is lost is fitted again.

    Args:
        forest: Its parameters; it is not changed. `random_state` is a number, and `warm_start` is off.
        features: Shape (rows, columns), numbers that are finite in float32.
        target: Shape (rows,), labels or, for a regressor, numbers.
        cluster: What may run side by side.
        on_trees: Told the number of trees fitted so far, as slices come in.

    Returns:
        A fitted copy, equal to `clone(forest).fit(features, target)` in every tree and attribute.

    Raises:
        ParameterError: The forest has no fixed seed, or is to be warm-started.
        PlatformError: A slice was lost with its worker too often.
        ValueError: scikit-learn refuses the parameters.
    """
    _check(forest, target)
    rows = np.ascontiguousarray(features, dtype=np.float32)
    template, labels = encoded(forest, target)
    shared = ray.put(rows)
    rows = ray.get(shared)  # a view of the shared copy; the one made above is freed
    references = (ray.put(template), shared, ray.put(labels))
    remote = ray.remote(num_cpus=cluster.share, max_retries=RETRIES)(fit_slice)
    pending = {
        remote.remote(*references, first, count): (first, count)
        for first, count in slices(forest.n_estimators, cluster.lanes)
    }
    fitted: dict[int, list[BaseDecisionTree]] = {}
    try:
        while pending:
            done, _ = ray.wait(list(pending))
            for reference in done:
                first, _count = pending.pop(reference)
                fitted[first] = ray.get(reference)
            on_trees(sum(map(len, fitted.values())))
    except (NodeDiedError, OutOfMemoryError, WorkerCrashedError) as error:
        raise PlatformError(
            f"A worker was lost {RETRIES + 1} times while it fitted the same trees: {str(error).splitlines()[0]}",
            next_step="Give the workers more memory, or take fewer rows or --max-depth.",
        ) from error
    except RayTaskError as error:
        raise error.as_instanceof_cause() from error  # type: ignore[no-untyped-call]
    finally:
        for reference in pending:
            ray.cancel(reference, force=True)
    trees = [tree for first in sorted(fitted) for tree in fitted[first]]
    return assembled(forest, trees, pd.DataFrame(rows, columns=features.columns, copy=False), target)


def slices(trees: int, lanes: int) -> Iterator[tuple[int, int]]:
    """Cut trees into slices for lanes that run side by side.

    Yields:
        The number of trees before a slice, and the number in it.
    """
    first = 0
    while first < trees:
        count = max(1, (trees - first) // (SPLIT * lanes))
        yield first, count
        first += count


def encoded(forest: Forest, target: pd.Series) -> tuple[Forest, np.ndarray]:
    """The forest and its target as workers take them: labels as their positions among the sorted classes.

    Numbers lie in shared memory; labels of text would be copied into every worker. Trees hold positions anyway.
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
    template: Any,  # noqa: ANN401 - one of the four forests
    rows: np.ndarray,
    labels: np.ndarray,
    first: int,
    count: int,
) -> list[BaseDecisionTree]:
    """Fit `count` trees of a forest as if the `first` ones before them had been fitted, too.

    Args:
        template: The forest's parameters, from `encoded`.
        rows: Shape (rows, columns), float32, may be read-only.
        labels: Shape (rows,), from `encoded`.
        first: Trees before the slice.
        count: Trees in it.
    """
    part = clone(template).set_params(n_estimators=first + count, warm_start=True, oob_score=False, n_jobs=1)
    part.estimators_ = [None] * first
    with _expected_warnings():
        part.fit(rows, labels)
    trees: list[BaseDecisionTree] = part.estimators_[first:]
    return trees


def assembled(forest: Forest, trees: list[BaseDecisionTree], features: pd.DataFrame, target: pd.Series) -> Forest:
    """The forest that holds these trees, with every attribute that its own `fit` gives it.

    With all trees there, a warm-started `fit` fits none: it only checks the data, and sets the classes, the weights
    and the out-of-bag scores.
    """
    whole = clone(forest).set_params(warm_start=True)
    whole.estimators_ = trees
    with _expected_warnings():
        whole.fit(features, target)
    return whole.set_params(warm_start=False)


def _check(forest: Forest, target: pd.Series) -> None:
    if isinstance(forest.random_state, bool) or not isinstance(forest.random_state, int | np.integer):
        raise ParameterError(
            f"A forest with random_state={forest.random_state!r} cannot be fitted in slices.",
            allowed="a number",
            next_step="Give a seed.",
        )
    if forest.warm_start or np.ndim(target) != 1:
        raise ParameterError(
            "A forest is fitted in slices from its first tree on, for one output.",
            next_step="Turn warm_start off, and give one column as the target.",
        )


@contextmanager
def _expected_warnings() -> Iterator[None]:
    """Leave out what scikit-learn says of warm starts: here all trees see the same rows, and no tree is missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "class_weight presets", UserWarning)
        warnings.filterwarnings("ignore", "Warm-start fitting without increasing", UserWarning)
        yield
