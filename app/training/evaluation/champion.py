"""The champion's predictions for the held-out rows, or why it cannot be compared with a new model.

`app.training.evaluation.promotion_gate` compares the two.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from mlflow.entities.model_registry import ModelVersion

from app.errors import first_line
from app.models.answers import Answers
from app.models.frames import to_rows
from app.models.predictor import Predictor, compile_model
from app.models.registry import Registry
from app.models.signature import TEXT_TYPES, Columns, infer_columns
from app.training.data.dataset import Rows
from app.training.evaluation.metrics import Metric
from app.training.evaluation.predictions import Predictions

COLUMNS_SHOWN: Final = 5
"""Maximum number of columns that a message lists."""

OTHER_NAME: Final = "If it is the model of another data set, register the new model under another name (--name)."
"""Way out if the champion answers another question than the new model."""


class NotComparableError(Exception):
    """The champion cannot be judged on the held-out rows.

    Args:
        fault: Why; it completes "the champion, ...".
        way_out: A sentence that says what to do, in addition to `--force`.
    """

    def __init__(self, fault: str, way_out: str) -> None:
        super().__init__(fault)
        self.fault = fault
        self.way_out = way_out


def predict_with_champion(
    champion: ModelVersion, rows: Rows, metric: Metric, registry: Registry, *, shows_values: bool
) -> Predictions:
    """Predict the held-out rows with the champion, as the service does.

    Args:
        champion: The version to load.
        rows: The held-out rows. The champion gets its own columns of them, in its own order.
        metric: The metric of the comparison.
        registry: Where the champion is stored.
        shows_values: Whether an error may hold the message of an estimator, which may name a value of a row.

    Raises:
        ModelRefusedError: This release cannot load the champion.
        RegistryUnavailableError: The champion cannot be downloaded.
        NotComparableError: The champion cannot predict these rows, or its predictions cannot be judged by the metric.
    """
    artifact = registry.fetch(champion)
    predictor = compile_model(artifact, label=f"{champion.name} version {champion.version}")
    check_task(predictor, rows, metric)
    features = _select_columns(rows.features, artifact.columns)
    try:
        answers = predictor.predict(to_rows(features, artifact.columns))
    except Exception as error:  # an estimator raises any type for rows that it cannot predict
        message = f": {first_line(error)}" if shows_values else ""
        raise NotComparableError(
            f"cannot predict these rows ({type(error).__name__}{message})",
            "It may not take missing values or text that these rows hold.",
        ) from error
    return as_predictions(answers, predictor.classes, rows, metric)


def as_predictions(answers: Answers, classes: Sequence[bool | str | int], rows: Rows, metric: Metric) -> Predictions:
    """Return the answers of a model as a metric judges them.

    Args:
        answers: The answers for the rows.
        classes: Class labels, in the order of the probabilities.
        rows: The rows.
        metric: The metric.

    Raises:
        NotComparableError: The model answers several values per row.
    """
    if answers.predictions.ndim != 1:
        raise NotComparableError(f"answers {answers.predictions.shape[1]} values per row", OTHER_NAME)
    if metric.task == "regression":
        return Predictions(answers=answers.predictions)
    # Labels of the same value but of another type, such as 1 and 1.0, are the same class.
    dtype = rows.target.to_numpy().dtype
    return Predictions(
        answers=answers.predictions.astype(dtype),
        probabilities=answers.probabilities,
        classes=None if answers.probabilities is None else np.array(classes, dtype=dtype),
    )


def check_task(predictor: Predictor, rows: Rows, metric: Metric) -> None:
    """Check that the champion answers the same question as the new model.

    Raises:
        NotComparableError: It predicts something else.
    """
    is_classifier = predictor.labels is not None
    if is_classifier and metric.task == "regression":
        raise NotComparableError("predicts classes, and the new model predicts a number", OTHER_NAME)
    if not is_classifier and metric.task == "classification":
        raise NotComparableError("predicts a number, and the new model predicts classes", OTHER_NAME)
    if predictor.labels is not None and set(predictor.labels.tolist()).isdisjoint(rows.target):
        raise NotComparableError("knows none of these rows' classes", OTHER_NAME)
    if metric.needs_probabilities and not predictor.gives_probabilities:
        raise NotComparableError(
            f"gives no probabilities, which {metric.name} needs",
            "Compare the answers: --metric balanced_accuracy.",
        )


def _select_columns(features: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Return the champion's columns, in its order. An optional column that the rows lack is without values.

    Raises:
        NotComparableError: A column is missing, or holds text or dates where the champion takes numbers.
    """
    missing = [column.name for column in columns if not column.is_optional and column.name not in features.columns]
    if missing:
        raise NotComparableError(f"takes columns that these rows do not have ({list_columns(missing)})", OTHER_NAME)
    selected = features.reindex(columns=columns.names)
    held = infer_columns(selected)
    text = [
        column.name
        for column, of_rows in zip(columns, held, strict=True)
        if of_rows.type in TEXT_TYPES and column.type not in TEXT_TYPES and selected[column.name].notna().any()
    ]
    if text:
        raise NotComparableError(
            f"takes numbers in columns where these rows hold something else ({list_columns(text)})", OTHER_NAME
        )
    return selected


def list_columns(names: Sequence[str]) -> str:
    """Write names of columns for a message, at most `COLUMNS_SHOWN`."""
    return ", ".join(map(repr, names[:COLUMNS_SHOWN])) + (", ..." if len(names) > COLUMNS_SHOWN else "")
