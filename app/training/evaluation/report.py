"""The metrics and plots of a model on the held-out rows.

`app.training.evaluation.scores` computes the metrics. `app.training.evaluation.promotion_gate` decides which model
serves.
"""

import logging
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from app.errors import DataError, ParameterError
from app.training.data.dataset import Rows
from app.training.evaluation import classification_plots, regression_plots
from app.training.evaluation.metrics import find_metric, metric_names
from app.training.evaluation.predictions import Predictions
from app.training.evaluation.scores import score

log = logging.getLogger("manta.train")


def compute_metrics(predicted: Predictions, rows: Rows, metric: str) -> dict[str, float]:
    """Compute the metric of the gate and all other metrics of its task.

    A metric that cannot be computed is left out, and the log says why: the model gives no probabilities, or the metric
    is not defined for the target of these rows.

    Args:
        predicted: Predictions for the rows.
        rows: The rows, with their weights.
        metric: Metric of the gate.

    Returns:
        The metrics by name. Balanced accuracy and F1 are the mean over the classes; the ROC AUC of more than two
        classes is the mean of one-vs-rest; the Brier score is 0 to 2.
    """
    target = rows.target.to_numpy()
    weights = None if rows.weights is None else rows.weights.to_numpy(dtype=np.float64)
    metrics = {}
    for name in dict.fromkeys([*metric_names(find_metric(metric).task), metric]):
        try:
            metrics[name] = score(name, predicted, target, weights)
        except (DataError, ParameterError) as error:
            log.info("%s is not computed: %s", name, error.detail)
    return metrics


def draw_plots(predicted: Predictions, rows: Rows, metric: str) -> Iterator[tuple[str, Figure]]:
    """Draw the plots of a model; every row counts the same in a plot.

    Args:
        predicted: Predictions for the rows.
        rows: The rows.
        metric: Metric of the gate, which says whether the model classifies.

    Yields:
        File name and figure of each plot.
    """
    target = rows.target.to_numpy()
    if find_metric(metric).task == "regression":
        yield from regression_plots.draw(predicted.answers, target)
    else:
        yield from classification_plots.draw(predicted, target)
