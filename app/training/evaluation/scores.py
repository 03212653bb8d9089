"""The score of a model by one metric, also for a thousand different row weights.

`app.training.evaluation.metrics` names the metrics. scikit-learn's functions sort and check the rows at every call,
which is too slow for a thousand resamples of a million rows.
"""

import numpy as np

from app.errors import DataError, ParameterError
from app.training.evaluation.classification_scores import Score, prepare_label_score, prepare_probability_score
from app.training.evaluation.metrics import Metric, check_metric
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.regression_scores import prepare_regression_score, row_losses


def score(metric: str, predicted: Predictions, target: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Compute a metric.

    Args:
        metric: Name of the metric; see `app.training.evaluation.metrics`.
        predicted: Predictions for the rows.
        target: Shape (rows,), the true labels or numbers.
        weights: Shape (rows,), positive; None if all rows count the same.

    Raises:
        ParameterError: The metric cannot judge these predictions; see `weighted_metric`.
        DataError: The metric is not defined for this target.
    """
    return weighted_metric(metric, predicted, target)(np.ones(len(target)) if weights is None else weights)


def weighted_metric(name: str, predicted: Predictions, target: np.ndarray) -> Score:
    """Prepare a metric that can be computed many times with different row weights.

    Args:
        name: Name of the metric.
        predicted: Predictions for the rows. An answer that is none of the target's classes counts as wrong.
        target: Shape (rows,), the true labels or numbers.

    Returns:
        A function from row weights, shape (rows,), to the metric. It leaves out a class whose rows have no weight. The
        ROC AUC is NaN if only one class has a weight.

    Raises:
        ParameterError: There is no such metric, the predictions lack what the metric needs, or they hold several
            outputs or numbers that are not finite.
        DataError: The metric is not defined for this target.
    """
    metric = check_metric(name, gives_probabilities=predicted.probabilities is not None)
    if predicted.answers.ndim != 1:
        raise ParameterError(
            f"The model answers {predicted.answers.shape[1]} values per row, and there is one target column.",
            allowed="models with one output",
            next_step="Fit one model for each output.",
        )
    check_target(name, target)
    if metric.task == "regression":
        return _prepare_regression(metric, predicted.answers, target)
    if metric.needs_probabilities:
        return prepare_probability_score(name, predicted, target)
    return prepare_label_score(name, predicted.answers, target)


def check_target(name: str, target: np.ndarray) -> None:
    """Check that a metric is defined for the target of the rows that it is computed on.

    Raises:
        DataError: The target is not numeric or is constant, and the metric needs different numbers; or it has one class
            only, and the metric needs two.
    """
    metric = check_metric(name)
    if metric.task == "regression" and target.dtype.kind not in "fiub":
        raise DataError(
            f"The target is not a column of numbers, which the metric {name!r} needs.",
            allowed="integers and floating-point numbers",
            next_step="Give the column with the numbers (--target), or a classifier.",
        )
    if name in {"roc_auc", "r2"} and (len(target) == 0 or (target == target[0]).all()):
        raise DataError(
            f"All rows that the metric {name!r} is computed on have the same target, {target[:1].tolist()}.",
            allowed="at least two different values of the target",
            next_step="Add rows, or use another metric, --test-size or --seed.",
        )


def _prepare_regression(metric: Metric, answers: np.ndarray, target: np.ndarray) -> Score:
    if answers.dtype.kind not in "fiub":
        raise ParameterError(
            "The model does not answer numbers.", allowed=f"regressors, with the metric {metric.name!r}"
        )
    answers, target = answers.astype(np.float64), target.astype(np.float64)
    is_finite = np.isfinite(row_losses(metric, answers, target))
    if not is_finite.all():
        example = answers[~is_finite][0]
        raise ParameterError(
            f"The model answers numbers that are too large or not numbers, such as {example:g}, for "
            f"{np.count_nonzero(~is_finite)} of {len(target)} rows.",
            allowed="finite numbers whose squared error is a float64",
            next_step="Scale the columns and the target, or limit the model's answers.",
        )
    return prepare_regression_score(metric, answers, target)
