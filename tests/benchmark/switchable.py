"""The service with a prediction log and traces that are switched on and off while it runs.

Two processes that run the same code differ by a few percent, because their memory lies elsewhere. So a benchmark that
is more exact than that has to compare a process with itself. A random order keeps a slow change of the machine out.
"""

import json
import math
import os
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from fastapi import FastAPI
from ray import serve
from starlette.requests import Request

from app import names
from app.serving.application import DEPLOYMENT_OPTIONS, ModelServer, ServeArgs
from app.serving.model_answer import Reply
from app.serving.predict import PredictionHandler
from app.serving.prediction_log import writer
from app.serving.prediction_log.prediction_log import PredictionLog

FIGURES: Final = "BENCHMARK_FIGURES"
"""Environment variable with the path of the file for the figures: lines of JSON."""

TURN_S: Final = "BENCHMARK_TURN_S"
"""Environment variable with the duration of each turn."""

SETTLE_S: Final = 2.0
"""Time before each turn that does not count. Log and traces are off, and what they held before is sent."""

WRITE_S: Final = 0.5
"""Time before the end of a turn when log and traces have to send what they hold, so that the turn has that cost too."""

OFF: Final = "off"
ON: Final = "on"
ALL: Final = "all"


class TurnLog:
    """Stands in for the prediction log. Has turns with and without recording, in groups of random order.

    A group has a turn with the log or the traces `ON` and one with both `OFF`. With a log, it also has a turn in which
    a second log without a limit keeps `ALL` predictions. Writes a line for each turn: its `way`, its `answers`, its
    `seconds`, the processor seconds of the replica (`replica_s`) and of the thread that answers (`thread_s`), and the
    rows that the log of this way has written since the replica started (`written_rows`).

    Args:
        handler: Its log and its tracer record, if there are any.
        seconds: Duration of each turn.
        file: Where the lines are written.
    """

    def __init__(self, handler: PredictionHandler, seconds: float, file: Path) -> None:
        self._handler = handler
        self._tracer = handler._tracer
        self._ways, self._logs = [OFF, ON], dict[str, PredictionLog]()
        if log := handler._log:
            no_limit = log._writer._settings.model_copy(update={"prediction_log_rows_per_second": 0})
            self._ways.append(ALL)
            self._logs = {ON: log, ALL: PredictionLog(log._writer._store, no_limit, writer=ALL)}
            self._logs[ALL].start()
        self._seconds = seconds
        self._file = file.open("w", buffering=1)
        self._switch(OFF)
        self._answers = 0
        self._is_sending = threading.Event()
        threading.Thread(target=self._send, daemon=True).start()
        writer.WRITE_PERIOD_S = math.inf  # type: ignore[misc] # only `_send` writes
        self._steps = self._run_steps()
        self._next_s = 0.0
        """When the next step is due: a value of `time.perf_counter`."""

    def record(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:
        """See `PredictionLog.record`."""
        if reply.ended_s >= self._next_s:
            self._next_s = reply.ended_s + next(self._steps)
        self._answers += 1
        if self._keep is not None:
            self._keep(request, rows, reply, role, body_bytes)

    def _run_steps(self) -> Iterator[float]:
        """Run the turns. Yields the time until the next step."""
        while True:
            for way in random.sample(self._ways, k=len(self._ways)):
                yield SETTLE_S
                self._switch(way)
                begin = np.array(self._clocks())
                yield self._seconds - WRITE_S
                self._is_sending.set()
                yield WRITE_S
                answers, seconds, replica_s, thread_s = np.array(self._clocks()) - begin
                figures = {"answers": answers, "seconds": seconds, "replica_s": replica_s, "thread_s": thread_s}
                written_rows = self._logs[way]._writer._written_rows if way in self._logs else 0
                self._file.write(json.dumps({"way": way, "written_rows": written_rows} | figures) + "\n")
                self._switch(OFF)

    def _switch(self, way: str) -> None:
        self._way = way
        self._keep = self._logs[way].record if way in self._logs else None
        self._handler._tracer = self._tracer if way == ON else None

    def _clocks(self) -> tuple[float, float, float, float]:
        return self._answers, time.perf_counter(), time.process_time(), time.thread_time()

    def _send(self) -> None:
        while self._is_sending.wait():
            self._is_sending.clear()
            if log := self._logs.get(self._way):
                log.buffer.limit_share(self._seconds)
                log._writer.write()
            if self._tracer is not None and self._way == ON:
                self._tracer._provider.force_flush()  # type: ignore[attr-defined]


class SwitchableServer(ModelServer):
    """The deployment of the service. The log and the traces of its predictions are switched while it runs."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        """See `ModelServer`."""
        original = PredictionHandler.__init__

        def init(handler: PredictionHandler, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
            original(handler, **kwargs)
            _measure(handler)

        PredictionHandler.__init__ = init  # type: ignore[method-assign, assignment]
        try:
            return super().__serve_build_asgi_app__()
        finally:
            PredictionHandler.__init__ = original  # type: ignore[method-assign]


def _measure(handler: PredictionHandler) -> None:
    """Replace the log by one that measures."""
    handler._log = TurnLog(  # type: ignore[assignment]
        handler, float(os.environ[TURN_S]), Path(os.environ[FIGURES])
    )


def build(args: ServeArgs) -> serve.Application:
    """See `app.serving.application.build`."""
    deployment = serve.deployment(name=names.DEPLOYMENT, **DEPLOYMENT_OPTIONS)
    application: serve.Application = deployment(serve.ingress()(SwitchableServer)).bind(args)
    return application
