"""Counts the answers of a model: by class for a classifier, by size for a regressor.

The sizes are bins of the number format itself: one for each sign, exponent and eighth of the mantissa. They need no
knowledge of the model's range, and counts of several replicas add up. A quantile that is read from them differs from
the exact one by at most a sixteenth of its value, as in DDSketch (Masson et al., VLDB 2019).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import numpy as np

from app.models.predictor import Predictor

MAX_CLASSES: Final = 20
"""Classes that have a count of their own. All further classes share one count."""

OTHER: Final = "other"
"""Name of the count of all further classes."""

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Quantiles that are read from the counts of a regressor."""

EXPONENTS: Final = 64
"""Exponents of two on either side of 1. Smaller numbers count as 0, and larger ones as the largest."""

PARTS: Final = 8
"""Bins of one exponent."""

SIDE: Final = 2 * EXPONENTS * PARTS
"""Bins of one sign. Bin `SIDE` in the middle is 0; bins of negative numbers come before it, in ascending order."""


class AnswerBins(ABC):
    """The bins of one model's answers. Counts are arrays of int64 of shape (size,)."""

    size: int

    def count(self, predictions: np.ndarray) -> np.ndarray | int | None:
        """Return how many predictions fall into each bin; for a single prediction the index of its bin.

        Returns None for predictions that fit no bin. Counting must not fail a request that the model has answered.

        Args:
            predictions: Shape (rows,), with at least one row.
        """
        try:
            return self._count(predictions)
        except (TypeError, ValueError, LookupError, OverflowError):  # such as text of a model without classes
            return None

    @abstractmethod
    def _count(self, predictions: np.ndarray) -> np.ndarray | int:
        """Do the work of `count`. Raises one of the errors that it handles if the predictions fit no bin."""

    @abstractmethod
    def describe(self, counts: np.ndarray) -> tuple[dict[str, int] | None, dict[str, float] | None]:
        """Return the number of answers by class, and the quantiles of the answers. One of the two is None."""


class ClassBins(AnswerBins):
    """One bin for each class.

    Args:
        labels: Shape (classes,): the class labels.
    """

    def __init__(self, labels: np.ndarray) -> None:
        self.names = [str(label) for label in labels[:MAX_CLASSES].tolist()]
        if len(labels) > MAX_CLASSES:
            self.names.append(OTHER)
        self.size = len(self.names)
        self._order = np.argsort(labels)
        self._sorted = labels[self._order]
        self._bins = np.minimum(self._order, self.size - 1)
        self._index = {label: min(index, self.size - 1) for index, label in enumerate(labels.tolist())}

    def _count(self, predictions: np.ndarray) -> np.ndarray | int:
        if predictions.size == 1:
            return self._index[predictions.item()]
        positions = np.searchsorted(self._sorted, predictions)
        return np.bincount(self._bins[positions], minlength=self.size)

    def describe(self, counts: np.ndarray) -> tuple[dict[str, int] | None, dict[str, float] | None]:
        """See `AnswerBins.describe`."""
        return dict(zip(self.names, counts.tolist(), strict=True)), None


class SizeBins(AnswerBins):
    """Bins by sign and size."""

    size = 2 * SIDE + 1

    def _count(self, predictions: np.ndarray) -> np.ndarray | int:
        if predictions.size == 1:
            return _bin(float(predictions.item()))
        mantissas, exponents = np.frexp(np.asarray(predictions, dtype=np.float64))
        sizes = (exponents + EXPONENTS) * PARTS + ((np.abs(mantissas) - 0.5) * 2 * PARTS).astype(np.int64)
        sizes = np.where(mantissas == 0, -1, sizes)
        offsets = np.clip(sizes + 1, 0, SIDE) * np.sign(mantissas).astype(np.int64)
        return np.bincount(SIDE + offsets, minlength=self.size)

    def describe(self, counts: np.ndarray) -> tuple[dict[str, int] | None, dict[str, float] | None]:
        """See `AnswerBins.describe`."""
        if counts.sum() == 0:
            return None, {}
        values = self.quantiles(counts, QUANTILES)
        return None, {f"{quantile:g}": value for quantile, value in zip(QUANTILES, values, strict=True)}

    @staticmethod
    def quantiles(counts: np.ndarray, quantiles: Sequence[float]) -> list[float]:
        """Return quantiles of the answers.

        Args:
            counts: Shape (size,): answers by bin, at least one.
            quantiles: Between 0 and 1.
        """
        ranks = np.searchsorted(np.cumsum(counts), np.ceil(np.array(quantiles) * counts.sum()))
        return [_middle(int(rank)) for rank in ranks]


def bins_of(predictor: Predictor) -> AnswerBins | None:
    """Return the bins for the answers of a model; None for a model with several outputs."""
    if predictor.labels is not None:
        try:
            return ClassBins(predictor.labels)
        except TypeError:  # labels of several types have no order
            return None
    return None if predictor.output_classes else SizeBins()


def _bin(value: float) -> int:
    if value == 0 or not math.isfinite(value):
        return SIDE
    mantissa, exponent = math.frexp(abs(value))
    size = (exponent + EXPONENTS) * PARTS + int((mantissa - 0.5) * 2 * PARTS)
    offset = min(max(size + 1, 0), SIDE)
    return SIDE + offset if value > 0 else SIDE - offset


def _middle(index: int) -> float:
    """Return the number in the middle of a bin, with three significant digits."""
    if index == SIDE:
        return 0.0
    exponent, part = divmod(abs(index - SIDE) - 1, PARTS)
    value = math.ldexp(0.5 + (part + 0.5) / (2 * PARTS), exponent - EXPONENTS)
    return float(f"{math.copysign(value, index - SIDE):.3g}")
