"""Predictions of one version in one role, kept with one share of the requests, until they are stored.

The thread that answers only adds each prediction to the end of `Batch.waiting`. The thread that stores them joins the
arrays of many predictions at once, and deletes only at the beginning of that list. Each of these steps is one operation
of a list, which no other thread can interrupt. So neither thread takes a lock.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from mlflow.entities.model_registry import ModelVersion

from app.models.answers import Answers
from app.models.signature import Columns

WAITING_VALUES: Final = 6
"""Number of values of a prediction in `Batch.waiting`."""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions, joined."""

    id_headers: list[bytes]
    """The header with the id of each request, at most `request_ids.MAX_CHARS` long; empty if there was none."""
    times_ms: np.ndarray
    """When each request was answered, in milliseconds since 1970. Shape (requests,)."""
    counts: np.ndarray
    """Number of rows of each request. Shape (requests,)."""
    rows: np.ndarray
    """The rows of all requests. Shape (rows, columns)."""
    answers: Answers
    """The answers to all rows."""
    size_bytes: int
    """Bytes of all of it, roughly."""


@dataclass(kw_only=True, slots=True)
class Batch:
    """Predictions of one version in one role, kept with one share of the requests.

    A batch holds the fields of the version that the log needs, but not the model. So a model can leave the memory
    before its predictions are stored. The shapes of rows and answers, and whether there are probabilities, depend on
    the version alone.
    """

    version: ModelVersion
    columns: Columns
    labels: np.ndarray | None
    """The classes in the order of the probabilities; None for a model without classes."""
    role: str
    share: float
    """Share of the requests that were kept: 0 to 1."""
    row_bytes: int
    """Bytes of one row and its answers, without those of texts."""
    has_text: bool
    """Whether the rows hold texts. Their bytes are about those of the body."""
    waiting: list[Any] = field(default_factory=list)
    """`WAITING_VALUES` values for each prediction, in this order: the header with its id, `Reply.ended_s`, rows,
    predictions, probabilities or None, and its size in bytes, roughly. If each prediction were a tuple, Python would
    collect garbage more often."""
    joined: list[Predictions] = field(default_factory=list)
    """Predictions that are older than those that wait."""

    @property
    def waiting_requests(self) -> int:
        """Number of the predictions that wait."""
        return len(self.waiting) // WAITING_VALUES

    @property
    def waiting_bytes(self) -> int:
        """Bytes of the predictions that wait, roughly."""
        sizes = self.waiting[5::WAITING_VALUES]
        return sum(sizes)

    @property
    def rows(self) -> int:
        """Number of rows of all predictions."""
        arrays = self.waiting[2::WAITING_VALUES]
        waiting = sum(len(rows) for rows in arrays)
        return waiting + sum(len(predictions.rows) for predictions in self.joined)

    def join(self, requests: int) -> None:
        """Join the first of the predictions that wait."""
        values = self.waiting[: requests * WAITING_VALUES]
        id_headers, ended_s, rows, predictions, probabilities, sizes = (
            values[index::WAITING_VALUES] for index in range(WAITING_VALUES)
        )
        clock_start_s = time.time() - time.perf_counter()
        joined = Predictions(
            id_headers=id_headers,
            times_ms=((np.array(ended_s) + clock_start_s) * 1000).astype(np.int64),
            counts=np.array([len(array) for array in rows]),
            rows=_concatenate(rows),
            answers=_join_answers(predictions, probabilities),
            size_bytes=sum(sizes),
        )
        self.joined.append(joined)
        del self.waiting[: len(values)]

    def join_all(self) -> Predictions:
        """Join all predictions. There must be at least one."""
        if self.waiting:
            self.join(self.waiting_requests)
        parts = self.joined
        if len(parts) > 1:
            answers = [part.answers for part in parts]
            joined = Predictions(
                id_headers=[header for part in parts for header in part.id_headers],
                times_ms=np.concatenate([part.times_ms for part in parts]),
                counts=np.concatenate([part.counts for part in parts]),
                rows=_concatenate([part.rows for part in parts]),
                answers=_join_answers(
                    [answer.predictions for answer in answers], [answer.probabilities for answer in answers]
                ),
                size_bytes=sum(part.size_bytes for part in parts),
            )
            self.joined = [joined]
        return self.joined[0]


def _join_answers(predictions: Sequence[np.ndarray], probabilities: Sequence[np.ndarray | None]) -> Answers:
    arrays = [array for array in probabilities if array is not None]
    return Answers(
        predictions=_concatenate(predictions),
        probabilities=_concatenate(arrays) if arrays else None,
    )


def _concatenate(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Join arrays. Values of several types stay what they are: an integer does not become a float."""
    try:
        return np.concatenate(arrays, dtype=arrays[0].dtype, casting="no")
    except TypeError:  # an array has another type than the first one
        return np.concatenate([array.astype(object) for array in arrays])
