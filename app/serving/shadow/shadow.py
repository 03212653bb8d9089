"""The shadow of one replica: it answers copies of requests in a thread of its own, after their answers were sent."""

import logging
import math
import queue
import random
import threading
import time
from contextlib import suppress
from typing import Final, NamedTuple

import numpy as np
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.responses import Response

from app import names
from app.models.answers import Answers
from app.serving import model_answer
from app.serving.loading.served_model import ServedModel
from app.serving.measures.measures import SHADOW, Measures
from app.serving.protocols import rows as rows_protocol
from app.serving.protocols.wire import Exchange
from app.serving.shadow.comparison import Comparer, Comparison, incomparable

log = logging.getLogger(names.SERVING_LOG)

MAX_WAITING: Final = 32
"""Copies that wait for the thread. Further ones are dropped."""

MAX_ROWS: Final = 1_000
"""Maximum rows of a copy. The copy of a larger request has rows at even distances."""

MAX_VALUES: Final = 100_000
"""Values of a copy, which bounds the memory of all copies that wait to 26 MB of numbers."""

PAUSE_FACTOR: Final = 3.0
"""After each copy, the thread pauses for this many times the processor time of the copy. The thread holds Python's
lock while it computes, and requests wait for that lock."""


class _Copy(NamedTuple):
    """A request that the shadow answers again."""

    rows: np.ndarray
    """Shape (rows, columns)."""
    answers: Answers
    """What the champion answered."""
    comparer: Comparer


class Shadow:
    """A version that answers copies of requests.

    Args:
        served: The version.
        share: Share of the requests that are copied, between 0 and 1.
        keeps_rows: Whether rows may be kept and shown.
        measures: Counts what the version does.
    """

    def __init__(self, served: ServedModel, *, share: float, keeps_rows: bool, measures: Measures) -> None:
        self.served = served
        self.share = share
        self.trouble = ""
        """Why the answers cannot be compared with those of the champion; empty if they can."""
        self._keeps_rows = keeps_rows
        self._tally = measures.tally(served, SHADOW)
        self._champion: tuple[str, str] | None = None
        """The champion that `_comparer` compares with."""
        self._comparer: Comparer | None = None
        self._copies: queue.Queue[_Copy | None] = queue.Queue(MAX_WAITING)
        self._is_stopped = threading.Event()
        # A model that never answers must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def comparison(self) -> Comparison | None:
        """The counts so far; None before the first copy."""
        return None if self._comparer is None else self._comparer.snapshot()

    def watch(self, exchange: Exchange, champion: ServedModel, rows: np.ndarray, *, is_large: bool) -> Exchange:
        """Return an exchange that copies the request and the champion's answer, after the answer was sent.

        Args:
            exchange: Reads and answers the request. The returned exchange reads and answers it in the same way.
            champion: The champion.
            rows: Shape (rows, columns).
            is_large: Whether the body is large, so that its texts may be too large to wait for the thread.
        """
        is_chosen = self.share >= 1 or random.random() < self.share  # noqa: S311 - a sample, no secret
        if not is_chosen or (is_large and rows.dtype.hasobject):
            return exchange

        def write(answers: Answers, served: ServedModel) -> Response:
            response = exchange.write(answers, served)
            if served is champion:
                copy = BackgroundTask(self._copy, champion, rows, answers)
                response.background = BackgroundTasks([response.background, copy]) if response.background else copy
            return response

        return Exchange(form=exchange.form, read=exchange.read, write=write)

    def stop(self) -> None:
        """End the thread after the copy that it answers. Copies that wait are forgotten."""
        self._is_stopped.set()
        with suppress(queue.Full):  # then the thread does not wait for a copy, so it sees that it is stopped
            self._copies.put_nowait(None)

    async def _copy(self, champion: ServedModel, rows: np.ndarray, answers: Answers) -> None:
        """Give a copy to the thread, or drop it. The answer was sent already, so nothing may fail here."""
        try:
            comparer = self._comparer_with(champion)
            if comparer is None or self._is_stopped.is_set():
                return
            if self._copies.full():
                comparer.add_dropped()
                return
            most = max(1, min(MAX_ROWS, MAX_VALUES // max(1, rows.shape[1])))
            is_taken = np.zeros(len(rows), dtype=bool)
            is_taken[:: math.ceil(len(rows) / most)] = True
            self._copies.put_nowait(_Copy(rows[is_taken], answers.take(is_taken), comparer))
        except Exception:  # a failure to copy is no failure of the request
            log.exception("a request cannot be copied for the shadow")

    def _comparer_with(self, champion: ServedModel) -> Comparer | None:
        """Return what compares with a champion; None if the two versions cannot be compared."""
        if self._champion != champion.key:
            self._champion = champion.key
            self.trouble = incomparable(champion.predictor, self.served.predictor)
            self._comparer = (
                None
                if self.trouble
                else Comparer.of_versions(champion, self.served, keeps_rows=self._keeps_rows, now_s=time.time())
            )
        return self._comparer

    def _run(self) -> None:
        """Answer copies until the shadow is stopped."""
        while True:
            copy = self._copies.get()
            if copy is None or self._is_stopped.is_set():
                return
            start_s = time.thread_time()
            try:
                self._answer(copy)
            except Exception:  # the next copy may be compared
                log.exception("the answers of the shadow cannot be compared")
            self._is_stopped.wait(PAUSE_FACTOR * (time.thread_time() - start_s))

    def _answer(self, copy: _Copy) -> None:
        try:
            reply = model_answer.answer(self.served, copy.rows, rows_protocol.JSON, self._tally.bins)
        except Exception as error:  # noqa: BLE001 - a model may raise anything
            self._tally.add_error(is_of_client=False)
            copy.comparer.add_error(error)
            return
        self._tally.add(reply.answered)
        copy.comparer.add(copy.rows, copy.answers, reply.answers, seconds=reply.answered.seconds)
