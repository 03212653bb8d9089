"""Answers a request during a rollout. If the challenger fails, the champion answers the same request."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore
from typing import Final

import numpy as np

from app import names
from app.errors import MantaError
from app.serving import model_answer
from app.serving.event_log import events
from app.serving.measures.measures import CHALLENGER as CHALLENGER_ROLE
from app.serving.measures.measures import Measures
from app.serving.model_answer import Reply
from app.serving.protocols.wire import Exchange
from app.serving.rollout.counts import CHALLENGER, Assignment
from app.serving.rollout.split import Split

log = logging.getLogger(names.SERVING_LOG)

MAX_WAITING_PER_THREAD: Final = 2
"""Requests that wait for a thread of the challenger. The champion answers further ones, which count for neither."""

LOG_INTERVAL_S: Final = 10.0
"""Shortest time between two log lines about failures of the challenger."""


class ChallengerTrial:
    """Runs the challenger, in threads of its own, so that a slow challenger takes no thread of the champion.

    Args:
        measures: Counts what the challenger does.
        threads: Number of threads.
        max_inline_walks: Walks of a row down a tree that run on the event loop.
    """

    def __init__(self, measures: Measures, *, threads: int, max_inline_walks: float) -> None:
        self._measures = measures
        self._max_inline_walks = max_inline_walks
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="challenger")
        self._places = BoundedSemaphore(threads * (1 + MAX_WAITING_PER_THREAD))
        self._next_log_s = 0.0

    async def answer(
        self,
        split: Split,
        headers: Mapping[str, str],
        rows: np.ndarray,
        exchange: Exchange,
        champion: Callable[[], Awaitable[Reply]],
    ) -> Reply:
        """Answer a request with the version that the split assigns.

        Args:
            split: The rollout.
            headers: Headers of the request.
            rows: Shape (rows, columns).
            exchange: Writes the answer.
            champion: Answers with the champion, and counts in its tally what it did.
        """
        assignment = split.assign(headers)
        if assignment.side != CHALLENGER:
            try:
                reply = await champion()
            except Exception as error:
                if not _is_of_request(error):
                    split.add_error(assignment, rows=len(rows))
                raise
            split.add_answer(assignment, rows=len(rows), seconds=reply.answered.seconds)
            split.remember(assignment, headers, reply.answers)
            return reply
        is_inline = split.challenger.predictor.tree_walks(len(rows)) <= self._max_inline_walks
        if not is_inline and not self._places.acquire(blocking=False):
            return await champion()
        tally = self._measures.tally(split.challenger, CHALLENGER_ROLE)
        try:
            run = partial(model_answer.answer, split.challenger, rows, exchange, tally.bins)
            reply = run() if is_inline else await self._in_thread(run, split.timeout_s)
        except Exception as error:  # noqa: BLE001 - whatever the challenger raises, the champion answers
            return await self._answer_instead(split, assignment, error, len(rows), champion)
        tally.add(reply.answered)
        split.add_answer(assignment, rows=len(rows), seconds=reply.answered.seconds)
        split.remember(assignment, headers, reply.answers)
        return reply

    async def _in_thread(self, run: Callable[[], Reply], timeout_s: float) -> Reply:
        """Let the challenger answer in a thread, whose place is taken already.

        Raises:
            TimeoutError: It takes too long. Its thread goes on, and keeps the place.
        """
        future = self._executor.submit(run)
        future.add_done_callback(lambda _: self._places.release())
        async with asyncio.timeout(timeout_s):
            return await asyncio.wrap_future(future)

    async def _answer_instead(
        self,
        split: Split,
        assignment: Assignment,
        error: Exception,
        rows: int,
        champion: Callable[[], Awaitable[Reply]],
    ) -> Reply:
        """Let the champion answer after a failure of the challenger, and count the failure.

        It does not count if the champion refuses the rows too, or needs more time than the challenger had.
        """
        start_s = time.monotonic()
        try:
            reply = await champion()
        except Exception as champion_error:
            if not _is_of_request(champion_error):
                self._count_failure(split, assignment, error, rows, champion_s=time.monotonic() - start_s)
            raise
        self._count_failure(split, assignment, error, rows, champion_s=time.monotonic() - start_s)
        return reply

    def _count_failure(
        self, split: Split, assignment: Assignment, error: Exception, rows: int, *, champion_s: float
    ) -> None:
        """Count a failure of the challenger, unless the champion too needed more time than the challenger had."""
        if isinstance(error, TimeoutError) and champion_s > split.timeout_s:
            return
        split.add_error(assignment, rows=rows)
        self._measures.tally(split.challenger, CHALLENGER_ROLE).add_error(is_of_client=False)
        self._log(split, error)

    def _log(self, split: Split, error: Exception) -> None:
        if time.monotonic() >= self._next_log_s:
            self._next_log_s = time.monotonic() + LOG_INTERVAL_S
            name, version = split.challenger.key
            reason = f"no answer in {split.timeout_s:g} s" if isinstance(error, TimeoutError) else repr(error)
            event = events.CHALLENGER_FAILED(model=name, version=version, role=CHALLENGER_ROLE, reason=reason)
            log.warning("the champion answers in place of %s version %s: %s", name, version, reason, extra=event)


def _is_of_request(error: Exception) -> bool:
    """Whether an error says nothing about the version: the rows are unusable, or the replica is overloaded."""
    return isinstance(error, MantaError)
