"""XGBoost models in XGBoost's own format, UBJ or JSON, as `mlflow.xgboost.log_model` stores them.

The format holds data only. XGBoost reads it with native code, so a child process reads each file first; see
`app.serving.loading.child`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator

from app.errors import ModelRefusedError
from app.models.formats import extras
from app.models.formats.stored_model import XGBOOST, Storage

MODEL_CLASS: Final = "model_class"
"""Key of MLflow's flavor, and of the details: the full name of the model's class."""

CLASSES: Final = {
    f"xgboost.sklearn.{name}": name
    for name in ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "XGBModel", "XGBRanker")
}
"""Classes of scikit-learn's interface that a file may name."""

BOOSTER: Final = "xgboost.core.Booster"
CLASSIFIERS: Final = ("binary:logistic", "multi:softprob", "multi:softmax")
"""Objectives of a booster that answers classes."""
REGRESSORS: Final = ("reg:", "count:", "survival:")
"""Start of the objectives of a booster that answers numbers."""


def file_name(flavor: Mapping[str, Any]) -> tuple[str, Storage]:
    """Return the name of the model's file and its storage, from MLflow's flavor `xgboost`."""
    return str(flavor["data"]), Storage(format=XGBOOST, details={MODEL_CLASS: str(flavor.get(MODEL_CLASS, BOOSTER))})


def load(path: Path, details: Mapping[str, str], label: str) -> BaseEstimator:
    """Read a model. A booster without a class of scikit-learn's interface becomes a classifier or a regressor.

    Args:
        path: The file.
        details: See `file_name`.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: XGBoost is not installed here, the file is damaged, or its objective is not supported.
    """
    xgboost = extras.require("xgboost", label=label)
    content = bytearray(path.read_bytes())
    model_class = details[MODEL_CLASS]
    name = CLASSES.get(model_class)
    if name is None and model_class != BOOSTER:
        raise ModelRefusedError(
            f"{label} is a {model_class}.",
            allowed=", ".join([*CLASSES, BOOSTER]),
            next_step="Log a model of one of these classes.",
        )
    if name is None:
        booster = xgboost.Booster(model_file=content)
        name = _interface(json.loads(booster.save_config())["learner"]["objective"]["name"], label)
    model: BaseEstimator = getattr(xgboost, name)()
    model.load_model(content)
    return model


def log(model: Any, **options: Any) -> str:  # noqa: ANN401 - an XGBModel or a Booster, and MLflow's options
    """Log a model of scikit-learn's interface of XGBoost in the active run, and return its URI.

    Args:
        model: The model.
        options: Options of `mlflow.xgboost.log_model`.
    """
    import mlflow.xgboost  # noqa: PLC0415 - needs the optional package

    return str(mlflow.xgboost.log_model(model, model_format="ubj", **options).model_uri)


def can_store(model: object) -> bool:
    """Whether XGBoost's format keeps everything of a model that a prediction needs.

    The format does not store `missing` and objectives that are functions.
    """
    if f"{type(model).__module__}.{type(model).__name__}" not in CLASSES:
        return False
    parameters: dict[str, Any] = model.get_params()  # type: ignore[attr-defined] # an XGBModel
    return bool(np.isnan(parameters["missing"])) and not callable(parameters["objective"])


def _interface(objective: str, label: str) -> str:
    if objective in CLASSIFIERS:
        return "XGBClassifier"
    if objective.startswith(REGRESSORS):
        return "XGBRegressor"
    raise ModelRefusedError(
        f"{label} is a booster with the objective {objective}.",
        allowed=f"{', '.join(CLASSIFIERS)}, or an objective that starts with {', '.join(REGRESSORS)}",
        next_step="Train with one of these objectives, or log an XGBClassifier or XGBRegressor.",
    )
