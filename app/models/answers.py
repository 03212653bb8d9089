"""What a model answers for some rows."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a model, one per row. An answer that the model does not give is None."""

    predictions: np.ndarray
    """Shape (rows,): what scikit-learn's `predict` returns."""
    probabilities: np.ndarray | None = None
    """Shape (rows, classes), float64: what scikit-learn's `predict_proba` returns."""

    @property
    def are_finite(self) -> bool:
        """Whether no answer is infinite or NaN."""
        numbers = (values for values in (self.predictions, self.probabilities) if values is not None)
        return all(bool(np.isfinite(values).all()) for values in numbers if values.dtype.kind == "f")

    def take(self, is_taken: np.ndarray) -> Self:
        """Return the answers for some of the rows.

        Args:
            is_taken: Shape (rows,), boolean.
        """
        return replace(
            self,
            predictions=self.predictions[is_taken],
            probabilities=None if self.probabilities is None else self.probabilities[is_taken],
        )

    def equal(self, other: Self) -> bool:
        """Whether every answer is the same to the bit."""
        return np.array_equal(self.predictions, other.predictions) and (
            self.probabilities is other.probabilities is None
            or (
                self.probabilities is not None
                and other.probabilities is not None
                and np.array_equal(self.probabilities, other.probabilities)
            )
        )
