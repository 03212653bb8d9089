"""What a model answers for some rows."""

from dataclasses import dataclass, fields
from typing import Any, Final, Self, TypeAlias

import numpy as np

Values: TypeAlias = np.ndarray | tuple[np.ndarray, ...]
"""One answer for each row: an array, or one array for each output of the model."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers of a model, one per row. An answer that the model does not give is None."""

    predictions: np.ndarray
    """Shape (rows,), or (rows, outputs) for a model with several outputs: what scikit-learn's `predict` returns."""
    probabilities: np.ndarray | None = None
    """Shape (rows, classes), float64: what scikit-learn's `predict_proba` returns for a model with one output."""
    output_probabilities: tuple[np.ndarray, ...] | None = None
    """The same for each output, if `predict_proba` returns a list."""
    decision: np.ndarray | None = None
    """Shape (rows,) or (rows, scores), float64: what `decision_function` returns. Only of a classifier without
    probabilities, because the two say the same, and computing both takes twice as long."""
    std: np.ndarray | None = None
    """Shape (rows,) or (rows, outputs), float64: the standard deviation of each prediction."""

    @property
    def by_name(self) -> dict[str, Values]:
        """The answers that the model gives, by name."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    @property
    def are_finite(self) -> bool:
        """Whether no answer is infinite or NaN."""
        return all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in self._arrays())

    def take(self, is_taken: np.ndarray) -> Self:
        """Return the answers for some of the rows.

        Args:
            is_taken: Shape (rows,), boolean; or the positions of the rows.
        """
        # The type of an answer depends on its name.
        taken: dict[str, Any] = {
            name: tuple(array[is_taken] for array in value) if isinstance(value, tuple) else value[is_taken]
            for name, value in self.by_name.items()
        }
        return type(self)(**taken)

    def equal(self, other: Self) -> bool:
        """Whether every answer is the same to the bit."""
        return self.by_name.keys() == other.by_name.keys() and all(
            np.array_equal(left, right) for left, right in zip(self._arrays(), other._arrays(), strict=False)
        )

    def _arrays(self) -> list[np.ndarray]:
        return [array for value in self.by_name.values() for array in (value if isinstance(value, tuple) else (value,))]


NAMES: Final = tuple(field.name for field in fields(Answers))
"""The names of all answers, in their order in a response."""
