"""A stored model that is proven to predict, as scikit-learn evaluates it.

`app.models.artifact` decides which stored models may be read. `app.models.predictor` decides what evaluates a model
that serves. This module does not import numba, because the processes that load models need no kernel.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from typing import Final

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.pipeline import Pipeline

from app.errors import ModelRefusedError
from app.models.answers import Answers
from app.models.artifact import Artifact
from app.models.frames import to_frame
from app.models.optional_columns import find_optional
from app.models.signature import RETRAIN, TEXT_TYPES, Columns
from app.models.soundness import check_indices, rebuild_search_trees, use_one_thread

EXAMPLE_TOLERANCE: Final = 1e-9
"""Allowed relative difference from the stored predictions. Trees do not differ at all. Models that use BLAS may differ
in the last bits."""


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """An estimator whose indices were checked."""

    model: BaseEstimator
    columns: Columns
    needs_frames: bool = False
    """Whether the estimator needs a data frame though it has not recorded names of columns."""

    @property
    def gives_probabilities(self) -> bool:
        """Whether the estimator has probabilities."""
        return hasattr(self.model, "predict_proba")

    @property
    def has_classes(self) -> bool:
        """Whether the estimator predicts classes, which `model.classes_` lists."""
        return bool(is_classifier(self.model))

    @property
    def needs_column_names(self) -> bool:
        """Whether the estimator needs a data frame, because it uses the names of the columns."""
        return self.needs_frames or hasattr(self.model, "feature_names_in_") or self.columns.hold_text

    @cached_property
    def gives_std(self) -> bool:
        """Whether the estimator gives the standard deviation of its predictions, as a Gaussian process does."""
        last = self.model.steps[-1][1] if isinstance(self.model, Pipeline) else self.model
        return "return_std" in signature(last.predict).parameters

    @property
    def gives_decision(self) -> bool:
        """Whether the estimator answers the values of its decision function; see `Answers.decision`."""
        return self.has_classes and not self.gives_probabilities and hasattr(self.model, "decision_function")

    @property
    def output_classes(self) -> list[list[bool | str | int | float]]:
        """The class labels of each output of a classifier with several outputs; empty for any other model."""
        classes = getattr(self.model, "classes_", None) if self.has_classes else None
        return [values.tolist() for values in classes] if isinstance(classes, list | tuple) else []

    def named_answers(self, answers: Answers | None) -> tuple[str, ...]:
        """Return the names of the answers that the estimator gives.

        Args:
            answers: Its answers for some rows; None if no row is known.
        """
        if answers is not None:
            return tuple(answers.by_name)
        probabilities = "output_probabilities" if self.output_classes else "probabilities"
        given = {probabilities: self.gives_probabilities, "decision": self.gives_decision, "std": self.gives_std}
        return ("predictions", *(name for name, is_given in given.items() if is_given))

    def predict(self, rows: np.ndarray) -> Answers:
        """Predict rows.

        Args:
            rows: Shape (rows, columns); see `app.models.frames`.
        """
        features = to_frame(rows, self.columns) if self.needs_column_names else rows
        if self.gives_std:
            predictions, std = self.model.predict(features, return_std=True)
            return Answers(predictions=predictions, std=std)
        probabilities = self.model.predict_proba(features) if self.gives_probabilities else None
        return Answers(
            predictions=self.model.predict(features),
            probabilities=None if isinstance(probabilities, list) else probabilities,
            output_probabilities=tuple(probabilities) if isinstance(probabilities, list) else None,
            decision=self.model.decision_function(features) if self.gives_decision else None,
        )


def prove(artifact: Artifact, *, label: str) -> Estimator:
    """Check a stored model, and compare its predictions for its input example with those recorded.

    A model without an input example is not compared.

    Args:
        artifact: The stored model.
        label: Name of the model in error messages.

    Returns:
        The estimator. Its columns say where it takes missing values.

    Raises:
        ModelRefusedError: The model is damaged, cannot predict its input example, or predicts it differently than when
            it was stored.
    """
    estimator = build_estimator(
        artifact.model, artifact.columns, label=label, needs_frames=artifact.storage.needs_frames
    )
    classes = getattr(artifact.model, "classes_", None)
    lists = classes if isinstance(classes, list | tuple) and classes else [classes]
    if estimator.has_classes and not all(isinstance(labels, np.ndarray) and labels.ndim == 1 for labels in lists):
        raise ModelRefusedError(f"{label} is a classifier without a list of classes.", next_step=RETRAIN)
    if not len(artifact.example):
        if artifact.example_predictions:
            raise ModelRefusedError(
                f"{label} has {len(artifact.example_predictions)} predictions for an input example without rows.",
                allowed="an input example with a row for each prediction, or neither",
                next_step=RETRAIN,
            )
        return _without_example(estimator)
    try:
        answers = estimator.predict(artifact.example_rows)
        is_same = _equals_recorded(answers, artifact, label)
    except ModelRefusedError:
        raise
    except Exception as error:
        raise ModelRefusedError(
            f"{label} cannot predict its input example: {type(error).__name__}: {error}",
            next_step="Load another version, or train the model again.",
        ) from error
    if not is_same:
        raise ModelRefusedError(
            f"{label} does not predict its input example as it did when it was stored.",
            next_step="Train and register the model again on this platform, or load another version.",
        )
    columns = find_optional(artifact.columns, artifact.example_rows[:1], estimator.predict)
    return replace(estimator, columns=columns)


def _without_example(estimator: Estimator) -> Estimator:
    """Decide from a row of zeros and empty text, if the model predicts it, which columns are optional.

    A model that does not know the empty text as a category keeps the optional columns of its signature.
    """
    columns = estimator.columns
    values = [["" if column.type in TEXT_TYPES else 0.0 for column in columns]]
    row = np.array(values, dtype=object if columns.hold_text else np.float64)
    try:
        estimator.predict(row)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - an estimator refuses a value with an exception of any type
        return estimator
    return replace(estimator, columns=find_optional(columns, row, estimator.predict))


def build_estimator(model: BaseEstimator, columns: Columns, *, label: str, needs_frames: bool = False) -> Estimator:
    """Make an estimator safe to predict with, and let it predict in one thread.

    Args:
        model: The estimator.
        columns: The columns that it takes.
        label: Name of the model in error messages.
        needs_frames: See `Estimator`.

    Raises:
        ModelRefusedError: The estimator is damaged.
    """
    check_indices(model, label=label)
    rebuild_search_trees(model, label=label)
    if hasattr(model, "n_jobs"):
        model.set_params(n_jobs=1)  # requests already run in parallel, and one job sums the trees in a fixed order
    use_one_thread(model, label=label)
    return Estimator(model=model, columns=columns, needs_frames=needs_frames)


def _equals_recorded(answers: Answers, artifact: Artifact, label: str) -> bool:
    predictions, probabilities = answers.predictions, answers.probabilities
    if predictions.ndim not in (1, 2) or len(predictions) != len(artifact.example):  # rows, or rows and outputs
        raise ModelRefusedError(
            f"{label} gives predictions of shape {predictions.shape} for {len(artifact.example)} rows.",
            allowed="one prediction per row, or one per row and output",
            next_step="Load another version.",
        )
    expected = artifact.example_predictions
    if expected is not None and not _equal_predictions(predictions, expected):
        return False
    expected_probabilities = artifact.example_probabilities
    if expected_probabilities is None:
        return True
    return (
        probabilities is not None
        and probabilities.shape == expected_probabilities.shape
        and np.allclose(probabilities, expected_probabilities, rtol=EXAMPLE_TOLERANCE)
    )


def _equal_predictions(predictions: np.ndarray, expected: list[str | int | float]) -> bool:
    if predictions.dtype.kind == "f":
        numbers = np.array(expected, dtype=np.float64)
        return numbers.shape == predictions.shape and np.allclose(predictions, numbers, rtol=EXAMPLE_TOLERANCE)
    return bool(predictions.tolist() == expected)
