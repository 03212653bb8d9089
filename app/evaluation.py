"""How good a classifier is on rows that it has not seen: figures and plots, and scores of rows drawn again.

Which of two models is to serve is decided in `app.gate`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    RocCurveDisplay,
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)

mpl.use("Agg")  # figures go to files: a job has no display

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


def metrics(answers: Answers, target: np.ndarray) -> dict[str, float]:
    """Score a classifier.

    Args:
        answers: What it says of the rows.
        target: Shape (rows,), the true labels, every class among them.

    Returns:
        Accuracy, balanced accuracy, F1 and ROC AUC (for more than two classes the unweighted mean over classes, one
        against the rest), log loss and Brier score (0 is perfect; at most 2).
    """
    probabilities, labels, classes = answers.probabilities, answers.labels, answers.classes
    is_binary = len(classes) == 2  # noqa: PLR2004
    scores = probabilities[:, 1] if is_binary else probabilities
    return {
        "accuracy": float(accuracy_score(target, labels)),
        "balanced_accuracy": float(balanced_accuracy_score(target, labels)),
        "f1": float(f1_score(target, labels, average="macro")),
        "roc_auc": float(roc_auc_score(target, scores, multi_class="ovr", average="macro", labels=classes)),
        "log_loss": float(log_loss(target, probabilities, labels=classes)),
        "brier": float(brier_score_loss(target, probabilities, labels=classes, scale_by_half=False)),
    }


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


def plots(answers: Answers, target: np.ndarray) -> Iterator[tuple[str, Figure]]:
    """Draw the confusion matrix, the ROC curve and the calibration curve of a classifier.

    Args:
        answers: What it says of the rows.
        target: Shape (rows,), the true labels.

    Yields:
        File name and figure of each plot. With more than two classes a curve stands for each class against the rest.
    """
    figure, axes = _figure("Confusion matrix")
    ConfusionMatrixDisplay.from_predictions(target, answers.labels, labels=answers.classes, ax=axes, colorbar=False)
    yield "confusion_matrix.png", figure

    one_against_rest = [
        (str(label), (target == label).astype(int), answers.probabilities[:, column])
        for column, label in enumerate(answers.classes)
    ]
    # With two classes the second curve would mirror the first.
    curves = one_against_rest[1:] if len(one_against_rest) == 2 else one_against_rest  # noqa: PLR2004

    figure, axes = _figure("ROC")
    for label, truth, scores in curves:
        RocCurveDisplay.from_predictions(truth, scores, name=label, ax=axes)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    yield "roc.png", figure

    figure, axes = _figure("Calibration")
    for label, truth, scores in curves:
        CalibrationDisplay.from_predictions(truth, np.clip(scores, 0, 1), n_bins=10, name=label, ax=axes)
    yield "calibration.png", figure


def _figure(title: str) -> tuple[Figure, mpl.axes.Axes]:
    """A figure that no global state keeps alive, unlike pyplot's."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes
