"""Answers a prediction request: reads the body, runs the model, writes the answer.

Small requests are answered on the event loop. Everything that could take longer runs in a thread or in a process, and
needs a place. `app.serving.protocols` decides the form of bodies and answers, `app.serving.routes` the paths of the
API, and `app.serving.error_responses` the form of its errors.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Final, ParamSpec, TypeVar

import numpy as np
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.errors import MantaError, OverloadedError
from app.serving import model_answer
from app.serving.event_log.drops import DropLog
from app.serving.loading.served_model import ServedModel
from app.serving.measures.measures import CHALLENGER, Measures
from app.serving.model_answer import Reply
from app.serving.model_source import ModelSource
from app.serving.prediction_log.prediction_log import PredictionLog
from app.serving.protocols.wire import Exchange, Wire
from app.serving.requests import body
from app.serving.requests.admission import BodyCharge, ByteBudget, Places
from app.serving.requests.deadlines import Deadlines
from app.serving.requests.json_readers import JsonReaders
from app.serving.requests.limits import SMALL_BODY_BYTES, RequestLimits
from app.serving.rollout.trial import ChallengerTrial
from app.serving.tracing.trace import UNTRACED, Trace, Tracer

MAX_INLINE_TREE_WALKS: Final = 100_000
"""Walks of a row down a tree that run on the event loop: about a millisecond. Larger batches run in a thread."""

Args = ParamSpec("Args")
Result = TypeVar("Result")


class PredictionHandler:
    """Handles prediction requests.

    Args:
        limits: What the replica accepts.
        threads: Number of large batches that run at the same time, and of large JSON bodies that are read at the same
            time. Small batches run on the event loop.
        measures: Counts what each version does.
        log: Keeps rows and answers; None for no log.
        tracer: Records traces of requests; None for no traces.
    """

    def __init__(
        self,
        *,
        limits: RequestLimits,
        threads: int,
        measures: Measures,
        log: PredictionLog | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._limits = limits
        self._log = log
        self._tracer = tracer
        self._measures = measures
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._readers = JsonReaders(processes=threads)
        self._deadlines = Deadlines(limits.body_timeout_s)
        self._trial = ChallengerTrial(measures, threads=threads, max_inline_walks=MAX_INLINE_TREE_WALKS)
        self.budget = ByteBudget(limits.held_bytes)
        """The bytes of larger bodies that requests hold at present."""
        self._drops = DropLog()
        self.places = Places(ongoing=limits.ongoing, queued=limits.queued)
        """The places of predictions outside of the event loop."""

    async def handle(self, request: Request, model: ModelSource, wire: Wire) -> Response:
        """Answer a request.

        Args:
            request: The request.
            model: Gives the version that answers.
            wire: The protocol of the request.

        Raises:
            MantaError: The body cannot be used, no model is served, or the replica is overloaded.
        """
        if self._tracer is None:
            return await self._handle(request, model, wire, UNTRACED)
        with self._tracer.trace(request) as trace:
            return await self._handle(request, model, wire, trace)

    async def _handle(self, request: Request, model: ModelSource, wire: Wire, trace: Trace) -> Response:
        charge = BodyCharge(self.budget)
        served = None
        try:
            trace.add(model=model.name, role=model.role)
            with trace.step("receive the body"):
                content, content_type = await body.read(
                    request,
                    max_bytes=self._limits.body_bytes,
                    deadlines=self._deadlines,
                    content_types=wire.content_types,
                    charge=charge,
                )
            with trace.step("wait for the version"):
                served = await model.require()
            trace.add(version=served.key[1])
            exchange = wire.begin(request, content, content_type, served)
            size = len(content)
            if size > SMALL_BODY_BYTES:
                async with self.places:
                    with trace.step("read the rows"):
                        rows = await self._read_large(content, exchange, served)
                    del content
                    return await self._answer(request, model, served, rows, exchange, body_bytes=size, trace=trace)
            with trace.step("read the rows"):
                rows = exchange.read(content, schema=served.row_schema, max_rows=self._limits.rows)
            return await self._answer(request, model, served, rows, exchange, body_bytes=size, trace=trace)
        except Exception as error:
            measures = self._measures
            tally = measures.tally(served, model.role) if served else measures.unserved(model.name, model.role)
            tally.add_error(is_of_client=_is_of_client(error))
            if isinstance(error, OverloadedError):
                self._drops.add(error)
            raise
        finally:
            charge.release()

    async def _answer(
        self,
        request: Request,
        model: ModelSource,
        served: ServedModel,
        rows: np.ndarray,
        exchange: Exchange,
        *,
        body_bytes: int,
        trace: Trace,
    ) -> Response:
        """Answer with the version, or during a rollout perhaps with the challenger, and log the answer."""
        split, role = model.split, model.role
        trace.add(rows=len(rows))
        has_place = body_bytes > SMALL_BODY_BYTES
        for shadow in (model.shadow, split.comparison if split else None):
            if shadow is not None:
                exchange = shadow.watch(exchange, served, rows, is_large=has_place)
        champion = partial(self._predict, served, role, rows, exchange, has_place=has_place)
        with trace.step("predict"):
            if split is None:
                reply = await champion()
            else:
                reply = await self._trial.answer(split, request.headers, rows, exchange, champion)
        if split is not None and reply.served is split.challenger:
            role = CHALLENGER
            trace.add(version=reply.served.key[1], role=role)
        if self._log is not None:
            self._log.record(request, rows, reply, role, body_bytes)
        return reply.response

    async def _predict(
        self, served: ServedModel, role: str, rows: np.ndarray, exchange: Exchange, *, has_place: bool
    ) -> Reply:
        """Predict with a version, and count what it did.

        Args:
            served: The version.
            role: See `Role`.
            rows: Shape (rows, columns).
            exchange: Writes the answer.
            has_place: Whether the request has a place and so has to run in a thread.
        """
        tally = self._measures.tally(served, role)
        if has_place:
            reply = await self._in_thread(model_answer.answer, served, rows, exchange, tally.bins)
        elif served.predictor.tree_walks(len(rows)) <= MAX_INLINE_TREE_WALKS:
            reply = model_answer.answer(served, rows, exchange, tally.bins)
        else:
            async with self.places:
                reply = await self._in_thread(model_answer.answer, served, rows, exchange, tally.bins)
        tally.add(reply.answered)
        return reply

    async def close(self) -> None:
        """End the processes that read large bodies."""
        await self._readers.close()

    async def _read_large(self, content: bytes | bytearray, exchange: Exchange, served: ServedModel) -> np.ndarray:
        schema, max_rows = served.row_schema, self._limits.rows
        if exchange.form is None:
            return await self._in_thread(exchange.read, content, schema=schema, max_rows=max_rows)
        return await self._readers.read(content, schema=schema, max_rows=max_rows, form=exchange.form)

    async def _in_thread(self, function: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*args, **kwargs))


def _is_of_client(error: Exception) -> bool:
    """Whether the client has to correct a request that failed."""
    if isinstance(error, MantaError):
        return error.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, ClientDisconnect)
