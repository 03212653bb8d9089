"""What a model predicts for some rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier

from app.models.frames import to_frame, to_rows
from app.models.signature import infer_columns


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions of a model for some rows."""

    answers: np.ndarray
    """Shape (rows,): what `predict` returns, which is what the service answers. Shape (rows, outputs) for a model with
    several outputs, which no metric can judge."""
    probabilities: np.ndarray | None = None
    """Shape (rows, classes), float64; None if the model gives no probabilities."""
    classes: np.ndarray | None = None
    """Shape (classes,): the labels, in the order of the probabilities; None without probabilities."""


def predict(model: BaseEstimator, features: pd.DataFrame | np.ndarray) -> Predictions:
    """Predict rows with a fitted estimator of scikit-learn, as the service does.

    The model gets the rows as the service receives them; see `as_served`. The answers are those of `predict`, which
    need not be the class with the largest probability: a tuned threshold, for example, moves them. Any error of the
    estimator is raised as it is.

    Args:
        model: A fitted classifier or regressor, or a pipeline that ends in one.
        features: Shape (rows, columns): the columns that the model was fitted on.

    Raises:
        ModelRefusedError: A column has a type that no request can send.
    """
    features = as_served(features) if isinstance(features, pd.DataFrame) else features
    answers = np.asarray(model.predict(features))
    if answers.ndim == 2 and answers.shape[1] == 1:  # noqa: PLR2004 - rows and outputs
        answers = answers[:, 0]
    if not is_classifier(model) or not gives_probabilities(model) or answers.ndim > 1:
        return Predictions(answers=answers)
    probabilities = np.asarray(model.predict_proba(features), dtype=np.float64)
    return Predictions(answers=answers, probabilities=probabilities, classes=np.asarray(model.classes_))


def as_served(features: pd.DataFrame) -> pd.DataFrame:
    """Return rows as a request brings them to the model: categories as text, and no extension types.

    Args:
        features: Shape (rows, columns).

    Raises:
        ModelRefusedError: A column has a type that no request can send.
    """
    columns = infer_columns(features)
    return to_frame(to_rows(features, columns), columns)


def gives_probabilities(model: BaseEstimator) -> bool:
    """Whether an estimator, fitted or not, has `predict_proba`."""
    return hasattr(model, "predict_proba")
