"""How good a classifier is on rows that it has not seen: figures and plots.

Which of two models is to serve is decided in `app.training.evaluation.promotion_gate`, by the scores of
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

from app.training.evaluation.resampled_metrics import Answers

mpl.use("Agg")  # figures go to files: a job has no display


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
