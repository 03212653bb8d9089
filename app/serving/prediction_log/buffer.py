"""The predictions of a replica that are not yet stored, up to a number of bytes."""

import threading
import time
from dataclasses import dataclass, field
from typing import Final, TypeAlias

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


Packed: TypeAlias = bytes | np.ndarray
"""The bytes of an array, or an array of objects."""

Entry: TypeAlias = tuple[str, int, int, Packed, Packed, Packed]
"""One request: its id, when it was answered in milliseconds since 1970, its number of rows, the rows, the predictions,
and the probabilities (no bytes without them). A named tuple would take three times as long to create."""


class Arrays:
    """Arrays with values of one type, joined. To append their bytes costs less than to keep an object for each.

    Args:
        like: An array with the type of the values and the shape of one row.
    """

    def __init__(self, like: np.ndarray) -> None:
        self.dtype: Final = like.dtype
        self._shape = like.shape[1:]
        self._objects: list[np.ndarray] = []
        self._bytes = bytearray()

    def add(self, packed: Packed) -> None:
        """Add the rows of an array. Their shape depends on the version alone."""
        if isinstance(packed, bytes):
            self._bytes += packed
        else:
            self._objects.append(packed)

    def join(self) -> np.ndarray:
        """Return all rows, which later calls of `add` do not change."""
        if self.dtype.hasobject:
            return np.concatenate(self._objects)
        return np.frombuffer(bytes(self._bytes), self.dtype).reshape(-1, *self._shape)


@dataclass(kw_only=True)
class Batch:
    """Predictions of one version in one role, whose arrays have values of the same types.

    A batch holds the fields of the version that the log needs, but not the model. So a model can leave the memory
    before its predictions are stored.
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
    request_ids: list[str] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    """When each request was answered, in milliseconds since 1970."""
    counts: list[int] = field(default_factory=list)
    """Number of rows of each request."""
    size_bytes: int = 0
    row_count: int = 0

    def fits(self, served: ServedModel, role: str, rows: np.ndarray, answers: Answers) -> bool:
        """Whether a prediction belongs to the batch. The shapes of rows and answers depend on the version alone."""
        return (
            self.version is served.version
            and self.role == role
            and self.rows.dtype == rows.dtype
            and self.predictions.dtype == answers.predictions.dtype
            and (self.probabilities is None) == (answers.probabilities is None)
        )

    def add(self, entry: Entry, size_bytes: int) -> None:
        """Add a prediction that fits, which takes about `size_bytes`."""
        request_id, time_ms, count, rows, predictions, probabilities = entry
        self.request_ids.append(request_id)
        self.times_ms.append(time_ms)
        self.counts.append(count)
        self.rows.add(rows)
        self.predictions.add(predictions)
        if self.probabilities is not None:
            self.probabilities.add(probabilities)
        self.size_bytes += size_bytes
        self.row_count += count


@dataclass
class Buffer:
    """Predictions that wait for the writer. Any thread may add one.

    Args:
        max_bytes: Bytes that the predictions may take together, with those that the writer is storing.
    """

    max_bytes: int = MAX_BUFFER_BYTES
    size_bytes: int = 0
    """Bytes of all predictions that are not stored yet."""
    rows: int = 0
    """Rows of the predictions that the writer has not taken yet."""
    held_rows: int = 0
    """Rows of all predictions that are not stored yet."""
    dropped_rows: int = 0
    """Rows that were not logged, since the replica started."""
    _waiting: list[Batch] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        served: ServedModel,
        rows: np.ndarray,
        answers: Answers,
        *,
        request_id: str,
        role: str,
        body_bytes: int,
    ) -> None:
        """Keep a prediction, or count its rows as dropped if the buffer is full.

        Args:
            served: The version that answered.
            rows: Shape (rows, columns).
            answers: The answers of the version.
            request_id: See `app.serving.prediction_log.request_ids`.
            role: Role of the version.
            body_bytes: Size of the request's body.
        """
        count, probabilities = len(rows), answers.probabilities
        size_bytes = ENTRY_BYTES + rows.nbytes + answers.predictions.nbytes
        if rows.dtype.hasobject:
            size_bytes += rows.size * OBJECT_BYTES + body_bytes
        if probabilities is not None:
            size_bytes += probabilities.nbytes
        if self.size_bytes + size_bytes > self.max_bytes:
            self.drop(count)
            return
        entry = (
            request_id,
            time.time_ns() // 1_000_000,
            count,
            pack(rows),
            pack(answers.predictions),
            b"" if probabilities is None else pack(probabilities),
        )
        with self._lock:
            self._find_batch(served, role, rows, answers).add(entry, size_bytes)
            self.size_bytes += size_bytes
            self.rows += count
            self.held_rows += count

    def take(self) -> list[Batch]:
        """Take all predictions. Their bytes count until `release`."""
        with self._lock:
            taken, self._waiting, self.rows = self._waiting, [], 0
        return taken

    def give_back(self, batches: list[Batch]) -> None:
        """Put predictions back that could not be stored."""
        with self._lock:
            self._waiting = batches + self._waiting
            self.rows += sum(batch.row_count for batch in batches)

    def release(self, batch: Batch) -> None:
        """Free the bytes of predictions that were stored, or that no table can hold."""
        with self._lock:
            self.size_bytes -= batch.size_bytes
            self.held_rows -= batch.row_count

    def drop(self, rows: int) -> None:
        """Count rows as dropped."""
        with self._lock:
            self.dropped_rows += rows

    def _find_batch(self, served: ServedModel, role: str, rows: np.ndarray, answers: Answers) -> Batch:
        """Return the batch of a prediction. The last batch is nearly always the right one."""
        for batch in reversed(self._waiting):
            if batch.fits(served, role, rows, answers):
                return batch
        probabilities = answers.probabilities
        batch = Batch(
            version=served.version,
            columns=served.predictor.columns,
            labels=served.predictor.labels,
            role=role,
            rows=Arrays(rows),
            predictions=Arrays(answers.predictions),
            probabilities=None if probabilities is None else Arrays(probabilities),
        )
        self._waiting.append(batch)
        return batch


def pack(array: np.ndarray) -> Packed:
    """Return the bytes of an array, which keep no array alive; the array itself if it holds objects."""
    return array if array.dtype.hasobject else array.tobytes()
