"""LightGBM boosters in LightGBM's text format, as `mlflow.lightgbm.log_model` stores them.

MLflow stores `LGBMClassifier` and `LGBMRegressor` with skops; see `app.models.formats.boosters`. The text holds data
only. LightGBM reads it with native code, so a child process reads each file first; see `app.serving.loading.child`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from app.errors import ModelRefusedError
from app.models.formats import extras, lightgbm_trees
from app.models.formats.stored_model import LIGHTGBM, SKOPS, Storage

BOOSTER: Final = "lightgbm.basic.Booster"

CLASSIFIERS: Final = ("binary", "multiclass", "multiclassova")
"""Objectives of a booster that answers classes. Every other objective, and a booster without one, answers numbers."""


def file_name(flavor: Mapping[str, Any]) -> tuple[str, Storage]:
    """Return the name of the model's file and its storage, from MLflow's flavor `lightgbm`."""
    storage = Storage(format=LIGHTGBM) if flavor.get("model_class", BOOSTER) == BOOSTER else Storage(format=SKOPS)
    return str(flavor["data"]), storage


def load(path: Path, _: Mapping[str, str], label: str) -> BaseEstimator:
    """Read a booster, as a classifier whose classes are 0, 1, 2, … or as a regressor.

    Args:
        path: The file.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: LightGBM is not installed here, or an index is outside its array.
        ValueError: The file is damaged.
    """
    lightgbm = extras.require("lightgbm", label=label)
    text = path.read_text()
    if not lightgbm_trees.is_sound(text):
        raise ModelRefusedError(
            f"{label} is damaged: a tree has an index outside its arrays.", next_step="Load another version."
        )
    objective = (lightgbm_trees.parse(text).header.get("objective", "").split() or [""])[0]
    booster = lightgbm.Booster(model_str=text)
    return BoosterClassifier(booster) if objective in CLASSIFIERS else BoosterRegressor(booster)


class _BoosterModel(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """A booster with scikit-learn's interface.

    Args:
        booster: A `lightgbm.Booster`.
    """

    def __init__(self, booster: Any) -> None:  # noqa: ANN401 - the package is optional
        self.booster = booster

    @property
    def booster_(self) -> Any:  # noqa: ANN401 - the package is optional
        """The booster, under the name that LightGBM's own estimators give it."""
        return self.booster

    @property
    def n_features_in_(self) -> int:
        """Number of columns."""
        return int(self.booster.num_feature())

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def _raw_answers(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a matrix or a data frame
        return np.asarray(self.booster.predict(rows, num_threads=1))


class BoosterClassifier(ClassifierMixin, _BoosterModel):  # type: ignore[misc] # scikit-learn has no types
    """A booster that gives the probabilities of classes."""

    @property
    def classes_(self) -> np.ndarray:
        """The classes: the numbers with which LightGBM was trained."""
        outputs = int(self.booster.num_model_per_iteration())
        return np.arange(max(outputs, 2))

    def predict_proba(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a matrix or a data frame
        """Return the probabilities, of shape (rows, classes)."""
        answers = self._raw_answers(rows)
        return answers if answers.ndim > 1 else np.column_stack([1 - answers, answers])

    def predict(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a matrix or a data frame
        """Return the most probable class of each row."""
        best: np.ndarray = self.classes_[self.predict_proba(rows).argmax(axis=1)]
        return best


class BoosterRegressor(RegressorMixin, _BoosterModel):  # type: ignore[misc] # scikit-learn has no types
    """A booster that gives numbers."""

    def predict(self, rows: Any) -> np.ndarray:  # noqa: ANN401 - a matrix or a data frame
        """Return one number for each row."""
        return self._raw_answers(rows)
