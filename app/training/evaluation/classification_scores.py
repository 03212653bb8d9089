"""Metrics of a classifier, prepared to be computed many times with different row weights.

`app.training.evaluation.scores` chooses the function. `app.training.evaluation.regression_scores` has the metrics of a
regressor.
"""

from collections.abc import Callable

import numpy as np

from app.training.evaluation.predictions import Predictions

Score = Callable[[np.ndarray], float]
"""A function from row weights of shape (rows,) to the metric. Rows of weight 0 do not count."""


def prepare_label_score(metric: str, answers: np.ndarray, target: np.ndarray) -> Score:
    """Prepare a metric of the answers.

    Balanced accuracy and F1 are the mean over the classes of the target that have a weight above 0.

    Args:
        metric: `accuracy`, `balanced_accuracy` or `f1`.
        answers: Shape (rows,). A class that the target does not have counts as wrong.
        target: Shape (rows,), the true labels.
    """
    classes, true_index = np.unique(target, return_inverse=True)
    class_count = len(classes)
    index_of_class = {label: index for index, label in enumerate(classes.tolist())}
    # Every answer that the target does not have gets the index `class_count`.
    predicted_index = np.array([index_of_class.get(label, class_count) for label in answers.tolist()], dtype=np.intp)
    is_correct = true_index == predicted_index

    def score(weights: np.ndarray) -> float:
        if metric == "accuracy":
            return float(np.average(is_correct, weights=weights))
        true_positives = np.bincount(true_index[is_correct], weights[is_correct], minlength=class_count)
        true_counts = np.bincount(true_index, weights, minlength=class_count)
        occurs = true_counts > 0
        if metric == "balanced_accuracy":
            return float(np.mean(true_positives[occurs] / true_counts[occurs]))
        predicted_counts = np.bincount(predicted_index, weights, minlength=class_count)[:class_count]
        return float(np.mean((2 * true_positives / (true_counts + predicted_counts))[occurs]))

    return score


def prepare_probability_score(metric: str, predicted: Predictions, target: np.ndarray) -> Score:
    """Prepare a metric of the probabilities. A class that the target does not have counts as wrong.

    Args:
        metric: `roc_auc`, `log_loss` or `brier`.
        predicted: Predictions with probabilities.
        target: Shape (rows,), the true labels; at least two classes for `roc_auc`.
    """
    classes, true_index = np.unique(target, return_inverse=True)
    probabilities = _probabilities_of(classes, predicted)
    if metric == "roc_auc":
        positive_classes = [1] if len(classes) == 2 else range(len(classes))  # noqa: PLR2004 - two classes
        areas = [_prepare_roc_auc(probabilities[:, index], true_index == index) for index in positive_classes]
        return lambda weights: _mean_of_finite([area(weights) for area in areas])
    rows = np.arange(len(true_index))
    if metric == "brier":
        probabilities[rows, true_index] -= 1
        loss = (probabilities**2).sum(axis=1)
    else:
        loss = -np.log(np.clip(probabilities[rows, true_index], np.finfo(np.float64).eps, 1))
    return lambda weights: float(np.average(loss, weights=weights))


def _probabilities_of(classes: np.ndarray, predicted: Predictions) -> np.ndarray:
    """Order the probabilities by the classes of the target; the last column holds those of all other classes."""
    if predicted.probabilities is None or predicted.classes is None:
        raise ValueError("the predictions have no probabilities")
    index_of_class = {label: index for index, label in enumerate(classes.tolist())}
    probabilities = np.zeros((len(predicted.probabilities), len(classes) + 1))
    for column, label in enumerate(predicted.classes.tolist()):
        probabilities[:, index_of_class.get(label, len(classes))] += predicted.probabilities[:, column]
    return probabilities


def _prepare_roc_auc(scores: np.ndarray, is_positive: np.ndarray) -> Score:
    """Prepare the area under the ROC curve; NaN if one of the two classes has no weight.

    Consider all pairs of a positive and a negative row. The area is the share of the pairs whose positive row has the
    higher score; a pair with equal scores counts half.
    """
    distinct_scores, score_index = np.unique(scores, return_inverse=True)

    def area(weights: np.ndarray) -> float:
        positives = np.bincount(score_index, weights * is_positive, minlength=len(distinct_scores))
        negatives = np.bincount(score_index, weights * ~is_positive, minlength=len(distinct_scores))
        pairs = positives.sum() * negatives.sum()
        lower_negatives = np.cumsum(negatives) - negatives / 2
        return float(positives @ lower_negatives / pairs) if pairs > 0 else float("nan")

    return area


def _mean_of_finite(values: list[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
