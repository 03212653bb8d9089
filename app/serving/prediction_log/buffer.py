"""The predictions of a replica that are not yet stored, up to a number of bytes."""

import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from mlflow.entities.model_registry import ModelVersion

from app.models.answers import Answers
from app.models.signature import Columns
from app.serving.loading.served_model import ServedModel

MAX_BUFFER_BYTES: Final = 64 * 1024**2
"""Maximum number of bytes of rows and answers in a replica. Further predictions are answered and not logged."""

ENTRY_BYTES: Final = 300
"""Bytes of one request beside its rows and answers, roughly."""

OBJECT_BYTES: Final = 64
"""Bytes of one value of a row with text, roughly, beside the text. A text takes about its bytes in the body."""


class Arrays:
    """Arrays with values of one type, joined. To append their bytes costs less than to keep an object for each.

    `packed` holds the bytes of the arrays, or a list of the arrays if they hold objects.

    Args:
        like: An array with the type of the values and the shape of one row.
    """

    __slots__ = ("_shape", "dtype", "packed")

    def __init__(self, like: np.ndarray) -> None:
        self.dtype: Final = like.dtype
        self.packed: Any = [] if like.dtype.hasobject else bytearray()
        self._shape = like.shape[1:]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row, without those of the objects that it holds."""
        return int(np.prod(self._shape, dtype=int)) * self.dtype.itemsize

    def join(self) -> np.ndarray:
        """Return all rows, which do not change if further ones are added later."""
        if isinstance(self.packed, list):
            return np.concatenate(self.packed)
        return np.frombuffer(bytes(self.packed), self.dtype).reshape(-1, *self._shape)


@dataclass(kw_only=True, slots=True)
class Batch:
    """Predictions of one version in one role, whose arrays have values of the same types.

    A batch holds the fields of the version that the log needs, but not the model. So a model can leave the memory
    before its predictions are stored. The shapes of rows and answers depend on the version alone.
    """

    version: ModelVersion
    columns: Columns
    labels: np.ndarray | None
    """The classes in the order of the probabilities; None for a model without classes."""
    role: str
    rows: Arrays
    predictions: Arrays
    probabilities: Arrays | None
    """None for a model without probabilities."""
    id_headers: list[bytes] = field(default_factory=list)
    """The header with the id of each request; see `app.serving.prediction_log.request_ids`."""
    times_ns: "array[int]" = field(default_factory=lambda: array("q"))
    """When each request was answered, in nanoseconds since 1970."""
    counts: "array[int]" = field(default_factory=lambda: array("q"))
    """Number of rows of each request."""
    row_bytes: int = field(init=False)
    """Bytes of one row and its answers, without those of texts."""
    text_bytes: int = 0
    """Bytes of all texts, roughly."""
    row_count: int = 0

    def __post_init__(self) -> None:
        arrays = (self.rows, self.predictions, self.probabilities)
        self.row_bytes = sum(joined.row_bytes for joined in arrays if joined is not None)

    def fits(self, served: ServedModel, role: str, rows: np.ndarray, answers: Answers) -> bool:
        """Whether a prediction belongs to the batch."""
        return (
            self.version is served.version
            and self.role == role
            and self.rows.dtype == rows.dtype
            and self.predictions.dtype == answers.predictions.dtype
            and (self.probabilities is None) == (answers.probabilities is None)
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of all predictions, roughly."""
        return ENTRY_BYTES * len(self.counts) + self.row_bytes * self.row_count + self.text_bytes


@dataclass
class Buffer:
    """Predictions that wait for the writer. Any thread may add one.

    Args:
        max_bytes: Bytes that the predictions may take together, with those that the writer is storing.
    """

    max_bytes: int = MAX_BUFFER_BYTES
    size_bytes: int = 0
    """Bytes of all predictions that are not stored yet."""
    dropped_rows: int = 0
    """Rows that were not logged, since the replica started."""
    _taken_rows: int = 0
    """Rows that the writer is storing."""
    _last: Batch | None = None
    """The batch of the last prediction, which is nearly always that of the next one."""
    _waiting: list[Batch] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rows(self) -> int:
        """Rows of the predictions that the writer has not taken yet."""
        return sum(batch.row_count for batch in self._waiting)

    @property
    def held_rows(self) -> int:
        """Rows of all predictions that are not stored yet."""
        return self._taken_rows + self.rows

    def add(
        self,
        served: ServedModel,
        rows: np.ndarray,
        answers: Answers,
        *,
        id_header: bytes,
        role: str,
        body_bytes: int,
    ) -> None:
        """Keep a prediction, or count its rows as dropped if the buffer is full.

        Every request calls this function. Between two requests runs so much other code that the processor's caches hold
        nothing of it, so it calls few functions and looks at few objects.

        Args:
            served: The version that answered.
            rows: Shape (rows, columns).
            answers: The answers of the version.
            id_header: See `request_ids.header_of`.
            role: Role of the version.
            body_bytes: Size of the request's body.
        """
        count, row_type = len(rows), rows.dtype
        predictions, probabilities = answers.predictions, answers.probabilities
        with self._lock:
            batch = self._last
            if (  # `fits` would take longer
                batch is None
                or batch.version is not served.version
                or batch.role != role
                or batch.rows.dtype is not row_type
                or batch.predictions.dtype is not predictions.dtype
                or (batch.probabilities is None) != (probabilities is None)
            ):
                batch = self._last = self._find_batch(served, role, rows, answers)
            text_bytes = rows.size * OBJECT_BYTES + body_bytes if row_type.hasobject else 0
            size_bytes = ENTRY_BYTES + count * batch.row_bytes + text_bytes
            if self.size_bytes + size_bytes > self.max_bytes:
                self.dropped_rows += count
                return
            packed_rows = [rows] if row_type.hasobject else rows.tobytes()
            packed_predictions = [predictions] if predictions.dtype.hasobject else predictions.tobytes()
            if batch.probabilities is not None and probabilities is not None:
                batch.probabilities.packed += probabilities.tobytes()
            batch.rows.packed += packed_rows
            batch.predictions.packed += packed_predictions
            batch.id_headers.append(id_header)
            batch.times_ns.append(time.time_ns())
            batch.counts.append(count)
            batch.row_count += count
            batch.text_bytes += text_bytes
            self.size_bytes += size_bytes

    def take(self) -> list[Batch]:
        """Take all predictions. Their bytes count until `release`."""
        with self._lock:
            self._taken_rows += self.rows
            taken, self._waiting, self._last = self._waiting, [], None
        return [batch for batch in taken if batch.row_count]  # the answers of a new batch may not have fitted

    def give_back(self, batches: list[Batch]) -> None:
        """Put predictions back that could not be stored."""
        with self._lock:
            self._waiting = batches + self._waiting
            self._taken_rows -= sum(batch.row_count for batch in batches)

    def release(self, batch: Batch) -> None:
        """Free the bytes of predictions that were stored, or that no table can hold."""
        with self._lock:
            self.size_bytes -= batch.size_bytes
            self._taken_rows -= batch.row_count

    def drop(self, rows: int) -> None:
        """Count rows as dropped."""
        with self._lock:
            self.dropped_rows += rows

    def _find_batch(self, served: ServedModel, role: str, rows: np.ndarray, answers: Answers) -> Batch:
        for batch in reversed(self._waiting):
            if batch.fits(served, role, rows, answers):
                return batch
        batch = Batch(
            version=served.version,
            columns=served.predictor.columns,
            labels=served.predictor.labels,
            role=role,
            rows=Arrays(rows),
            predictions=Arrays(answers.predictions),
            probabilities=None if answers.probabilities is None else Arrays(answers.probabilities),
        )
        self._waiting.append(batch)
        return batch
