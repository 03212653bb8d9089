"""Decides which models are converted to flat arrays."""

from typing import Any

import numpy as np
from mlflow.types import DataType
from sklearn.pipeline import Pipeline

from app.models.estimator import Estimator
from app.models.trees.flat_model import FlatModel
from app.models.trees.flat_trees import NARROW, PLAIN
from app.models.trees.forests import FORESTS, STAGES, flatten_forest, flatten_stages
from app.models.trees.histogram_boosting import HISTOGRAMS, flatten_histograms


def flatten_model(estimator: Estimator) -> FlatModel | None:
    """Convert a model of trees to arrays; return None for any other model, and where only its library can evaluate it.

    Args:
        estimator: An estimator whose indices were checked.
    """
    model = _last_step(estimator.model)
    if estimator.columns.hold_text:
        return None
    flat = None
    if type(model) in FORESTS:
        flat = flatten_forest(model)
    elif type(model) in STAGES:
        flat = flatten_stages(model)
    elif type(model) in HISTOGRAMS:
        flat = flatten_histograms(model, _kinds(estimator))
    return flat if flat is not None and flat.trees.width == len(estimator.columns) else None


def _last_step(model: Any) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Return the last step of a pipeline whose other steps do nothing; otherwise the model itself."""
    if type(model) is Pipeline and all(step in {None, "passthrough"} for _, step in model.steps[:-1]):
        return model.steps[-1][1]
    return model


def _kinds(estimator: Estimator) -> np.ndarray:
    """Return the kind of each column for a model that compares float64 numbers.

    A data frame rounds a column of type `float` before the model sees it.
    """
    is_rounded = [estimator.needs_column_names and column.type is DataType.float for column in estimator.columns]
    return np.where(is_rounded, NARROW, PLAIN)
