"""Rows and predictors for the tests of compiled boosting, on data sets that scikit-learn ships."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from mlflow.types import DataType
from sklearn.base import BaseEstimator
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

from app.models.artifact import Artifact
from app.models.predictor import Predictor, compile_model
from app.models.signature import Column, Columns

Data = tuple[np.ndarray, np.ndarray]

CANCER: Final[Data] = load_breast_cancer(return_X_y=True)
DIABETES: Final[Data] = load_diabetes(return_X_y=True)
DIGITS: Final[Data] = tuple(part[:300] for part in load_digits(return_X_y=True))
WINE: Final[Data] = load_wine(return_X_y=True)


def with_gaps(rows: np.ndarray) -> np.ndarray:
    """Take a tenth of the values away."""
    return np.where(np.random.default_rng(2).random(rows.shape) < 0.1, np.nan, rows)


def hard_rows(rows: np.ndarray, *, seed: int) -> np.ndarray:
    """Mix the values of each column, and move those of the last column by one bit."""
    random = np.random.default_rng(seed)
    mixed = random.permuted(np.concatenate([rows, rows]), axis=0)
    mixed[:, -1] = np.nextafter(mixed[:, -1], random.choice([-np.inf, np.inf], len(mixed)))
    return mixed


def compiled(model: BaseEstimator, rows: np.ndarray, types: Mapping[int, DataType] = {}) -> Predictor:
    """Compile a model as the gate does, with the first rows as its example."""
    example = pd.DataFrame(rows[:5]).rename(columns=str)
    return compile_model(
        Artifact(
            model=model,
            columns=Columns(
                Column(name=name, type=types.get(index, DataType.double)) for index, name in enumerate(example.columns)
            ),
            example=example,
            example_predictions=None,
            example_probabilities=None,
            example_labels=[],
        ),
        label="m",
    )


def assert_equal(predictor: Predictor, model: BaseEstimator, rows: np.ndarray) -> None:
    """Check that a compiled model answers as its library in every bit."""
    answers = predictor.predict(rows)
    assert answers.predictions.tolist() == model.predict(rows).tolist()
    if hasattr(model, "predict_proba"):
        assert answers.probabilities is not None
        assert answers.probabilities.tolist() == model.predict_proba(rows).tolist()
