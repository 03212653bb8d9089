"""How good a classifier is on rows that it has not seen: figures, plots, and the gate's verdict."""

from collections.abc import Iterator
from typing import Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.base import ClassifierMixin
from sklearn.calibration import CalibrationDisplay
from sklearn.dummy import DummyClassifier
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

from app.data import Split

mpl.use("Agg")  # figures go to files: a job has no display

GATE_METRIC: Final = "balanced_accuracy"
"""What the gate compares: it does not reward answering the most frequent class."""


def metrics(model: ClassifierMixin, features: pd.DataFrame, target: pd.Series) -> dict[str, float]:
    """Score a classifier.

    Args:
        model: A fitted classifier with `predict_proba`.
        features: Shape (rows, columns), every class of the model among the rows.
        target: Shape (rows,), the true labels.

    Returns:
        Accuracy, balanced accuracy, F1 and ROC AUC (for more than two classes the unweighted mean over classes, one
        against the rest), log loss and Brier score (0 is perfect; at most 2).
    """
    probabilities = model.predict_proba(features)
    labels = model.classes_[probabilities.argmax(axis=1)]
    classes = model.classes_
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


def baseline(split: Split) -> float:
    """The gate's metric of answering the most frequent class, on the same held-out rows."""
    dummy = DummyClassifier(strategy="most_frequent").fit(split.train_features, split.train_target)
    return float(balanced_accuracy_score(split.test_target, dummy.predict(split.test_features)))


def plots(model: ClassifierMixin, features: pd.DataFrame, target: pd.Series) -> Iterator[tuple[str, Figure]]:
    """Draw the confusion matrix, the ROC curve and the calibration curve of a classifier.

    Args:
        model: A fitted classifier with `predict_proba`.
        features: Shape (rows, columns).
        target: Shape (rows,), the true labels.

    Yields:
        File name and figure of each plot. With more than two classes a curve stands for each class against the rest.
    """
    probabilities = model.predict_proba(features)
    labels = model.classes_[probabilities.argmax(axis=1)]

    figure, axes = _figure("Confusion matrix")
    ConfusionMatrixDisplay.from_predictions(target, labels, labels=model.classes_, ax=axes, colorbar=False)
    yield "confusion_matrix.png", figure

    one_against_rest = [
        (str(label), (target == label).to_numpy().astype(int), probabilities[:, column])
        for column, label in enumerate(model.classes_)
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
