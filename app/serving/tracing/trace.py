"""The interface through which a prediction request adds to its trace. `app.serving.tracing.otlp_tracer` implements it.

This module imports nothing of OpenTelemetry: without an endpoint, a replica does not load those packages.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol

from starlette.requests import Request


class Trace(Protocol):
    """The trace of one request."""

    def step(self, name: str) -> AbstractContextManager[object]:
        """Measure a step of the request, as a span of its own."""

    def add(self, **attributes: str | int) -> None:
        """Set attributes of the request's span. Their names get the prefix `manta.`."""


class Tracer(Protocol):
    """Records the traces of a replica, and sends them."""

    def trace(self, request: Request) -> AbstractContextManager[Trace]:
        """Measure a request. An error that leaves the context ends the trace as a failure."""

    def close(self) -> None:
        """Send the remaining spans, and wait for the receiver for a few seconds at most."""


class Untraced:
    """The trace of a request that is not traced. It keeps nothing."""

    _STEP: Final = nullcontext()

    def step(self, _: str) -> AbstractContextManager[object]:
        """See `Trace.step`."""
        return self._STEP

    def add(self, **_: str | int) -> None:
        """See `Trace.add`."""


UNTRACED: Final = Untraced()
