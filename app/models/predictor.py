"""Predicts the rows of requests with results that equal scikit-learn's exactly.

`app.models.estimator` decides whether a stored model may predict.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from sklearn.base import is_classifier

from app.errors import FeaturesError, ModelRefusedError
from app.models import forest_kernel
from app.models.answers import Answers
from app.models.artifact import Artifact
from app.models.estimator import Estimator, prove
from app.models.flat_forest import FlatForest, flatten_model
from app.models.signature import Columns

MAX_FLOAT32: Final = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A checked model that predicts the rows of a request, which are a matrix without column names."""

    columns: Columns
    labels: np.ndarray | None
    """Class labels, in the order of the columns of the probabilities; None for a model without classes."""
    gives_probabilities: bool
    """Whether the model gives the probability of each class."""
    evaluator: FlatForest | Estimator
    """What computes the predictions: compiled trees, or scikit-learn."""

    @property
    def forest(self) -> FlatForest | None:
        """The model's trees in compiled form; None if scikit-learn predicts."""
        return self.evaluator if isinstance(self.evaluator, FlatForest) else None

    @property
    def classes(self) -> list[bool | str | int]:
        """Class labels, in the order of the columns of the probabilities; empty if the model gives no probabilities."""
        if not self.gives_probabilities or self.labels is None:
            return []
        labels: list[bool | str | int] = self.labels.tolist()
        return labels

    def predict(self, rows: np.ndarray) -> Answers:
        """Predict rows.

        Args:
            rows: Shape (rows, columns); see `app.models.frames`.

        Raises:
            FeaturesError: A forest got rows of another width, or a value that is not finite in float32.
        """
        if not isinstance(self.evaluator, FlatForest):
            return self.evaluator.predict(rows)
        result = forest_kernel.predict(self.evaluator, rows)
        if result is None:
            raise FeaturesError(
                "The rows have another number of columns than the model, or hold a missing or too large number.",
                allowed=f"rows of {len(self.columns)} finite numbers between -{MAX_FLOAT32:.7g} and {MAX_FLOAT32:.7g}",
            )
        largest, outputs = result
        if self.labels is None:
            return Answers(predictions=outputs[:, 0])
        return Answers(predictions=self.labels[largest], probabilities=outputs)

    def tree_walks(self, rows: int) -> float:
        """Return how often rows walk down a tree; `inf` when scikit-learn predicts, because the cost is unknown."""
        return float("inf") if self.forest is None else rows * len(self.forest.roots)


def compile_model(artifact: Artifact, *, label: str) -> Predictor:
    """Check a stored model, compile its trees, and compare its predictions for its input example.

    Args:
        artifact: The stored model.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The model is damaged, or its predictions differ from those recorded when it was stored.
    """
    estimator = prove(artifact, label=label)
    model, forest = estimator.model, flatten_model(estimator)
    predictor = Predictor(
        columns=estimator.columns if forest is None else estimator.columns.with_optional(()),
        labels=model.classes_ if is_classifier(model) else None,
        gives_probabilities=estimator.gives_probabilities,
        evaluator=forest or estimator,
    )
    check_forest(predictor, artifact.example_rows, estimator.predict(artifact.example_rows), label=label)
    return predictor


def check_forest(predictor: Predictor, rows: np.ndarray, expected: Answers, *, label: str) -> None:
    """Compare the predictions of compiled trees with those of scikit-learn; check nothing if scikit-learn predicts.

    Args:
        predictor: The predictor.
        rows: Shape (rows, columns). Rows with a value that is not finite in float32 are not compared.
        expected: The answers of scikit-learn for all rows.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: A predicted bit differs.
    """
    if predictor.forest is None:
        return
    finite = (np.abs(rows) <= MAX_FLOAT32).all(axis=1)
    if not predictor.predict(rows[finite]).equal(expected.take(finite)):
        raise ModelRefusedError(
            f"The compiled trees of {label} do not predict its input example as scikit-learn does.",
            next_step="Load another version, or train the model again.",
        )
