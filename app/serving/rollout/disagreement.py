"""How often the two versions of a rollout predict different classes for the same row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.serving.shadow.shadow import Shadow


@dataclass(frozen=True)
class Disagreement:
    """The rows that both versions have answered: copies of requests that the champion answered."""

    rows: int = 0
    different: int = 0
    """Rows for which the versions predicted different classes."""

    @classmethod
    def of(cls, comparison: Shadow | None) -> Self:
        """Read the counts of one replica; zero without a comparison."""
        counts = comparison.comparison if comparison is not None else None
        return cls() if counts is None else cls(counts.rows, counts.rows - counts.equal_rows)

    @classmethod
    def total(cls, parts: Sequence[Self]) -> Self:
        """Add the counts of all replicas."""
        return cls(sum(part.rows for part in parts), sum(part.different for part in parts))

    @property
    def percent(self) -> float:
        """Percentage of the rows for which the versions predicted different classes; 0 without rows."""
        return 100 * self.different / max(1, self.rows)
