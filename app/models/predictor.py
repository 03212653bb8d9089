"""Predicts the rows of requests with results that equal the library's exactly.

`app.models.estimator` decides whether a stored model may predict. `app.models.trees` evaluates models of trees.
"""

import logging
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from sklearn.base import is_classifier

from app.errors import FeaturesError, ModelRefusedError
from app.models.answers import Answers
from app.models.artifact import Artifact
from app.models.estimator import Estimator, prove
from app.models.signature import RETRAIN, Columns
from app.models.trees import index_check, kernel
from app.models.trees.flat_model import FlatModel
from app.models.trees.flatten import flatten_model
from app.models.trees.links import CLASSIFIERS, EXACT_LINKS, REGRESSORS
from app.models.trees.proof import MAX_FLOAT32, ROWS, generate_rows

SINGLE_ROWS: Final = 4
"""Rows that are compared one by one too, because numpy may add the classes of a single row in another order."""

EXP_TOLERANCE: Final = 1e-6
"""Allowed difference from answers that another replica recorded, because its processor may round `exp` in another way.
The child that converted the trees compared every bit."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A checked model that predicts the rows of a request, which are a matrix without column names."""

    columns: Columns
    labels: np.ndarray | None
    """Class labels, in the order of the columns of the probabilities; None for a model without classes."""
    gives_probabilities: bool
    """Whether the model gives the probability of each class."""
    answers: tuple[str, ...]
    """Names of the answers that the model gives, as in `Answers`."""
    output_classes: list[list[bool | str | int | float]] = field(default_factory=list)
    """Class labels of each output of a classifier with several outputs; empty for any other model."""
    evaluator: FlatModel | Estimator
    """What computes the predictions: compiled trees, or the model's library."""

    @property
    def flat(self) -> FlatModel | None:
        """The model's trees in compiled form; None if the model's library predicts."""
        return self.evaluator if isinstance(self.evaluator, FlatModel) else None

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
            FeaturesError: Compiled trees got rows of another width, a value that is not finite in their number format,
                or a missing value that their library refuses.
        """
        flat = self.evaluator
        if not isinstance(flat, FlatModel):
            return flat.predict(rows)
        sums = np.empty((len(rows), len(flat.baseline)), dtype=flat.baseline.dtype)
        sums[:] = flat.baseline
        largest = kernel.add_leaves(flat.trees, rows, sums, divisor=flat.divisor, takes_missing=flat.takes_missing)
        if largest is None:
            raise FeaturesError(
                "The rows have another number of columns than the model, or hold a missing or too large number.",
                allowed=f"rows of {len(self.columns)} finite numbers between -{MAX_FLOAT32:.7g} and {MAX_FLOAT32:.7g}",
            )
        if self.labels is None:
            return Answers(predictions=REGRESSORS[flat.link](sums[:, 0]))
        indices, probabilities = CLASSIFIERS[flat.link](sums, largest)
        return Answers(predictions=self.labels[indices], probabilities=probabilities)

    def tree_walks(self, rows: int) -> float:
        """Return how often rows walk down a tree; `inf` when the library predicts, because the cost is unknown."""
        return float("inf") if self.flat is None else rows * self.flat.tree_count


def compile_model(artifact: Artifact, *, label: str) -> Predictor:
    """Check a stored model, compile its trees, and compare its predictions for its input example.

    Args:
        artifact: The stored model.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: The model is damaged, or its predictions differ from those recorded when it was stored.
    """
    estimator = prove(artifact, label=label)
    flat = flatten_model(estimator)
    if flat is not None:
        flat = keep_if_exact(flat, estimator, artifact.example_rows, label=label)
    answers = estimator.predict(artifact.example_rows) if len(artifact.example) else None
    return _predictor(estimator, flat or estimator, estimator.named_answers(answers))


def keep_if_exact(flat: FlatModel, estimator: Estimator, example: np.ndarray, *, label: str) -> FlatModel | None:
    """Return compiled trees if they answer as their library in every bit; otherwise None, and say so in the log.

    Args:
        flat: The trees.
        estimator: The model that they were made of.
        example: Shape (rows, columns): rows to compare beside the generated ones.
        label: Name of the model in the log.

    Raises:
        ModelRefusedError: An index is outside its array.
    """
    if index_check.measure(flat.trees, outputs=len(flat.baseline)) is None:
        raise ModelRefusedError(f"{label} is damaged: a tree has an index outside its arrays.", next_step=RETRAIN)
    predictor = _predictor(estimator, flat, estimator.named_answers(None))
    generated = generate_rows(flat, estimator.columns)
    batches = [example[_is_taken(flat, example)], generated]
    batches += [generated[index : index + 1] for index in range(ROWS - SINGLE_ROWS, ROWS)]
    try:
        if all(predictor.predict(rows).equal(estimator.predict(rows)) for rows in batches if len(rows)):
            return flat
        reason = "a predicted bit differs"
    except Exception as error:  # noqa: BLE001 - the library may refuse generated rows with any exception
        reason = f"the comparison failed: {type(error).__name__}: {error}"
    log.warning("%s is answered by its library, not by compiled trees: %s", label, reason)
    return None


def check_example(predictor: Predictor, rows: np.ndarray, expected: Answers, *, label: str) -> None:
    """Compare the predictions of compiled trees with those of the library; check nothing if the library predicts.

    Args:
        predictor: The predictor.
        rows: Shape (rows, columns). Rows that compiled trees do not take are not compared.
        expected: The answers of the library for all rows.
        label: Name of the model in error messages.

    Raises:
        ModelRefusedError: A prediction differs.
    """
    if predictor.flat is None:
        return
    kernel.compile_for(predictor.flat.trees)
    taken = _is_taken(predictor.flat, rows)
    if not taken.any():
        return
    if not _agree(predictor.predict(rows[taken]), expected.take(taken), predictor.flat):
        raise ModelRefusedError(
            f"The compiled trees of {label} do not predict its input example as its library does.",
            next_step="Load another version, or train the model again.",
        )


def _agree(answers: Answers, expected: Answers, flat: FlatModel) -> bool:
    """Whether answers are equal: in every bit if they are sums and quotients, else up to the rounding of `exp`."""
    if flat.link in EXACT_LINKS:
        return answers.equal(expected)
    if answers.predictions.dtype.kind == "f":
        return bool(np.allclose(answers.predictions, expected.predictions, rtol=EXP_TOLERANCE, atol=0))
    return (
        np.array_equal(answers.predictions, expected.predictions)
        and answers.probabilities is not None
        and expected.probabilities is not None
        and bool(np.allclose(answers.probabilities, expected.probabilities, rtol=EXP_TOLERANCE, atol=EXP_TOLERANCE))
    )


def _predictor(estimator: Estimator, evaluator: FlatModel | Estimator, answers: tuple[str, ...]) -> Predictor:
    model = estimator.model
    return Predictor(
        columns=estimator.columns,
        labels=model.classes_ if is_classifier(model) and not estimator.output_classes else None,
        gives_probabilities=estimator.gives_probabilities,
        answers=answers,
        output_classes=estimator.output_classes,
        evaluator=evaluator,
    )


def _is_taken(flat: FlatModel, rows: np.ndarray) -> np.ndarray:
    """Return which rows compiled trees take."""
    is_taken = (np.abs(rows) <= MAX_FLOAT32) | (np.isnan(rows) & flat.takes_missing)
    return np.asarray(is_taken.all(axis=1))
