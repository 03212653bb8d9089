"""Models in folders, as stock MLflow stores them, on data sets that scikit-learn ships."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
from mlflow.models import infer_signature
from sklearn.datasets import load_diabetes, load_iris, load_wine

EXAMPLE_ROWS: Final = 4


def wine() -> tuple[pd.DataFrame, pd.Series]:
    """Three classes, 13 columns."""
    rows, labels = load_wine(return_X_y=True, as_frame=True)
    return rows, labels


def iris() -> tuple[pd.DataFrame, pd.Series]:
    """Three classes, four columns whose names hold blanks."""
    rows, labels = load_iris(return_X_y=True, as_frame=True)
    return rows, labels


def diabetes() -> tuple[pd.DataFrame, pd.Series]:
    """A number to predict, ten columns."""
    rows, target = load_diabetes(return_X_y=True, as_frame=True)
    return rows, target


def save(save_model: Callable[..., None], model: object, rows: pd.DataFrame, folder: Path, **options: Any) -> Path:  # noqa: ANN401 - MLflow's options
    """Store a model with one of MLflow's functions, with a signature and an input example."""
    example = rows.head(EXAMPLE_ROWS)
    path = folder / "model"
    save_model(
        model,
        str(path),
        signature=infer_signature(example),
        input_example=example,
        pip_requirements=["mlflow"],
        **options,
    )
    return path
