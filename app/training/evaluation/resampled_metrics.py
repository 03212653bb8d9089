"""Metrics on bootstrap resamples.

`app.training.evaluation.report` computes metrics and plots on the whole test set.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from app.training.evaluation.predictions import Predictions

LOSSES: Final = frozenset({"brier", "log_loss"})
"""Metrics for which lower is better."""


def weighted_metric(metric: str, predicted: Predictions, target: np.ndarray) -> Callable[[np.ndarray], float]:
    """Prepare a metric that can be computed many times with different row weights.

    scikit-learn's functions sort and check the rows at every call. For a thousand resamples of a million rows that is
    too slow.

    Args:
        metric: A key of `report.compute_metrics`.
        predicted: Predictions for the rows. A predicted class that `target` does not have counts as wrong.
        target: Shape (rows,), the true labels.

    Returns:
        A function from row weights, shape (rows,), to the metric. The weights of every class must sum to more than 0.
    """
    classes, true_index = np.unique(target, return_inverse=True)
    class_count = len(classes)
    index_of_class = {label: index for index, label in enumerate(classes.tolist())}
    # Every predicted class that the target does not have gets the index `class_count`.
    if metric in {"accuracy", "balanced_accuracy", "f1"}:
        predicted_index = np.array([index_of_class.get(label, class_count) for label in predicted.answers.tolist()])
        return _label_metric(metric, true_index, predicted_index, class_count)
    if predicted.probabilities is None or predicted.classes is None:
        raise ValueError(f"{metric} needs probabilities")
    column_index = [index_of_class.get(label, class_count) for label in predicted.classes.tolist()]
    probabilities = np.zeros((len(true_index), class_count + 1))
    for column, index in enumerate(column_index):
        probabilities[:, index] += predicted.probabilities[:, column]
    if metric == "roc_auc":
        positive_classes = [1] if class_count == 2 else range(class_count)  # noqa: PLR2004 - two classes
        areas = [_roc_auc(probabilities[:, index], true_index == index) for index in positive_classes]
        return lambda weights: float(np.mean([area(weights) for area in areas]))
    rows = np.arange(len(true_index))
    if metric == "brier":
        probabilities[rows, true_index] -= 1
        loss = (probabilities**2).sum(axis=1)
    else:
        loss = -np.log(np.clip(probabilities[rows, true_index], np.finfo(np.float64).eps, 1))
    return lambda weights: float(np.average(loss, weights=weights))


def _label_metric(
    metric: str, true_index: np.ndarray, predicted_index: np.ndarray, class_count: int
) -> Callable[[np.ndarray], float]:
    is_correct = true_index == predicted_index

    def score(weights: np.ndarray) -> float:
        if metric == "accuracy":
            return float(np.average(is_correct, weights=weights))
        true_positives = np.bincount(true_index[is_correct], weights[is_correct], minlength=class_count)
        true_counts = np.bincount(true_index, weights, minlength=class_count)
        if metric == "balanced_accuracy":
            return float(np.mean(true_positives / true_counts))
        predicted_counts = np.bincount(predicted_index, weights, minlength=class_count)[:class_count]
        return float(np.mean(2 * true_positives / (true_counts + predicted_counts)))

    return score


def _roc_auc(scores: np.ndarray, is_positive: np.ndarray) -> Callable[[np.ndarray], float]:
    """Prepare the area under the ROC curve.

    Consider all pairs of a positive and a negative row. The area is the share of the pairs whose positive row has the
    higher score; a pair with equal scores counts half.
    """
    distinct_scores, score_index = np.unique(scores, return_inverse=True)

    def area(weights: np.ndarray) -> float:
        positives = np.bincount(score_index, weights * is_positive, minlength=len(distinct_scores))
        negatives = np.bincount(score_index, weights * ~is_positive, minlength=len(distinct_scores))
        lower_negatives = np.cumsum(negatives) - negatives / 2
        return float(positives @ lower_negatives / (positives.sum() * negatives.sum()))

    return area
