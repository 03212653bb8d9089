"""Scores on some rows, and the difference of two scores, with their confidence intervals."""

from dataclasses import dataclass

from app.training.evaluation.bootstrap import Resampling
from app.training.evaluation.classification_scores import Score
from app.training.evaluation.metrics import Metric


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A number with its 95 % confidence interval. Both ends are None if the rows are too few."""

    value: float
    low: float | None
    high: float | None


def measure(score: Score, resampling: Resampling) -> Interval:
    """Compute a score and its interval."""
    low, high = resampling.interval(score) or (None, None)
    return Interval(value=float(score(resampling.row_weights)), low=low, high=high)


def measure_improvement(score: Score, other: Score, metric: Metric, resampling: Resampling) -> Interval:
    """Compute how much better a score is than another one, by a paired bootstrap. A negative number: worse."""
    return measure(lambda weights: metric.sign * (score(weights) - other(weights)), resampling)
