"""What a classifier says of rows, and the scores of rows of which each counts more than once, or not at all.

The figures and plots of a whole set of rows are in `app.training.evaluation.report`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

LOSSES: Final = frozenset({"brier", "log_loss"})
"""Metrics of which less is better."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a classifier says of rows."""

    classes: np.ndarray
    """The labels, sorted."""
    probabilities: np.ndarray
    """Shape (rows, classes), float64."""

    @property
    def labels(self) -> np.ndarray:
        """Shape (rows,), the most probable class of each row."""
        labels: np.ndarray = self.classes[self.probabilities.argmax(axis=1)]
        return labels


def weighted(metric: str, answers: Answers, target: np.ndarray) -> Callable[[np.ndarray], float]:
    """The score of rows of which each counts as often as its weight says.

    scikit-learn's own functions sort and check the rows each time, which a thousand draws of a million rows cannot pay.

    Args:
        metric: One of those that `metrics` gives.
        answers: What a classifier says of the rows. Classes that the rows do not have count as wrong.
        target: Shape (rows,), the true labels.

    Returns:
        A function of weights, shape (rows,), every class with a positive sum of them.
    """
    classes, truth = np.unique(target, return_inverse=True)
    width = len(classes)
    position = {label: index for index, label in enumerate(classes.tolist())}
    known = [position.get(label, width) for label in answers.classes.tolist()]
    said = np.array(known)[answers.probabilities.argmax(axis=1)]
    if metric in {"accuracy", "balanced_accuracy", "f1"}:
        return _of_labels(metric, truth, said, width)
    spread = np.zeros((len(truth), width + 1))
    for column, index in enumerate(known):
        spread[:, index] += answers.probabilities[:, column]
    if metric == "roc_auc":
        curves = [_area(spread[:, index], truth == index) for index in ([1] if width == 2 else range(width))]  # noqa: PLR2004
        return lambda weights: float(np.mean([curve(weights) for curve in curves]))
    if metric == "brier":
        spread[np.arange(len(truth)), truth] -= 1
        loss = (spread**2).sum(axis=1)
    else:
        loss = -np.log(np.clip(spread[np.arange(len(truth)), truth], np.finfo(np.float64).eps, 1))
    return lambda weights: float(np.average(loss, weights=weights))


def _of_labels(metric: str, truth: np.ndarray, said: np.ndarray, width: int) -> Callable[[np.ndarray], float]:
    is_right = truth == said

    def score(weights: np.ndarray) -> float:
        if metric == "accuracy":
            return float(np.average(is_right, weights=weights))
        right = np.bincount(truth[is_right], weights[is_right], minlength=width)
        there = np.bincount(truth, weights, minlength=width)
        if metric == "balanced_accuracy":
            return float(np.mean(right / there))
        claimed = np.bincount(said, weights, minlength=width)[:width]
        return float(np.mean(2 * right / (there + claimed)))

    return score


def _area(scores: np.ndarray, is_positive: np.ndarray) -> Callable[[np.ndarray], float]:
    """The area under the ROC curve: how often a positive row has the higher score; an equal one counts half."""
    levels, level = np.unique(scores, return_inverse=True)

    def area(weights: np.ndarray) -> float:
        positive = np.bincount(level, weights * is_positive, minlength=len(levels))
        negative = np.bincount(level, weights * ~is_positive, minlength=len(levels))
        lower = np.cumsum(negative) - negative / 2
        return float(positive @ lower / (positive.sum() * negative.sum()))

    return area
