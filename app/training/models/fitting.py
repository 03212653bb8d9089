"""The fit of an estimator: with the weights of the rows, and with forests in slices on the cluster.

`app.training.distributed_forest` fits the slices.
"""

import inspect
import logging
import time
from collections.abc import Callable
from typing import Final

import pandas as pd
import scipy.sparse
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline

from app.errors import ParameterError
from app.training import distributed_forest
from app.training.data.dataset import Rows
from app.training.ray_cluster import RayWorkers

log = logging.getLogger("manta.train")

LOCAL_FIT_LIMIT: Final = 2_000_000
"""Largest product of rows and trees for a fit in this process. A larger forest is worth the seconds in which new Ray
workers import scikit-learn."""

PROGRESS_INTERVAL_S: Final = 2.0
"""Shortest interval between two log lines of progress."""


def fit(
    estimator: BaseEstimator, rows: Rows, *, workers: RayWorkers | None = None, n_jobs: int | None = None
) -> BaseEstimator:
    """Fit a copy of an estimator.

    A forest, alone or as the last step of a pipeline, is fitted in slices on the cluster if it is large. The result is
    the same, bit for bit.

    Args:
        estimator: An unfitted estimator. Forests have a seed.
        rows: The rows, with their weights if they have any.
        workers: The CPUs of the cluster; None fits in this process.
        n_jobs: Number of processes or threads for a forest that is fitted in this process.

    Raises:
        ParameterError: The rows have weights, and the estimator takes none.
    """
    fitted, forest = clone(estimator), last_step(estimator)
    parameters = weight_parameters(estimator, rows.weights)
    if workers is not None and needs_cluster(estimator, row_count=len(rows)):
        return _fit_in_slices(fitted, rows, workers)
    if not distributed_forest.can_slice(forest):
        return fitted.fit(rows.features, rows.target, **parameters)
    last_step(fitted).set_params(n_jobs=n_jobs)
    fitted.fit(rows.features, rows.target, **parameters)
    last_step(fitted).set_params(n_jobs=forest.n_jobs)
    return fitted


def needs_cluster(estimator: BaseEstimator, *, row_count: int) -> bool:
    """Whether an estimator is a large forest, or a pipeline that ends in one."""
    forest = last_step(estimator)
    return distributed_forest.can_slice(forest) and row_count * forest.n_estimators > LOCAL_FIT_LIMIT


def last_step(estimator: BaseEstimator) -> BaseEstimator:
    """Return the last step of a pipeline that can be fitted step by step, or the estimator itself."""
    if type(estimator) is Pipeline and estimator.memory is None and estimator.transform_input is None:
        return estimator.steps[-1][1]
    return estimator


def weight_parameters(estimator: BaseEstimator, weights: pd.Series | None) -> dict[str, pd.Series]:
    """Return the parameter of `fit` that passes the weights of the rows to an estimator.

    Raises:
        ParameterError: There are weights, and the estimator takes none.
    """
    if weights is None:
        return {}
    names = []
    while isinstance(estimator, Pipeline):
        name, estimator = estimator.steps[-1]
        names.append(name)
    parameters = inspect.signature(estimator.fit).parameters.values()
    if not any(entry.name == "sample_weight" or entry.kind == inspect.Parameter.VAR_KEYWORD for entry in parameters):
        raise ParameterError(
            f"--weight was given, and {type(estimator).__name__} takes no weights.",
            allowed="an estimator whose fit takes sample_weight",
            next_step="Drop --weight, use another estimator, or write a function fit(features, target, sample_weight).",
        )
    return {"__".join([*names, "sample_weight"]): weights}


def _fit_in_slices(estimator: BaseEstimator, rows: Rows, workers: RayWorkers) -> BaseEstimator:
    """Fit a forest, or the steps before it and then the forest on the transformed rows."""
    forest, features = last_step(estimator), rows.features
    is_pipeline = forest is not estimator
    if is_pipeline and len(estimator.steps) > 1:
        features = estimator[:-1].fit_transform(features, rows.target)
    weights = None if rows.weights is None else rows.weights.to_numpy()
    if scipy.sparse.issparse(features):
        n_jobs = forest.n_jobs
        fitted = forest.set_params(n_jobs=-1).fit(features, rows.target, weights).set_params(n_jobs=n_jobs)
    else:
        fitted = distributed_forest.fit(
            forest,
            features,
            rows.target,
            workers=workers,
            weights=weights,
            on_progress=_progress_log(forest.n_estimators),
        )
    if not is_pipeline:
        return fitted
    estimator.steps[-1] = (estimator.steps[-1][0], fitted)
    return estimator


def _progress_log(tree_count: int) -> Callable[[int], None]:
    """Create a function that logs the number of fitted trees from time to time."""
    last_log_s = time.monotonic()

    def log_progress(fitted_trees: int) -> None:
        nonlocal last_log_s
        if time.monotonic() - last_log_s >= PROGRESS_INTERVAL_S:
            last_log_s = time.monotonic()
            log.info("%d of %d trees", fitted_trees, tree_count)

    return log_progress
