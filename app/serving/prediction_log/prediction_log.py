"""The prediction log of a replica: requests add rows and answers, and the replica starts and closes the log."""

import asyncio
from typing import Final

from app.records.log_store import LogStore
from app.serving.prediction_log.buffer import MAX_BUFFER_BYTES, Buffer
from app.serving.prediction_log.feedback import Feedback
from app.serving.prediction_log.writer import LogCounters, LogWriter
from app.settings import Settings


class PredictionLog:
    """Keeps the rows that a replica predicts, and the answers.

    Args:
        store: Stores the files of the log.
        settings: Share of the requests, limit of rows, columns of the rows, and days to keep.
        writer: Name of the replica.
        counters: Counts the rows that are written and dropped; None for no counters.
        max_bytes: See `Buffer`.
    """

    def __init__(
        self,
        store: LogStore,
        settings: Settings,
        *,
        writer: str,
        counters: LogCounters | None = None,
        max_bytes: int = MAX_BUFFER_BYTES,
    ) -> None:
        self.buffer = Buffer(
            max_bytes=max_bytes,
            max_share=settings.prediction_log_share,
            rows_per_second=settings.prediction_log_rows_per_second,
        )
        self.record: Final = self.buffer.record
        """See `Buffer.record`."""
        self.feedback = Feedback(store, writer=writer)
        self._writer = LogWriter(self.buffer, store, settings, writer=writer, counters=counters)

    def start(self) -> None:
        """Start to write."""
        self._writer.start()

    async def close(self) -> None:
        """Write what is left."""
        await asyncio.to_thread(self._writer.close)
