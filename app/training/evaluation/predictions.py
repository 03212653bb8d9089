"""What a model predicts for some rows."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions of a model for some rows."""

    answers: np.ndarray
    """Shape (rows,): what `predict` returns, which is what the service answers."""
    probabilities: np.ndarray | None = None
    """Shape (rows, classes), float64; None if the model gives no probabilities."""
    classes: np.ndarray | None = None
    """Shape (classes,): the labels, in the order of the probabilities; None without probabilities."""
