"""Stores the labels of predictions in the prediction log.

Labels that arrive within `WRITE_PERIOD_S`, or while earlier labels are being stored, share one file. Each request waits
until its labels are stored.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from typing import Annotated, Final

import pyarrow as pa
from pydantic import BeforeValidator, ConfigDict, Field

from app import names
from app.errors import OverloadedError, PlatformError, first_line
from app.records import log_files, tables
from app.records.log_files import FEEDBACK_SCHEMA, NO_VERSION, LogFile
from app.records.log_store import LogStore
from app.serving.prediction_log.request_ids import shortened as shortened_id
from app.serving.requests.row_errors import shortened
from app.serving.schemas import Message

MAX_LABELS: Final = 10_000
"""Maximum number of labels in one request."""

MAX_WAITING_LABELS: Final = 100_000
"""Maximum number of labels that one replica has not stored yet; further requests get 503."""

WRITE_PERIOD_S: Final = 0.2
"""Minimum time between two files."""

STORE_TIMEOUT_S: Final = 30.0
"""How long a request waits until its labels are stored."""

log = logging.getLogger(f"{names.SERVING_LOG}.prediction_log")


def _to_integer(value: object) -> object:
    """Return a number without decimals, which JSON may write as `1.0`, as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class RowLabel(Message):
    """The true value of one row that was predicted."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    request_id: Annotated[str, Field(min_length=1)]
    """Header `X-Request-Id` of the answer."""
    row: Annotated[int, Field(ge=0, le=10_000_000), BeforeValidator(_to_integer)] = 0
    """Index of the row in the request, from 0."""
    label: bool | int | float | Annotated[str, Field(max_length=1000)]
    """The true class or number."""


class FeedbackRequest(Message):
    """Labels of rows that were predicted."""

    labels: Annotated[list[RowLabel], Field(min_length=1, max_length=MAX_LABELS)]


class FeedbackResponse(Message):
    """How many labels were stored."""

    stored: int
    """Number of labels. They are matched with predictions when the log is read."""


class Feedback:
    """Stores labels.

    Args:
        store: The store of the prediction log.
        writer: Name of the replica, which makes the names of its files unique.
    """

    def __init__(self, store: LogStore, *, writer: str) -> None:
        self._store = store
        self._writer = writer
        self._waiting: list[RowLabel] = []
        self._held = 0
        """Number of labels that are not stored yet."""
        self._next_write: asyncio.Task[None] | None = None
        """Writes the waiting labels; None if no labels wait."""
        self._writing = asyncio.Lock()
        self._last_write_s = -WRITE_PERIOD_S

    async def add(self, labels: Sequence[RowLabel]) -> None:
        """Store labels.

        Raises:
            OverloadedError: Too many labels wait already.
            PlatformError: The store refuses the labels, or does not answer in time.
        """
        if self._held + len(labels) > MAX_WAITING_LABELS:
            raise OverloadedError(
                "Too many labels wait to be stored.",
                allowed=f"{MAX_WAITING_LABELS} labels",
                next_step="Send the request again after the time in the header Retry-After.",
            )
        self._waiting += labels
        self._held += len(labels)
        if self._next_write is None:
            self._next_write = asyncio.create_task(self._write())
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await asyncio.shield(self._next_write)
        except TimeoutError as error:
            raise _not_stored(f"no answer in {STORE_TIMEOUT_S:g} s") from error

    async def _write(self) -> None:
        """Write the labels that wait. One file at a time, so that a store that hangs holds one thread."""
        async with self._writing:
            await asyncio.sleep(max(0.0, self._last_write_s + WRITE_PERIOD_S - time.monotonic()))
            labels, self._waiting, self._next_write = self._waiting, [], None
            self._last_write_s = time.monotonic()
            try:
                await asyncio.to_thread(self._put, labels)
            except Exception as error:  # a store raises anything
                log.warning("%d labels cannot be stored: %s: %s", len(labels), type(error).__name__, first_line(error))
                raise _not_stored(shortened(str(error))) from error
            finally:
                self._held -= len(labels)

    def _put(self, labels: Sequence[RowLabel]) -> None:
        time_ms = time.time_ns() // 1_000_000
        columns = {
            log_files.REQUEST_ID: [shortened_id(label.request_id) for label in labels],
            log_files.ROW: [label.row for label in labels],
            log_files.TIME: [time_ms] * len(labels),
            tables.LABEL: [json.dumps(label.label) for label in labels],
        }
        file = LogFile(
            kind="feedback",
            model=NO_VERSION,
            version=NO_VERSION,
            time_ms=time_ms,
            rows=len(labels),
            writer=self._writer,
        )
        self._store.write(file, pa.table(columns, schema=FEEDBACK_SCHEMA))


def _not_stored(reason: str) -> PlatformError:
    return PlatformError(
        f"The labels cannot be stored: {reason}",
        next_step="Send the labels again later. A label that is stored twice counts once.",
    )
