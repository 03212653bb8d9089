"""The thread that writes the predictions of a replica to the store."""

import logging
import threading
import time
from datetime import UTC, date, datetime, timedelta
from typing import Final, Protocol

from app import names
from app.errors import first_line
from app.records.log_files import LogFile
from app.records.log_store import LogStore
from app.serving.event_log import events
from app.serving.prediction_log.batch import Batch
from app.serving.prediction_log.buffer import Buffer
from app.serving.prediction_log.prediction_table import prediction_table
from app.settings import Settings

WRITE_PERIOD_S: Final = 30.0
"""Time between two writes."""

POLL_S: Final = 1.0
"""Time between two checks whether the buffer is half full, which is then written at once."""

CLOSE_TIMEOUT_S: Final = 20.0
"""Maximum time that a replica waits for the last write before it ends."""

log = logging.getLogger(f"{names.SERVING_LOG}.prediction_log")


class LogCounters(Protocol):
    """Counts rows."""

    def record_written(self, rows: int) -> None:
        """Record that rows were written."""

    def record_dropped(self, rows: int) -> None:
        """Record that rows were dropped."""


class LogWriter:
    """Writes the predictions of a buffer to a store, in a thread of its own.

    Args:
        buffer: The predictions.
        store: Where they are written.
        settings: Limit of rows, columns of the rows, and days to keep.
        writer: Name of the replica, which makes the names of its files unique.
        counters: Counts the rows that are written and dropped; None for no counters.
    """

    def __init__(
        self, buffer: Buffer, store: LogStore, settings: Settings, *, writer: str, counters: LogCounters | None = None
    ) -> None:
        self._buffer = buffer
        self._store = store
        self._settings = settings
        self._writer = writer
        self._counters = counters
        self._file_count = 0
        """Number of files, with those that the store refused."""
        self._written_rows = 0
        """Rows that were written since the last report."""
        self._reported_drops = 0
        self._is_failing = False
        self._has_told_limit = False
        self._cleaned_day: date | None = None
        self._write_lock = threading.Lock()
        """Two writes at the same time would store the same predictions twice."""
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Write what is left, and end the thread. Takes `CLOSE_TIMEOUT_S` at most."""
        self._is_ending.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_TIMEOUT_S)
        lost = self._buffer.rows
        if lost:
            log.warning("%d rows of the prediction log are lost, because the replica ends before they are stored", lost)

    def write(self) -> None:
        """Write all waiting predictions. Predictions that the store refuses wait for the next write."""
        try:
            with self._write_lock:
                for batch in self._buffer.batches():
                    self._write_batch(batch)
        except Exception as error:  # noqa: BLE001 - a store raises anything, and no prediction may fail because of it
            if not self._is_failing:
                self._is_failing = True
                log.warning(
                    "the prediction log cannot be written: %s. Up to %d MiB wait for the next try; further rows "
                    "are dropped and counted.",
                    _reason(error),
                    self._buffer.max_bytes // 1024**2,
                )
        else:
            if self._is_failing:
                self._is_failing = False
                log.warning("the prediction log can be written again")
            self._delete_old_days()

    def _run(self) -> None:
        last_s = limited_s = time.monotonic()
        while not self._is_ending.wait(POLL_S):
            if time.monotonic() - last_s < WRITE_PERIOD_S and (self._is_failing or not self._buffer.is_half_full):
                self._join()
            else:
                now_s = time.monotonic()
                self._limit_share(max(now_s - limited_s, WRITE_PERIOD_S))
                self._write_and_count()
                last_s, limited_s = time.monotonic(), now_s
        self._write_and_count()

    def _limit_share(self, seconds: float) -> None:
        share, limit = self._buffer.limit_share(seconds), self._settings.prediction_log_rows_per_second
        if share < self._settings.prediction_log_share and not self._has_told_limit:
            self._has_told_limit = True
            log.info(
                "more than %d rows a second are predicted: the prediction log keeps %.2g %% of the requests, chosen at "
                "random. The share follows the traffic from now on.",
                limit,
                100 * share,
            )

    def _write_and_count(self) -> None:
        try:
            self.write()
            self._report_counts()
        except Exception:  # an unexpected failure of one write must not end the log
            log.exception("a write of the prediction log failed")

    def _join(self) -> None:
        try:
            with self._write_lock:
                self._buffer.join()
        except Exception:  # they still wait, and the next write drops and counts them if it cannot join them either
            log.exception("predictions of the prediction log cannot be joined")

    def _write_batch(self, batch: Batch) -> None:
        settings, version = self._settings, batch.version
        try:
            table = prediction_table(batch, batch.join_all(), kept=settings.prediction_log_columns)
        except Exception:  # an answer of a form that no table holds would stop the log for ever
            log.exception("predictions of %s version %s cannot be logged", version.name, version.version)
            self._buffer.discard(batch)
            return
        self._file_count += 1
        file = LogFile(
            kind="predictions",
            model=version.name,
            version=str(version.version),
            time_ms=time.time_ns() // 1_000_000,
            rows=table.num_rows,
            writer=f"{self._writer}-{self._file_count}",
        )
        self._store.write(file, table)
        self._buffer.delete_joined(batch)
        self._written_rows += file.rows

    def _delete_old_days(self) -> None:
        """Delete the days that are too old, once a day."""
        today = datetime.now(UTC).date()
        if self._cleaned_day == today:
            return
        self._cleaned_day = today
        try:
            self._store.delete_before(today - timedelta(days=self._settings.prediction_log_days))
        except Exception as error:  # noqa: BLE001 - as for a write
            log.warning("old days of the prediction log cannot be deleted until tomorrow: %s", _reason(error))

    def _report_counts(self) -> None:
        """Count the rows that were written and dropped since the last report."""
        written, self._written_rows = self._written_rows, 0
        total = self._buffer.dropped_rows
        dropped, self._reported_drops = total - self._reported_drops, total
        if dropped:
            reason = "the buffer was full, or the log cannot hold them"
            event = events.ROWS_NOT_LOGGED(rows=dropped, reason=reason)
            log.warning("%d rows were answered and not logged: %s", dropped, reason, extra=event)
        if self._counters is not None:
            if written:
                self._counters.record_written(written)
            if dropped:
                self._counters.record_dropped(dropped)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
