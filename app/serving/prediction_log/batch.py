"""Predictions of one version in one role, joined, and the copies of them that are stored.

The thread that adds predictions only appends to the lists and bytearrays of a batch, to `Batch.counts` last. The thread
that stores them looks at `counts` first, so it sees whole requests, and it deletes only at the beginning. Each of these
steps is one operation of a list or a bytearray, which no other thread can interrupt. So neither thread takes a lock.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from mlflow.entities.model_registry import ModelVersion

from app.models.answers import Answers
from app.models.signature import Columns
from app.serving.loading.served_model import ServedModel

ENTRY_BYTES: Final = 300
"""Bytes of one request beside its rows and answers, roughly."""

OBJECT_BYTES: Final = 64
"""Bytes of one value of a row with text, roughly, beside the text. A text takes about its bytes in the body."""


class Numbers(bytearray):
    """The bytes of arrays with numbers, joined. That takes less memory and time than an object for each array.

    Args:
        like: An array with the type of the values and the shape of one row.
    """

    def __init__(self, like: np.ndarray) -> None:
        super().__init__()
        self.dtype: Final = like.dtype
        self._shape = like.shape[1:]
        self.row_bytes: Final = int(np.prod(self._shape, dtype=int)) * self.dtype.itemsize
        """Bytes of one row."""

    def head(self, *, requests: int, rows: int) -> np.ndarray:  # noqa: ARG002 - see `Objects`
        """Copy the arrays of the first requests, joined."""
        return np.frombuffer(self[: rows * self.row_bytes], self.dtype).reshape(rows, *self._shape)

    def delete_head(self, *, requests: int, rows: int) -> None:  # noqa: ARG002
        """Delete the arrays of the first requests."""
        del self[: rows * self.row_bytes]


class Objects(list[np.ndarray]):
    """Arrays that hold objects.

    Args:
        like: An array with the shape of one row.
    """

    def __init__(self, like: np.ndarray) -> None:
        super().__init__()
        self.dtype: Final = like.dtype
        self.row_bytes: Final = int(np.prod(like.shape[1:], dtype=int)) * OBJECT_BYTES

    def head(self, *, requests: int, rows: int) -> np.ndarray:  # noqa: ARG002 - see `Numbers`
        """Join the arrays of the first requests."""
        return np.concatenate(self[:requests])

    def delete_head(self, *, requests: int, rows: int) -> None:  # noqa: ARG002
        """Delete the arrays of the first requests."""
        del self[:requests]


def empty_like(like: np.ndarray) -> Numbers | Objects:
    """Return a container without arrays, for arrays whose values and rows are like those of an array."""
    return Objects(like) if like.dtype.hasobject else Numbers(like)


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What one version answered in one role."""

    version: ModelVersion
    columns: Columns
    labels: np.ndarray | None
    """The classes in the order of the probabilities; None for a model without classes."""
    role: str
    id_headers: list[bytes]
    """The header with the id of each request; see `app.serving.prediction_log.request_ids`."""
    times_ns: list[int]
    """When each request was answered, in nanoseconds since 1970."""
    counts: list[int]
    """Number of rows of each request."""
    rows: np.ndarray
    """The rows of all requests. Shape (rows, columns)."""
    answers: Answers
    """The answers to all rows."""


@dataclass(kw_only=True, slots=True)
class Batch:
    """Predictions of one version in one role, whose arrays have values of the same types.

    A batch holds the fields of the version that the log needs, but not the model. So a model can leave the memory
    before its predictions are stored. The shapes of rows and answers depend on the version alone.
    """

    version: ModelVersion
    columns: Columns
    labels: np.ndarray | None
    """See `Predictions`."""
    role: str
    rows: Numbers | Objects
    predictions: Numbers | Objects
    probabilities: Numbers | None
    """None for a model without probabilities."""
    id_headers: list[bytes] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    body_bytes: list[int] = field(default_factory=list)
    """Size of the body of each request, if the rows hold objects."""
    row_type: np.dtype = field(init=False)
    prediction_type: np.dtype = field(init=False)
    row_bytes: int = field(init=False)
    """Bytes of one row and its answers, without those of texts."""
    has_text: bool = field(init=False)
    """Whether the rows hold objects."""
    predicts_objects: bool = field(init=False)
    is_closed: bool = False
    """Whether nothing more may be added."""

    def __post_init__(self) -> None:
        self.row_type, self.prediction_type = self.rows.dtype, self.predictions.dtype
        self.has_text, self.predicts_objects = self.row_type.hasobject, self.prediction_type.hasobject
        self.row_bytes = sum(joined.row_bytes for joined in self._joined())

    def fits(self, served: ServedModel, role: str, rows: np.ndarray, answers: Answers) -> bool:
        """Whether a prediction belongs to the batch."""
        return (
            not self.is_closed
            and self.version is served.version
            and self.role == role
            and self.row_type == rows.dtype
            and self.prediction_type == answers.predictions.dtype
            and (self.probabilities is None) == (answers.probabilities is None)
        )

    def head(self, counts: list[int]) -> Predictions:
        """Copy the first predictions.

        Args:
            counts: Copy of `counts`, or of its beginning: the number of rows of each prediction.
        """
        requests, rows = len(counts), sum(counts)
        probabilities = self.probabilities
        return Predictions(
            version=self.version,
            columns=self.columns,
            labels=self.labels,
            role=self.role,
            id_headers=self.id_headers[:requests],
            times_ns=self.times_ns[:requests],
            counts=counts,
            rows=self.rows.head(requests=requests, rows=rows),
            answers=Answers(
                predictions=self.predictions.head(requests=requests, rows=rows),
                probabilities=None if probabilities is None else probabilities.head(requests=requests, rows=rows),
            ),
        )

    def delete_head(self, counts: list[int]) -> int:
        """Delete the first predictions.

        Args:
            counts: See `head`.

        Returns:
            Their bytes, roughly.
        """
        requests, rows = len(counts), sum(counts)
        size_bytes = ENTRY_BYTES * requests + self.row_bytes * rows + sum(self.body_bytes[:requests])
        for joined in self._joined():
            joined.delete_head(requests=requests, rows=rows)
        for values in (self.id_headers, self.times_ns, self.body_bytes, self.counts):
            del values[:requests]
        return size_bytes

    def _joined(self) -> list[Numbers | Objects]:
        return [joined for joined in (self.rows, self.predictions, self.probabilities) if joined is not None]
