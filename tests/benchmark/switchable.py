"""The service with a prediction log and traces that a file switches on and off while it runs.

Two processes that run the same code differ by a few percent, because their memory lies elsewhere. So a benchmark that
is more exact than that has to compare a process with itself.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from ray import serve

from app import names
from app.serving.application import DEPLOYMENT_OPTIONS, ModelServer, ServeArgs
from app.serving.predict import PredictionHandler

SWITCH: Final = "BENCHMARK_SWITCH"
"""Environment variable with the path of the file."""

ON: Final = "on"
"""Text of the file when the log and the traces are on."""

POLL_S: Final = 0.1


class SwitchableServer(ModelServer):
    """The deployment of the service, whose handler of predictions has a log and traces only while they are on."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        """See `ModelServer`."""
        original = PredictionHandler.__init__

        def init(handler: PredictionHandler, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
            original(handler, **kwargs)
            threading.Thread(target=_follow, args=(handler,), daemon=True).start()

        PredictionHandler.__init__ = init  # type: ignore[method-assign, assignment]
        try:
            return super().__serve_build_asgi_app__()
        finally:
            PredictionHandler.__init__ = original  # type: ignore[method-assign]


def _follow(handler: PredictionHandler) -> None:
    """Follow the switch. When it is switched off, the log writes what it holds."""
    log, tracer, switch = handler._log, handler._tracer, Path(os.environ[SWITCH])
    is_on = True
    while True:
        if is_on != (switch.read_text() == ON):
            is_on = not is_on
            handler._log, handler._tracer = (log, tracer) if is_on else (None, None)
            if log is not None and not is_on:
                log._writer.write()
        time.sleep(POLL_S)


def build(args: ServeArgs) -> serve.Application:
    """See `app.serving.application.build`."""
    deployment = serve.deployment(name=names.DEPLOYMENT, **DEPLOYMENT_OPTIONS)
    application: serve.Application = deployment(serve.ingress()(SwitchableServer)).bind(args)
    return application
