"""The service with a prediction log and traces that change while it runs.

Two processes that run the same code differ by a few percent, because their memory lies elsewhere. So a benchmark that
is more exact than that has to compare a process with itself. Either a file switches the log and traces on and off, or
the log changes with each block of requests.
"""

import json
import math
import os
import random
import threading
import time
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
from app.serving.prediction_log import request_ids, writer
from app.serving.prediction_log.prediction_log import PredictionLog

SWITCH: Final = "BENCHMARK_SWITCH"
"""Environment variable with the path of the file."""

ON: Final = "on"
"""Text of the file when the log and the traces are on."""

OFF: Final = "off"

WRITE: Final = "write"
"""Text of the file when they are on, and the log has to write what it holds."""

POLL_S: Final = 0.1

BLOCKS: Final = "BENCHMARK_BLOCKS"
"""Environment variable with the path of the file that `BlockLog` writes. If it is set, nothing is switched."""

BLOCK_REQUESTS: Final = 50
REFERENCES_KEPT: Final = 15_000
"""References that are kept at most, five for each request: those of about a second, as long as the log keeps arrays."""

NO_LOG: Final = "no log"
REFERENCES: Final = "only references to what a log keeps"
LOG: Final = "the log"


class BlockLog:
    """Stands in for the prediction log, and keeps each block of requests in one of three ways, in random order.

    After each round of three blocks it writes a line of JSON with the processor time of the thread that answers, in
    microseconds per request of each block.
    """

    def __init__(self, log: PredictionLog, file: Path) -> None:
        self._ways = {NO_LOG: self._keep_nothing, REFERENCES: self._keep_references, LOG: log.record}
        self._file = file.open("w", buffering=1)
        self._references: list[object] = []
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
        if len(self._references) > REFERENCES_KEPT:
            self._references.clear()
        self._begin_ns = time.thread_time_ns()

    def _end_block(self) -> None:
        self._round[self._way] = (time.thread_time_ns() - self._begin_ns) / 1000 / BLOCK_REQUESTS
        if not self._order:
            self._file.write(json.dumps(self._round) + "\n")

    def _keep_nothing(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:
        pass

    def _keep_references(self, request: Request, rows: np.ndarray, reply: Reply, role: str, body_bytes: int) -> None:  # noqa: ARG002 - see `PredictionLog.record`
        answers, header = reply.answers, b""
        for name, value in request.scope["headers"]:
            if name == request_ids.HEADER:
                header = value
                break
        references = self._references
        references += (header, reply.ended_s, rows, answers.predictions, answers.probabilities)


class SwitchableServer(ModelServer):
    """The deployment of the service. The log and the traces of its predictions change while it runs."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        """See `ModelServer`."""
        original = PredictionHandler.__init__

        def init(handler: PredictionHandler, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
            original(handler, **kwargs)
            blocks = os.environ.get(BLOCKS)
            if blocks and handler._log is not None:
                handler._log = BlockLog(handler._log, Path(blocks))  # type: ignore[assignment]
            else:
                writer.WRITE_PERIOD_S = math.inf  # type: ignore[misc] # `_follow` decides when
                threading.Thread(target=_follow, args=(handler,), daemon=True).start()

        PredictionHandler.__init__ = init  # type: ignore[method-assign, assignment]
        try:
            return super().__serve_build_asgi_app__()
        finally:
            PredictionHandler.__init__ = original  # type: ignore[method-assign]


def _follow(handler: PredictionHandler) -> None:
    """Follow the switch. When it is switched off, the log writes what it still holds."""
    log, tracer, switch = handler._log, handler._tracer, Path(os.environ[SWITCH])
    before = ON
    while True:
        state = switch.read_text()
        if state != before:
            handler._log, handler._tracer = (None, None) if state == OFF else (log, tracer)
            if log is not None and state != ON:
                log._writer.write()
        before = state
        time.sleep(POLL_S)


def build(args: ServeArgs) -> serve.Application:
    """See `app.serving.application.build`."""
    deployment = serve.deployment(name=names.DEPLOYMENT, **DEPLOYMENT_OPTIONS)
    application: serve.Application = deployment(serve.ingress()(SwitchableServer)).bind(args)
    return application
