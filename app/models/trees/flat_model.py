"""A model of trees as flat arrays: what its leaves add up to, and how the sums become answers."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from app.models.trees.flat_trees import FlatTrees

Link = Literal[
    "identity",
    "log",
    "exponential",
    "votes",
    "logit",
    "stages",
    "half_logit",
    "softmax",
    "softmax_by_column",
    "narrow_logistic",
    "wide_logistic",
    "ordered_softmax",
]
"""How sums become answers; see `app.models.trees.links`."""


@dataclass(frozen=True, kw_only=True)
class FlatModel:
    """Trees, and what makes answers of the sums of their leaves."""

    trees: FlatTrees
    baseline: np.ndarray
    """Shape (outputs,), in the format of the leaves' values: what the leaves are added to."""
    link: Link
    divisor: int = 1
    """The sums are divided by it: the number of trees of a forest, 1 for boosting."""
    takes_missing: bool = True
    """Whether the library takes missing values."""

    @property
    def tree_count(self) -> int:
        """Number of trees."""
        return len(self.trees.trees)
