"""The predictions of a replica that are not yet stored, up to a number of bytes."""

import logging
import random
import threading
from dataclasses import replace
from typing import Any, Final

import numpy as np
from mlflow.entities.model_registry import ModelVersion
from starlette.requests import Request

from app import names
from app.models.answers import Answers
from app.serving.loading.served_model import ServedModel
from app.serving.model_answer import Reply
from app.serving.prediction_log.batch import Batch
from app.serving.prediction_log.request_ids import HEADER, MAX_CHARS

MAX_BUFFER_BYTES: Final = 64 * 1024**2
"""Maximum number of bytes of rows and answers in a replica. Further predictions are answered and not logged."""

ENTRY_BYTES: Final = 300
"""Bytes of one request beside its rows and answers, roughly: 550 until it is joined with others, and then 100."""

OBJECT_BYTES: Final = 64
"""Bytes of one value of a row with text, roughly, beside the text. A text takes about its bytes in the body."""

JOIN_REQUESTS: Final = 1_000
"""Number of requests whose arrays are joined at a time. For one row each that takes about a millisecond."""


log = logging.getLogger(f"{names.SERVING_LOG}.prediction_log")


class Buffer:
    """Predictions that wait for the writer. One thread adds them, and another one joins, stores and deletes them.

    Args:
        max_bytes: Bytes that the predictions may take together.
        max_share: Share of the requests that are kept at most.
        rows_per_second: Rows that are kept in a second, on average; 0 for no limit. See `limit_share`.
    """

    def __init__(
        self, *, max_bytes: int = MAX_BUFFER_BYTES, max_share: float = 1.0, rows_per_second: float = 0.0
    ) -> None:
        self.max_bytes: Final = max_bytes
        self.dropped_rows = 0
        """Rows that did not fit or could not be kept, since the replica started."""
        self._max_share = max_share
        self._rows_per_second = rows_per_second
        self._predicted_rows = 0
        """Rows that were predicted since the replica started, kept or not. Only the thread that adds changes it."""
        self._limited_rows = 0
        """`_predicted_rows` at the last `limit_share`."""
        self._share = max_share
        """Share of the requests that is kept. Only the thread that stores changes it."""
        self._added_bytes = 0
        """Bytes of all predictions since the replica started. Only the thread that adds changes it."""
        self._limit_bytes = max_bytes
        """`max_bytes` and the bytes of all deleted predictions: the limit of `_added_bytes`. Only the thread that
        stores changes it."""
        self._version: ModelVersion | None = None
        """The version of the last prediction. This field and the next five are copies of those of `_last`."""
        self._role = ""
        self._share_of_last = 0.0
        self._row_bytes = 0
        self._has_text = False
        self._waiting: list[Any] = []
        self._last: Batch | None = None
        """The batch of the last prediction, which is nearly always that of the next one."""
        self._batches: list[Batch] = []
        self._lock = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Bytes of all predictions that are not stored yet."""
        return self._added_bytes + self.max_bytes - self._limit_bytes

    @property
    def is_half_full(self) -> bool:
        """Whether the predictions take half of the bytes that they may take."""
        return self.size_bytes >= self.max_bytes / 2

    @property
    def rows(self) -> int:
        """Rows of all predictions that are not stored yet."""
        with self._lock:
            return sum(batch.rows for batch in self._batches)

    def record(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:
        """Keep rows and their answers, if the request is in the share that is kept.

        Rows that do not fit are counted as dropped. This function never waits and never raises, so that a failure of
        the log fails no request. It runs for each request, and between two of them so much other code runs that the
        processor's caches hold nothing of it. So it calls as few functions and looks at as few objects as possible.

        Args:
            request: The request.
            rows: Shape (rows, columns). Nobody may change them later.
            reply: The answer that is sent. Nobody may change its arrays later.
            role: Role of the version that answered.
            body_bytes: Size of the request's body.
        """
        try:
            self._predicted_rows += len(rows)
            share = self._share
            if share < 1.0 and random.random() >= share:  # noqa: S311 - a sample, no secret
                return
            for name, value in request.scope["headers"]:
                if name == HEADER:
                    id_header = value[:MAX_CHARS]
                    break
            else:
                id_header = b""
            _, _, answers, served, ended_s = reply
            if served.version is not self._version or role != self._role or share != self._share_of_last:
                self._change_batch(served, role, share, rows, answers)
            size_bytes = ENTRY_BYTES + len(rows) * self._row_bytes
            if self._has_text:
                size_bytes += body_bytes
            added_bytes = self._added_bytes + size_bytes
            if added_bytes > self._limit_bytes:
                self.drop(len(rows))
                return
            waiting = self._waiting
            waiting += (id_header, ended_s, rows, answers.predictions, answers.probabilities, size_bytes)
            self._added_bytes = added_bytes
        except Exception:
            self.drop(len(rows))
            log.exception("a prediction cannot be logged")

    def limit_share(self, seconds: float) -> float:
        """Choose the share of the requests that is kept from now on, by the number of rows that were predicted.

        If as many rows are predicted as before, `rows_per_second` of them are kept. A limit of the number instead of a
        share would keep the first requests of each second, and none of the others.

        Args:
            seconds: Time since the last call. A longer time lets bursts pass.

        Returns:
            The share, greater than 0.
        """
        rows = self._predicted_rows - self._limited_rows
        self._limited_rows += rows
        share = self._max_share
        if self._rows_per_second and rows * share > self._rows_per_second * seconds:
            share = self._rows_per_second * seconds / rows
        self._share = share
        return share

    def batches(self) -> list[Batch]:
        """Return the batches that hold predictions, and forget the others, of versions that no longer answer."""
        with self._lock:
            self._batches = [batch for batch in self._batches if batch.waiting or batch.joined or batch is self._last]
            return [batch for batch in self._batches if batch.waiting or batch.joined]

    def join(self) -> None:
        """Join the arrays of `JOIN_REQUESTS` predictions at a time, as long as so many wait.

        Joined predictions take less memory.
        """
        for batch in self.batches():
            for _ in range(batch.waiting_requests // JOIN_REQUESTS):
                batch.join(JOIN_REQUESTS)

    def delete_joined(self, batch: Batch) -> None:
        """Delete the joined predictions of a batch, which were stored."""
        self._limit_bytes += sum(predictions.size_bytes for predictions in batch.joined)
        batch.joined.clear()

    def discard(self, batch: Batch) -> None:
        """Delete all predictions of a batch, which no table can hold, and count their rows as dropped."""
        lost = replace(batch, waiting=batch.waiting.copy())
        self.drop(lost.rows)
        self._limit_bytes += lost.waiting_bytes
        del batch.waiting[: len(lost.waiting)]
        self.delete_joined(batch)

    def drop(self, rows: int) -> None:
        """Count rows as dropped. Any thread may call it."""
        with self._lock:
            self.dropped_rows += rows

    def _change_batch(self, served: ServedModel, role: str, share: float, rows: np.ndarray, answers: Answers) -> None:
        with self._lock:
            for batch in reversed(self._batches):
                if batch.version is served.version and batch.role == role and batch.share == share:
                    break
            else:
                batch = Batch(
                    version=served.version,
                    columns=served.predictor.columns,
                    labels=served.predictor.labels,
                    role=role,
                    share=share,
                    row_bytes=_row_bytes(rows) + _row_bytes(answers.predictions) + _row_bytes(answers.probabilities),
                    has_text=rows.dtype.hasobject,
                )
                self._batches.append(batch)
            self._last, self._waiting = batch, batch.waiting
            self._row_bytes, self._has_text = batch.row_bytes, batch.has_text
            self._version, self._role, self._share_of_last = batch.version, role, share


def _row_bytes(array: np.ndarray | None) -> int:
    """Bytes of one row of an array, roughly."""
    if array is None:
        return 0
    return int(np.prod(array.shape[1:], dtype=int)) * (OBJECT_BYTES if array.dtype.hasobject else array.itemsize)
