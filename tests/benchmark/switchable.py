"""The service with a prediction log and traces that are switched on and off while it runs.

Two processes that run the same code differ by a few percent, because their memory lies elsewhere. So a benchmark that
is more exact than that has to compare a process with itself. `TurnLog` switches the log and the traces every few
seconds, and measures the throughput. `BlockLog` switches the log every few requests, and measures the processor time of
the thread that answers. A random order keeps a slow change of the machine out of both.
"""

import json
import math
import os
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from fastapi import FastAPI
from ray import serve
from starlette.requests import Request

from app import names
from app.records.log_files import LogFile
from app.serving.application import DEPLOYMENT_OPTIONS, ModelServer, ServeArgs
from app.serving.model_answer import Reply
from app.serving.predict import PredictionHandler
from app.serving.prediction_log import request_ids, writer
from app.serving.prediction_log.prediction_log import PredictionLog

FIGURES: Final = "BENCHMARK_FIGURES"
"""Environment variable with the path of the file for the figures: lines of JSON."""

TURN_S: Final = "BENCHMARK_TURN_S"
"""Environment variable with the duration of the turns of `TurnLog`; not set for `BlockLog`."""

SETTLE_S: Final = 2.0
"""Time before each turn that does not count. Log and traces are off, and what they held before is sent."""

WRITE_S: Final = 0.5
"""Time before the end of a turn when log and traces have to send what they hold, so that the turn has that cost too."""

BLOCK_REQUESTS: Final = 50

NO_LOG: Final = "no log"
MINIMAL: Final = "a minimal log"
LOG: Final = "the log"


class MinimalLog:
    """A log that keeps predictions but makes no table of them, for comparison.

    It keeps references to what a log has to keep (the id, the time, the rows and the answers) and forgets them after a
    second. When it writes, it writes the last table of the prediction log again.

    Args:
        log: The prediction log.
    """

    def __init__(self, log: PredictionLog) -> None:
        self._store = log._writer._store
        self._written: list[tuple[LogFile, pa.Table]] = []
        self._write = self._store.write
        self._store.write = self._remember  # type: ignore[method-assign]
        self._references: list[object] = []
        threading.Thread(target=self._forget, daemon=True).start()

    def record(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:  # noqa: ARG002 - see `PredictionLog.record`
        """See `PredictionLog.record`."""
        answers, header = reply.answers, b""
        for name, value in request.scope["headers"]:
            if name == request_ids.HEADER:
                header = value
                break
        references = self._references
        references += (header, reply.ended_s, rows, answers.predictions, answers.probabilities)

    def write(self) -> None:
        """Write the last table of the prediction log once more, if there is one."""
        for file, table in self._written:
            self._write(replace(file, writer=f"minimal-{time.time_ns()}"), table)

    def _remember(self, file: LogFile, table: pa.Table) -> None:
        self._written = [(file, table)]
        self._write(file, table)

    def _forget(self) -> None:
        while True:
            time.sleep(writer.POLL_S)
            del self._references[: len(self._references)]


class TurnLog:
    """Stands in for the prediction log. Has turns with and without recording, in groups of random order.

    With a log, a group has a turn of each of `NO_LOG`, `LOG` and `MINIMAL`. Without one, `LOG` stands for the traces,
    and there is no `MINIMAL`. Writes a line for each turn: its `way`, its `answers`, its `seconds`, and the processor
    seconds of the replica (`replica_s`) and of the thread that answers (`thread_s`).

    Args:
        handler: Its log and its tracer record, if there are any.
        seconds: Duration of each turn.
        file: Where the lines are written.
    """

    def __init__(self, handler: PredictionHandler, seconds: float, file: Path) -> None:
        self._handler = handler
        self._tracer = handler._tracer
        self._ways, self._records, self._writes = [NO_LOG, LOG], {}, {}
        if log := handler._log:
            minimal = MinimalLog(log)
            self._ways.append(MINIMAL)
            self._records = {LOG: log.record, MINIMAL: minimal.record}
            self._writes = {LOG: log._writer.write, MINIMAL: minimal.write}
        self._seconds = seconds
        self._file = file.open("w", buffering=1)
        self._switch(NO_LOG)
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
                self._file.write(json.dumps({"way": way} | figures) + "\n")
                self._switch(NO_LOG)

    def _switch(self, way: str) -> None:
        self._way, self._keep = way, self._records.get(way)
        self._handler._tracer = self._tracer if way == LOG else None

    def _clocks(self) -> tuple[float, float, float, float]:
        return self._answers, time.perf_counter(), time.process_time(), time.thread_time()

    def _send(self) -> None:
        while self._is_sending.wait():
            self._is_sending.clear()
            if write := self._writes.get(self._way):
                write()
            if self._tracer is not None and self._way == LOG:
                self._tracer._provider.force_flush()  # type: ignore[attr-defined]


class BlockLog:
    """Stands in for the prediction log, and keeps each block of requests in one of three ways, in random order.

    After each round of three blocks it writes a line of JSON with the processor time of the thread that answers, in
    microseconds per request of each block.

    Args:
        log: The prediction log.
        file: Where the lines are written.
    """

    def __init__(self, log: PredictionLog, file: Path) -> None:
        self._ways = {NO_LOG: self._keep_nothing, MINIMAL: MinimalLog(log).record, LOG: log.record}
        self._file = file.open("w", buffering=1)
        self._round: dict[str, float] = {}
        self._order: list[str] = []
        self._left = 0
        self._begin_block()

    def record(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:
        """See `PredictionLog.record`."""
        if self._left == 0:
            self._end_block()
            self._begin_block()
        self._left -= 1
        self._keep(request, rows, reply, role, body_bytes)

    def _begin_block(self) -> None:
        self._order = self._order or random.sample(list(self._ways), k=len(self._ways))
        self._way = self._order.pop()
        self._keep = self._ways[self._way]
        self._left = BLOCK_REQUESTS
        self._begin_ns = time.thread_time_ns()

    def _end_block(self) -> None:
        self._round[self._way] = (time.thread_time_ns() - self._begin_ns) / 1000 / BLOCK_REQUESTS
        if not self._order:
            self._file.write(json.dumps(self._round) + "\n")

    def _keep_nothing(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:
        pass


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
    file = Path(os.environ[FIGURES])
    if turn_s := os.environ.get(TURN_S):
        handler._log = TurnLog(handler, float(turn_s), file)  # type: ignore[assignment]
    elif handler._log is not None:
        handler._log = BlockLog(handler._log, file)  # type: ignore[assignment]


def build(args: ServeArgs) -> serve.Application:
    """See `app.serving.application.build`."""
    deployment = serve.deployment(name=names.DEPLOYMENT, **DEPLOYMENT_OPTIONS)
    application: serve.Application = deployment(serve.ingress()(SwitchableServer)).bind(args)
    return application
