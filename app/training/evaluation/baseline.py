"""The constant answers that a first model must be better than, learned from the target of the training rows alone.

`app.training.evaluation.promotion_gate` compares with them if there is no champion.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from app.training.data.dataset import Rows
from app.training.evaluation.metrics import find_metric
from app.training.evaluation.predictions import Predictions


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A model that answers the same for every row, and only knows the target of the training rows."""

    description: str
    """What it answers, for the sentence "better than ..."."""
    answers: list[bool | str | int | float]
    """The classes of the training rows, the most frequent first; for a regression one number."""
    shares: list[float] = field(default_factory=list)
    """For each class its share of the training rows, by weight. Empty for a regression."""

    @classmethod
    def of(cls, train: Rows, metric: str) -> Self:
        """Return the best constant answer for a metric.

        It is the most frequent class with the share of each class as its probabilities; the mean for `rmse` and `r2`,
        the median for `mae`, and the quantile of the level for the pinball loss.

        Args:
            train: The training rows. Their weights count.
            metric: Name of the metric.
        """
        spec = find_metric(metric)
        target = train.target.to_numpy()
        weights = np.ones(len(target)) if train.weights is None else train.weights.to_numpy(dtype=np.float64)
        if spec.constant == "class shares":
            classes, index = np.unique(target, return_inverse=True)
            shares = np.bincount(index, weights) / weights.sum()
            order = np.argsort(-shares, kind="stable")
            return cls(
                description="answering the most frequent class",
                answers=classes[order].tolist(),
                shares=shares[order].tolist(),
            )
        target = target.astype(np.float64)
        if spec.constant == "mean":
            answer = np.average(target, weights=weights)
        else:
            answer = np.quantile(target, spec.level, weights=weights, method="inverted_cdf")
        name = f"{spec.level:g} quantile" if spec.constant == "quantile" else spec.constant
        return cls(description=f"answering the {name} of the training rows", answers=[float(answer)])

    def predict(self, rows: Rows) -> Predictions:
        """Answer the same for every row."""
        if not self.shares:
            return Predictions(answers=np.full(len(rows), self.answers[0]))
        classes = np.array(self.answers, dtype=rows.target.to_numpy().dtype)
        return Predictions(
            answers=np.repeat(classes[:1], len(rows)),
            probabilities=np.tile(self.shares, (len(rows), 1)),
            classes=classes,
        )
