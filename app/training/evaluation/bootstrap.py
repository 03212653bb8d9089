"""A confidence interval by a bootstrap: how much a statistic would vary on other held-out rows.

The statistic is a function of row weights, so that a resample copies no rows.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from scipy import stats

from app.training.data.dataset import Rows
from app.training.evaluation.metrics import Metric

RESAMPLES: Final = 1000
"""Number of bootstrap resamples of the held-out rows."""

CONFIDENCE: Final = 0.95
"""Share of the intervals that hold the true value."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """The units that a resample draws with replacement: rows, groups of rows, or blocks of rows in time."""

    unit_of_row: np.ndarray
    """Shape (rows,): index of the unit that the row belongs to."""
    strata: list[np.ndarray]
    """Indices of the units that are drawn together. Each stratum keeps its number of units."""
    row_weights: np.ndarray
    """Shape (rows,), positive."""
    unit_name: str
    """`rows`, `groups` or `blocks of time`."""

    @property
    def unit_count(self) -> int:
        """Number of units."""
        return sum(map(len, self.strata))

    @property
    def degrees_of_freedom(self) -> int:
        """Number of units in the smallest stratum, less 1; at least 1."""
        return max(1, min(map(len, self.strata)) - 1)

    @classmethod
    def of(cls, rows: Rows, metric: Metric) -> Self:
        """Choose the units of a resample.

        - Rows of one group resemble each other, so whole groups are drawn.
        - Rows near in time resemble each other, so rows in the order of time are cut into blocks of the length
          n^(1/3), and whole blocks are drawn (Carlstein, Annals of Statistics 14, 1986).
        - Other rows are drawn one by one; for a metric in which each class counts the same within each class, so that a
          rare class is in every resample.

        Args:
            rows: The held-out rows.
            metric: The metric of the statistic.
        """
        count = len(rows)
        row_weights = np.ones(count) if rows.weights is None else rows.weights.to_numpy(dtype=np.float64)
        if rows.groups is not None:
            _, unit_of_row = np.unique(rows.groups.astype(str), return_inverse=True)
            name = "groups"
        elif rows.times is not None:
            rank = np.argsort(np.argsort(rows.times.to_numpy(), kind="stable"))
            unit_of_row = rank // math.ceil(count ** (1 / 3))
            name = "blocks of time"
        else:
            unit_of_row = np.arange(count)
            name = "rows"
        if name == "rows" and metric.averages_classes:
            _, class_of_row = np.unique(rows.target.to_numpy(), return_inverse=True)
            strata = [np.flatnonzero(class_of_row == index) for index in range(class_of_row.max() + 1)]
        else:
            strata = [np.arange(unit_of_row.max() + 1)]
        return cls(unit_of_row=unit_of_row, strata=strata, row_weights=row_weights, unit_name=name)

    def weights(self) -> Iterator[np.ndarray]:
        """Draw the units of each stratum with replacement.

        From n units n - 1 are drawn and count n / (n - 1) times: n draws would vary less than another sample of n units
        does, which matters for a rare class (Rao and Wu, Journal of the American Statistical Association 83, 1988).

        Yields:
            For each resample, the weight of each row times how often it counts; shape (rows,). Every run yields the
            same weights.
        """
        generator = np.random.default_rng(0)
        for _ in range(RESAMPLES):
            counts = np.empty(self.unit_count)
            for units in self.strata:
                draws = max(1, len(units) - 1)
                drawn = generator.integers(len(units), size=draws)
                counts[units] = np.bincount(drawn, minlength=len(units)) * (len(units) / draws)
            yield counts[self.unit_of_row] * self.row_weights

    def interval(self, statistic: Callable[[np.ndarray], float]) -> tuple[float, float] | None:
        """Return a confidence interval of a statistic.

        Args:
            statistic: A function from row weights, shape (rows,), to a number. NaN where it is not defined.

        Returns:
            The two ends of the interval; None if there is only one unit, or if the statistic is not defined on
            half of the resamples.
        """
        if self.unit_count == 1:
            return None
        values = np.array([statistic(weights) for weights in self.weights()])
        values = values[np.isfinite(values)]
        if len(values) <= RESAMPLES / 2:
            return None
        low, high = np.percentile(values, interval_percentiles(self.degrees_of_freedom))
        return float(low), float(high)


def interval_percentiles(degrees_of_freedom: int) -> tuple[float, float]:
    """Return the percentiles of the resamples that bound the interval.

    The plain 2.5th and 97.5th percentile give an interval that is too narrow for few units. These percentiles are
    further out, as far as Student's t is wider than the normal distribution (Hesterberg, The American Statistician 69,
    2015: the expanded percentile interval).

    Args:
        degrees_of_freedom: Number of units in the smallest stratum, less 1; at least 1. With a larger number, one of
            twenty equally good models passes where a class has ten rows, in simulations.
    """
    t = stats.t.ppf((1 + CONFIDENCE) / 2, degrees_of_freedom)
    low = 100 * float(stats.norm.cdf(-t))
    return low, 100 - low
