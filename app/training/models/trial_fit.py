"""The check before a fit: the model is fitted on a few rows, must predict them, and must be storable for serving."""

import warnings
from typing import Final

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier

from app.errors import ModelRefusedError
from app.models.formats.storable import check_storable
from app.training.data.dataset import Rows
from app.training.evaluation.predictions import as_served
from app.training.models import column_faults
from app.training.models.code_errors import ModelCodeError, summarize
from app.training.models.definition import ModelDefinition
from app.training.models.parameters import ParameterValues

SAMPLE_ROWS: Final = 50
"""Rows of the first try. Every class has at least `ROWS_PER_CLASS` of them."""

ROWS_PER_CLASS: Final = 10
"""Rows of each class, so that a cross-validation inside the model has enough."""

SECOND_SAMPLE_ROWS: Final = 5_000
"""Maximum number of rows of the second try, for models that need more rows, such as one of 100 neighbours."""

GAPS_PER_COLUMN: Final = 3
"""Rows with and without a value that are added for a column with missing values."""


def check(definition: ModelDefinition, rows: Rows, values: ParameterValues, *, seed: int) -> BaseEstimator:
    """Fit a model on a few rows, and check that it predicts and that it can be stored for serving.

    Args:
        definition: The model.
        rows: All rows.
        values: A value for every parameter.
        seed: Seed of the run.

    Returns:
        The model of the few rows, which says what the model predicts and whether it gives probabilities.

    Raises:
        ModelCodeError: The model cannot be fitted, does not predict one answer per row, or cannot be stored.
        ParameterError: The rows have weights, and the model takes none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows make many models warn
        try:
            model = _fit(definition, rows.take(_sample_positions(rows, SAMPLE_ROWS)), values, seed=seed)
        except ModelCodeError:
            sample = rows.take(_sample_positions(rows, SECOND_SAMPLE_ROWS))
            try:
                model = _fit(definition, sample, values, seed=seed)
            except ModelCodeError as error:
                raise _with_advice(error, sample.features) from error.__cause__
    try:
        check_storable(model, owner=definition.label)
    except ModelRefusedError as error:
        raise ModelCodeError(error.detail, allowed=error.allowed, next_step=error.next_step) from error
    return model


def _fit(definition: ModelDefinition, sample: Rows, values: ParameterValues, *, seed: int) -> BaseEstimator:
    model = definition.fit(sample, values, seed=seed, is_trial=True)
    _check_answers(model, sample.features, owner=definition.label)
    _check_served_answers(model, sample.features, owner=definition.label)
    return model


def _with_advice(error: ModelCodeError, features: pd.DataFrame) -> ModelCodeError:
    """Add the columns that the model may not take to the error of a fit."""
    cause = error.__cause__
    advice = column_faults.describe(cause, features) if cause is not None else None
    if advice is None:
        return error
    return ModelCodeError(f"{error.detail} {advice.columns}", allowed=error.allowed, next_step=advice.next_step)


def _check_answers(model: BaseEstimator, features: pd.DataFrame, *, owner: str) -> None:
    """Check that a model gives one answer, and one probability per class, for each row."""
    try:
        answers = np.asarray(model.predict(features))
        probabilities = np.asarray(model.predict_proba(features)) if hasattr(model, "predict_proba") else None
    except Exception as error:
        raise ModelCodeError(
            f"The model of {owner} cannot predict the rows that it was fitted on: {summarize(error)}.",
            next_step="Correct predict, or use an estimator of scikit-learn.",
        ) from error
    expected = (len(features),)
    if answers.shape != expected:
        raise ModelCodeError(
            f"The model of {owner} answers {len(features)} rows with an array of shape {answers.shape}.",
            allowed=f"one answer per row: shape {expected}",
            next_step="Correct predict, and fit the model to one target.",
        )
    if probabilities is None or not is_classifier(model):
        return
    classes = getattr(model, "classes_", None)
    if classes is None or probabilities.shape != (len(features), len(classes)):
        raise ModelCodeError(
            f"The model of {owner} gives probabilities of shape {probabilities.shape} for {len(features)} rows and "
            f"{'no attribute classes_' if classes is None else f'{len(classes)} classes'}.",
            allowed="one column per class of classes_",
            next_step="Correct predict_proba and classes_, or use an estimator of scikit-learn.",
        )


def _check_served_answers(model: BaseEstimator, features: pd.DataFrame, *, owner: str) -> None:
    """Check that a model answers the same for rows as the service receives them."""
    try:
        rows = as_served(features)
    except ModelRefusedError as error:
        raise ModelCodeError(error.detail, allowed=error.allowed, next_step=error.next_step) from error
    changed = [
        f"{name} ({features[name].dtype}, in a request {rows[name].dtype})"
        for name in features.columns
        if features[name].dtype != rows[name].dtype
    ]
    try:
        fault = "" if np.array_equal(model.predict(rows), model.predict(features)) else "It answers something else."
    except Exception as error:  # noqa: BLE001 - an estimator raises any type for rows that it cannot predict
        fault = summarize(error)
    if fault:
        raise ModelCodeError(
            f"The model of {owner} cannot predict rows as the service receives them: {fault} Columns of another type: "
            f"{', '.join(changed) or 'none'}.",
            next_step="Convert these columns before the data reaches training: categories to text, and true, false or "
            "whole numbers with gaps to floating-point numbers.",
        )


def _sample_positions(rows: Rows, count: int) -> np.ndarray:
    """Choose rows of every class or from all over the table, and rows with gaps in the columns that have any.

    Returns:
        Positions in their order.
    """
    target = rows.target.reset_index(drop=True)
    class_count = target.nunique()
    if class_count <= count:
        per_class = max(ROWS_PER_CLASS, count // class_count)
        positions = [np.flatnonzero(target.groupby(target, observed=True).cumcount() < per_class)]
    else:
        positions = [np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]
    for name in rows.features.columns[rows.features.isna().any()][:count]:
        is_missing = rows.features[name].isna().to_numpy()
        positions += [np.flatnonzero(mask)[:GAPS_PER_COLUMN] for mask in (is_missing, ~is_missing)]
    return np.unique(np.concatenate(positions))
