"""Records traces with OpenTelemetry, and sends them as OTLP over HTTP.

A thread sends the spans in batches, so that no request waits for the receiver. If the receiver is away or too slow,
OpenTelemetry drops spans and logs it.
"""

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http import HTTPStatus
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.requests import ClientDisconnect, Request

from app.errors import MantaError
from app.serving import error_responses
from app.serving.prediction_log import request_ids
from app.serving.tracing.trace import UNTRACED, Trace

PATH: Final = "/v1/traces"
"""Path of traces at a receiver, see <https://opentelemetry.io/docs/specs/otlp/#otlphttp-request>."""

SPAN: Final = "prediction"
"""Name of a request's span."""

HEADER: Final = b"traceparent"
"""Header with the trace of a client."""

NOT_TRACED: Final = nullcontext(UNTRACED)

CLOSE_TIMEOUT_S: Final = 5.0
"""How long a replica that ends waits for the receiver."""


def create_exporter(endpoint: str, headers: Mapping[str, str] | None = None) -> OTLPSpanExporter:
    """Create the exporter that sends spans.

    Args:
        endpoint: URL of the receiver, with or without `PATH`.
        headers: Headers of each request; None for those of the variable OTEL_EXPORTER_OTLP_HEADERS.
    """
    return OTLPSpanExporter(endpoint=endpoint.rstrip("/").removesuffix(PATH) + PATH, headers=headers)


class OtlpTracer:
    """Traces requests: those whose client asks for it in the header `traceparent`, and a share of the others.

    Reference: <https://www.w3.org/TR/trace-context/>.

    Args:
        exporter: Sends the spans.
        share: Share of the requests without `traceparent` that are traced, from 0 to 1.
        replica: Name of the replica.
    """

    def __init__(self, exporter: SpanExporter, *, share: float, replica: str) -> None:
        self._exporter = exporter
        self._share = share
        self._provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON),  # a trace that the client does not sample is not recorded
            resource=Resource.create({"service.name": "manta", "service.instance.id": replica}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("manta")
        self._propagator = TraceContextTextMapPropagator()

    def trace(self, request: Request) -> AbstractContextManager[Trace]:
        """See `Tracer.trace`."""
        parent = self._parent(request)
        if parent is None and random.random() >= self._share:  # noqa: S311 - a sample, no secret
            return NOT_TRACED  # OpenTelemetry takes 4 us even for a span that it does not record
        return self._record(request, parent)

    def _parent(self, request: Request) -> Context | None:
        """Return the trace of the client; None if its header is missing or not valid."""
        if all(name != HEADER for name, _ in request.scope["headers"]):
            return None
        context = self._propagator.extract(request.headers)
        return context if get_current_span(context).get_span_context().is_valid else None

    @contextmanager
    def _record(self, request: Request, parent: Context | None) -> Iterator[Trace]:
        span = self._tracer.start_span(SPAN, parent, SpanKind.SERVER)
        if not span.is_recording():
            yield UNTRACED
            return
        span.set_attributes(
            {
                "http.request.method": request.method,
                "url.path": request.scope["path"],
                "manta.request_id": request_ids.request_id(request),
            }
        )
        try:
            yield OtlpTrace(self._tracer, span)
        except Exception as error:
            _add_error(span, request, error)
            raise
        else:
            span.set_attribute("http.response.status_code", HTTPStatus.OK)
        finally:
            span.end()

    def close(self) -> None:
        """See `Tracer.close`."""
        sending = threading.Thread(target=self._provider.shutdown, name="last-traces", daemon=True)
        sending.start()
        sending.join(CLOSE_TIMEOUT_S)
        if sending.is_alive():  # a shut down exporter ends its attempts to reach the receiver
            self._exporter.shutdown()


class OtlpTrace:
    """The trace of one request.

    Args:
        tracer: Starts spans.
        span: The span of the request.
    """

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """See `Trace.step`."""
        step = self._tracer.start_span(name, set_span_in_context(self._span))
        try:
            yield
        finally:
            step.end()

    def add(self, **attributes: str | int) -> None:
        """See `Trace.add`."""
        self._span.set_attributes({f"manta.{name}": value for name, value in attributes.items()})


def _add_error(span: Span, request: Request, error: Exception) -> None:
    """Record an error: its type and its status, but not its text, which may quote values of the request's rows.

    A span of a server fails only for reasons of the server, see
    <https://opentelemetry.io/docs/specs/semconv/http/http-spans/#status>.
    """
    if isinstance(error, MantaError):
        status = error_responses.status_of(request, error)
    elif isinstance(error, ClientDisconnect):
        status = error_responses.CLIENT_CLOSED_REQUEST.status_code
    else:
        status = HTTPStatus.INTERNAL_SERVER_ERROR
    span.set_attributes({"http.response.status_code": status, "error.type": type(error).__name__})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        span.set_status(StatusCode.ERROR)
