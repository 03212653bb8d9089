"""The prediction log of a replica: requests add rows and answers, and the replica starts and closes the log."""

import asyncio
import logging
import random

import numpy as np
from starlette.requests import Request

from app import names
from app.records.log_store import LogStore
from app.serving.model_answer import Reply
from app.serving.prediction_log import request_ids
from app.serving.prediction_log.buffer import Buffer
from app.serving.prediction_log.feedback import Feedback
from app.serving.prediction_log.writer import LogCounters, LogWriter
from app.settings import Settings

log = logging.getLogger(f"{names.SERVING_LOG}.prediction_log")


class PredictionLog:
    """Keeps the rows that a replica predicts, and the answers.

    Args:
        store: Stores the files of the log.
        settings: Share of the requests, columns of the rows, and days to keep.
        writer: Name of the replica.
        counters: Counts the rows that are written and dropped; None for no counters.
    """

    def __init__(
        self, store: LogStore, settings: Settings, *, writer: str, counters: LogCounters | None = None
    ) -> None:
        self.buffer = Buffer()
        self.feedback = Feedback(store, writer=writer)
        self._share = settings.prediction_log_share
        self._writer = LogWriter(self.buffer, store, settings, writer=writer, counters=counters)

    def record(self, request: Request, rows: np.ndarray, reply: Reply, *, role: str, body_bytes: int) -> None:
        """Keep rows and their answers, if the request is in the share that is logged.

        This function never waits and never raises, so that a failure of the log fails no request.

        Args:
            request: The request.
            rows: Shape (rows, columns).
            reply: The answer that is sent.
            role: Role of the version that answered.
            body_bytes: Size of the request's body.
        """
        if self._share < 1 and random.random() >= self._share:  # noqa: S311 - a sample, no secret
            return
        try:
            header = request_ids.header_of(request)
            self.buffer.add(reply.served, rows, reply.answers, id_header=header, role=role, body_bytes=body_bytes)
        except Exception:
            self.buffer.close_batch()
            self.buffer.drop(len(rows))
            log.exception("a prediction cannot be logged")

    def start(self) -> None:
        """Start to write."""
        self._writer.start()

    async def close(self) -> None:
        """Write what is left."""
        await asyncio.to_thread(self._writer.close)
