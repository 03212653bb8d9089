"""The plots of a classifier: confusion matrix, ROC curves and calibration curves."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import ConfusionMatrixDisplay, RocCurveDisplay

from app.training.evaluation.figures import create_figure
from app.training.evaluation.predictions import Predictions

MAX_CLASSES: Final = 30
"""Maximum number of classes of a plot: a larger confusion matrix cannot be read."""


def draw(predicted: Predictions, target: np.ndarray) -> Iterator[tuple[str, Figure]]:
    """Draw the plots of a classifier; none with one class or more than `MAX_CLASSES`, no curves without probabilities.

    Args:
        predicted: Predictions for the rows.
        target: Shape (rows,), the true labels.

    Yields:
        File name and figure of each plot. With more than two classes there is one curve per class, one-vs-rest. A class
        that no row or every row has gets no curve.
    """
    known_classes = [] if predicted.classes is None else predicted.classes.tolist()
    labels = sorted({*target.tolist(), *predicted.answers.tolist(), *known_classes})
    if not 1 < len(labels) <= MAX_CLASSES:
        return
    figure, axes = create_figure("Confusion matrix")
    ConfusionMatrixDisplay.from_predictions(target, predicted.answers, labels=labels, ax=axes, colorbar=False)
    yield "confusion_matrix.png", figure

    curves = _curves(predicted, target)
    if not curves:
        return
    figure, axes = create_figure("ROC")
    for label, is_class, scores in curves:
        RocCurveDisplay.from_predictions(is_class, scores, name=label, ax=axes)
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    yield "roc.png", figure

    figure, axes = create_figure("Calibration")
    for label, is_class, scores in curves:
        CalibrationDisplay.from_predictions(is_class, np.clip(scores, 0, 1), n_bins=10, name=label, ax=axes)
    yield "calibration.png", figure


def _curves(predicted: Predictions, target: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return name, truth (0 or 1) and score of the rows for each class that has a curve."""
    if predicted.probabilities is None or predicted.classes is None:
        return []
    one_vs_rest = [
        (str(label), (target == label).astype(int), predicted.probabilities[:, column])
        for column, label in enumerate(predicted.classes.tolist())
    ]
    # With two classes the second curve would mirror the first one.
    curves = one_vs_rest[1:] if len(one_vs_rest) == 2 else one_vs_rest  # noqa: PLR2004 - two classes
    return [curve for curve in curves if 0 < curve[1].mean() < 1]
