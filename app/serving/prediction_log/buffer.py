"""The predictions of a replica that are not yet stored, up to a number of bytes.

Every request adds a prediction. So much other code runs between two requests that the processor's caches hold nothing
of the buffer. So `Buffer.add` calls few functions, looks at few objects, and takes no lock.
"""

import threading
import time
from typing import Any, Final

import numpy as np

from app.models.answers import Answers
from app.serving.loading.served_model import ServedModel
from app.serving.prediction_log.batch import ENTRY_BYTES, Batch, Numbers, empty_like

MAX_BUFFER_BYTES: Final = 64 * 1024**2
"""Maximum number of bytes of rows and answers in a replica. Further predictions are answered and not logged."""


class Buffer:
    """Predictions that wait for the writer. One thread adds them, and another one stores and deletes them.

    Args:
        max_bytes: Bytes that the predictions may take together.
    """

    def __init__(self, max_bytes: int = MAX_BUFFER_BYTES) -> None:
        self.max_bytes = max_bytes
        self.dropped_rows = 0
        """Rows that were not logged, since the replica started."""
        self._added_bytes = 0
        """Bytes of all predictions since the replica started. Only the thread that adds changes it."""
        self._deleted_bytes = 0
        """Bytes of those that are deleted. Only the thread that stores changes it."""
        self._last: Batch | None = None
        """The batch of the last prediction, which is nearly always that of the next one."""
        self._batches: list[Batch] = []
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes of all predictions that are not stored yet."""
        return self._added_bytes - self._deleted_bytes

    @property
    def is_half_full(self) -> bool:
        """Whether the predictions take half of the bytes that they may take."""
        return self.size_bytes >= self.max_bytes / 2

    @property
    def rows(self) -> int:
        """Rows of all predictions that are not stored yet."""
        with self._lock:
            return sum(sum(batch.counts) for batch in self._batches)

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

        Args:
            served: The version that answered.
            rows: Shape (rows, columns).
            answers: The answers of the version.
            id_header: See `request_ids.header_of`.
            role: Role of the version.
            body_bytes: Size of the request's body.
        """
        count = len(rows)
        predictions, probabilities = answers.predictions, answers.probabilities
        batch = self._last
        if (  # `fits` would take longer
            batch is None
            or batch.version is not served.version
            or batch.role != role
            or batch.row_type is not rows.dtype
            or batch.prediction_type is not predictions.dtype
            or (batch.probabilities is None) is not (probabilities is None)
        ):
            batch = self._find_batch(served, role, rows, answers)
        size_bytes = ENTRY_BYTES + count * batch.row_bytes
        if batch.has_text:
            size_bytes += body_bytes
        if self._added_bytes - self._deleted_bytes + size_bytes > self.max_bytes:
            self.drop(count)
            return
        joined: Any = batch.rows
        joined += [rows] if batch.has_text else rows.tobytes()
        joined = batch.predictions
        joined += [predictions] if batch.predicts_objects else predictions.tobytes()
        if probabilities is not None:
            joined = batch.probabilities
            joined += probabilities.tobytes()
        if batch.has_text:
            batch.body_bytes.append(body_bytes)
        batch.id_headers.append(id_header)
        batch.times_ns.append(time.time_ns())
        batch.counts.append(count)
        self._added_bytes += size_bytes

    def batches(self) -> list[Batch]:
        """Return the batches that hold predictions, and forget the others, of versions that no longer answer."""
        with self._lock:
            self._batches = [batch for batch in self._batches if batch.counts or batch is self._last]
            return [batch for batch in self._batches if batch.counts]

    def delete(self, batch: Batch, counts: list[int]) -> None:
        """Delete the first predictions of a batch, which were stored, or which no table can hold.

        Args:
            batch: A batch.
            counts: See `Batch.head`.
        """
        self._deleted_bytes += batch.delete_head(counts)

    def close_batch(self) -> None:
        """Let the next prediction begin a new batch. Must be called if `add` failed.

        The last batch may hold a part of the prediction. The writer ignores it, and nothing may follow it.
        """
        if self._last is not None:
            self._last.is_closed = True
            self._last = None

    def drop(self, rows: int) -> None:
        """Count rows as dropped. Any thread may call it."""
        with self._lock:
            self.dropped_rows += rows

    def _find_batch(self, served: ServedModel, role: str, rows: np.ndarray, answers: Answers) -> Batch:
        with self._lock:
            for batch in reversed(self._batches):
                if batch.fits(served, role, rows, answers):
                    break
            else:
                probabilities = answers.probabilities
                batch = Batch(
                    version=served.version,
                    columns=served.predictor.columns,
                    labels=served.predictor.labels,
                    role=role,
                    rows=empty_like(rows),
                    predictions=empty_like(answers.predictions),
                    probabilities=None if probabilities is None else Numbers(probabilities),
                )
                self._batches.append(batch)
            self._last = batch
            return batch
