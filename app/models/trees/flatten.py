"""Decides which models are converted to flat arrays."""

from typing import Any, Final

import numpy as np
from mlflow.types import DataType
from sklearn.pipeline import Pipeline

from app.models.estimator import Estimator
from app.models.formats import lightgbm_trees, xgboost_trees
from app.models.formats.lightgbm_format import BoosterClassifier, BoosterRegressor
from app.models.trees.flat_model import FlatModel
from app.models.trees.flat_trees import NARROW, PLAIN
from app.models.trees.forests import FORESTS, STAGES, flatten_forest, flatten_stages
from app.models.trees.histogram_boosting import HISTOGRAMS, flatten_histograms
from app.models.trees.lightgbm_dump import flatten_lightgbm
from app.models.trees.xgboost_dump import flatten_xgboost

XGBOOST: Final = frozenset({"XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor"})
LIGHTGBM: Final = frozenset({"LGBMClassifier", "LGBMRegressor"})


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
    elif _is_of(model, "xgboost", XGBOOST) and np.isnan(model.missing):
        document = xgboost_trees.document(model.get_booster())
        flat = flatten_xgboost(document, rounds=model._get_iteration_range(None)[1])  # noqa: SLF001 - no public name
    elif _is_of(model, "lightgbm", LIGHTGBM) or type(model) in {BoosterClassifier, BoosterRegressor}:
        text = model.booster_.model_to_string()
        flat = flatten_lightgbm(lightgbm_trees.parse(text), _kinds(estimator))
    return flat if flat is not None and flat.trees.width == len(estimator.columns) else None


def _is_of(model: object, package: str, names: frozenset[str]) -> bool:
    """Whether a model is of a class of an optional package, but not of a subclass."""
    return type(model).__module__.partition(".")[0] == package and type(model).__name__ in names


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
