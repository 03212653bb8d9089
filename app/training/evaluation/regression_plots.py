"""The plots of a regressor: predicted against true values, residuals, and the distribution of the errors."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import PredictionErrorDisplay

from app.training.evaluation.figures import create_figure

MAX_POINTS: Final = 2_000
"""Maximum number of rows that are drawn as points; a random choice of the rows."""

BINS: Final = 40
"""Bins of the histogram of the errors."""


def draw(answers: np.ndarray, target: np.ndarray) -> Iterator[tuple[str, Figure]]:
    """Draw the plots of a regressor.

    Args:
        answers: Shape (rows,), finite numbers.
        target: Shape (rows,), the true numbers.

    Yields:
        File name and figure of each plot.
    """
    answers, target = answers.astype(np.float64), target.astype(np.float64)
    for file_name, title, kind in (
        ("predicted_against_true.png", "Predicted against true values", "actual_vs_predicted"),
        ("residuals.png", "Residuals", "residual_vs_predicted"),
    ):
        figure, axes = create_figure(title)
        PredictionErrorDisplay.from_predictions(
            target, answers, kind=kind, subsample=min(MAX_POINTS, len(target)), random_state=0, ax=axes
        )
        yield file_name, figure

    figure, axes = create_figure("Errors")
    axes.hist(target - answers, bins=BINS)
    axes.axvline(0, linestyle=":", color="grey")
    axes.set_xlabel("true value - predicted value")
    axes.set_ylabel("rows")
    yield "errors.png", figure
