"""Where the service sends traces of predictions, and which share of the predictions it traces."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from infra.config import urls
from infra.config.options import NO_SECRET, OptionGroup
from infra.config.problem import Problem, set_command
from infra.config.vocabulary import allowed

IN_MLFLOW: Final = "mlflow"
"""Endpoint that means the stack's own MLflow."""

OTLP_ENDPOINT_PATTERN: Final = r"^(mlflow|https?://[^/\s:@]+(:[0-9]{1,5})?(/\S*)?)?$"
"""The same as in `app/names.py`; a test compares the two."""

HEADERS: Final = re.compile(r"([A-Za-z0-9_-]+=[ !-+\--~]+(,[A-Za-z0-9_-]+=[ !-+\--~]+)*)?")
"""The form of OTEL_EXPORTER_OTLP_HEADERS, in printable ASCII."""


def _otlp_endpoint(endpoint: str) -> str:
    return endpoint if endpoint == IN_MLFLOW else urls.with_valid_port(endpoint)


OtlpEndpoint = Annotated[
    str,
    StringConstraints(pattern=OTLP_ENDPOINT_PATTERN),
    AfterValidator(_otlp_endpoint),
    allowed("`mlflow`, or `http(s)://HOST[:PORT][/PATH]`"),
]


def _headers(secret: SecretStr) -> SecretStr:
    if HEADERS.fullmatch(secret.get_secret_value()) is None:
        raise ValueError("allowed is NAME=VALUE, several separated by commas, in printable ASCII")
    return secret


OtlpHeaders = Annotated[SecretStr, AfterValidator(_headers), allowed("`NAME=VALUE`, separated by commas")]


class TracingOptions(OptionGroup):
    """Traces of predictions."""

    otlp_endpoint: OtlpEndpoint = Field(
        "",
        examples=["http://otel-collector.monitoring:4318"],
        description="Receiver of traces: the address of an OpenTelemetry collector that takes OTLP over HTTP, or "
        "`mlflow` for the stack's own MLflow. Empty: no traces.",
    )
    otlp_headers: OtlpHeaders = Field(
        NO_SECRET, description="Headers of requests to `otlpEndpoint`, such as the key of a cloud service."
    )
    trace_percent: int = Field(
        1,
        ge=0,
        le=100,
        description="Percentage of the predictions that are traced, chosen at random. A prediction whose header "
        "`traceparent` asks for a trace is always traced.",
    )

    @property
    def port(self) -> int | None:
        """Port of a receiver outside of the stack; None without one."""
        if self.otlp_endpoint in ("", IN_MLFLOW):
            return None
        return urls.port(self.otlp_endpoint)


def problems(tracing: TracingOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    endpoint = set_command("otlpEndpoint", "http://otel-collector.monitoring:4318")
    if tracing.otlp_headers.get_secret_value() and tracing.port is None:
        yield Problem("otlpHeaders", "set, but otlpEndpoint is not an address, so the key has no effect", endpoint)
    if not tracing.otlp_endpoint and tracing.trace_percent != TracingOptions().trace_percent:
        yield Problem("tracePercent", "set, but otlpEndpoint is not set, so the key has no effect", endpoint)
