"""Metrics and plots of a classifier on the held-out test set.

`app.training.evaluation.promotion_gate` decides which model serves, with the metrics of
`app.training.evaluation.resampled_metrics`.
"""

from collections.abc import Iterator

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

from app.training.evaluation.predictions import Predictions

mpl.use("Agg")  # a job has no display


def compute_metrics(predicted: Predictions, target: np.ndarray) -> dict[str, float]:
    """Compute the metrics of a classifier.

    Args:
        predicted: Predictions for the rows.
        target: Shape (rows,), the true labels; every class occurs.

    Returns:
        Accuracy, balanced accuracy, macro F1, ROC AUC (for more than two classes: one-vs-rest, macro average), log
        loss, and Brier score (0 is perfect, 2 is the maximum).
    """
    labels = predicted.answers
    probabilities, classes = _probabilities(predicted)
    is_binary = len(classes) == 2  # noqa: PLR2004 - two classes
    scores = probabilities[:, 1] if is_binary else probabilities
    return {
        "accuracy": float(accuracy_score(target, labels)),
        "balanced_accuracy": float(balanced_accuracy_score(target, labels)),
        "f1": float(f1_score(target, labels, average="macro")),
        "roc_auc": float(roc_auc_score(target, scores, multi_class="ovr", average="macro", labels=classes)),
        "log_loss": float(log_loss(target, probabilities, labels=classes)),
        "brier": float(brier_score_loss(target, probabilities, labels=classes, scale_by_half=False)),
    }


def draw_plots(predicted: Predictions, target: np.ndarray) -> Iterator[tuple[str, Figure]]:
    """Draw the confusion matrix, the ROC curves and the calibration curves of a classifier.

    Args:
        predicted: Predictions for the rows.
        target: Shape (rows,), the true labels.

    Yields:
        File name and figure of each plot. With more than two classes there is one curve per class, one-vs-rest.
    """
    probabilities, classes = _probabilities(predicted)
    figure, axes = _create_figure("Confusion matrix")
    ConfusionMatrixDisplay.from_predictions(target, predicted.answers, labels=classes, ax=axes, colorbar=False)
    yield "confusion_matrix.png", figure

    one_vs_rest = [
        (str(label), (target == label).astype(int), probabilities[:, column]) for column, label in enumerate(classes)
    ]
    # With two classes the second curve would mirror the first one.
    curves = one_vs_rest[1:] if len(one_vs_rest) == 2 else one_vs_rest  # noqa: PLR2004 - two classes

    figure, axes = _create_figure("ROC")
    for label, is_class, scores in curves:
        RocCurveDisplay.from_predictions(is_class, scores, name=label, ax=axes)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    yield "roc.png", figure

    figure, axes = _create_figure("Calibration")
    for label, is_class, scores in curves:
        CalibrationDisplay.from_predictions(is_class, np.clip(scores, 0, 1), n_bins=10, name=label, ax=axes)
    yield "calibration.png", figure


def _probabilities(predicted: Predictions) -> tuple[np.ndarray, np.ndarray]:
    if predicted.probabilities is None or predicted.classes is None:
        raise ValueError("the metrics of a classifier need probabilities")
    return predicted.probabilities, predicted.classes


def _create_figure(title: str) -> tuple[Figure, mpl.axes.Axes]:
    """Create a figure without pyplot, whose global state would keep the figure in memory."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    return figure, axes
