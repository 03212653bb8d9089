"""Metrics of a regressor, prepared to be computed many times with different row weights.

`app.training.evaluation.scores` chooses the function.
"""

import numpy as np

from app.training.evaluation.classification_scores import Score
from app.training.evaluation.metrics import Metric


def prepare_regression_score(metric: Metric, answers: np.ndarray, target: np.ndarray) -> Score:
    """Prepare a metric of a regressor.

    Args:
        metric: A metric for regression.
        answers: Shape (rows,), finite float64.
        target: Shape (rows,), finite float64.
    """
    loss = row_losses(metric, answers, target)
    if metric.name == "rmse":
        return lambda weights: float(np.sqrt(np.average(loss, weights=weights)))
    if metric.name == "r2":
        return lambda weights: _r2(loss, target, weights)
    return lambda weights: float(np.average(loss, weights=weights))


def row_losses(metric: Metric, answers: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the loss of each row, shape (rows,); `inf` or NaN if it is too large for a float64.

    The pinball loss at the level q is q times the error where the answer is too low, and 1 - q times where it is too
    high. Its mean is lowest for the q-quantile of the target.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        error = target - answers
        if metric.name in {"rmse", "r2"}:
            losses: np.ndarray = error**2
        elif metric.name == "mae":
            losses = np.abs(error)
        else:
            losses = np.maximum(metric.level * error, (metric.level - 1) * error)
    return losses


def _r2(squared_errors: np.ndarray, target: np.ndarray, weights: np.ndarray) -> float:
    """Return R²; for a constant target 1 if all answers are right, else 0, as in scikit-learn."""
    mean = np.average(target, weights=weights)
    variation = float(weights @ (target - mean) ** 2)
    remaining = float(weights @ squared_errors)
    if variation == 0:
        return float(remaining == 0)
    return 1 - remaining / variation
