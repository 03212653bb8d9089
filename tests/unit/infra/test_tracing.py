"""The keys of traces."""

import re

import pytest

from app import names
from infra.config.settings import SettingsError
from infra.config.tracing_options import OTLP_ENDPOINT_PATTERN
from tests.support.json_object import JsonObject
from tests.support.program import Program

RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
COLLECTOR = "http://otel-collector.monitoring:4318"
HEADERS = "api-key=0123,x-scope=Basic YQ=="


def worker_environment(program: Program, **changes: object) -> dict[str, JsonObject]:
    spec = program.deploy(**changes).resource(RAY_SERVICE).inputs["spec"]
    [container] = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable for variable in container["env"]}
    return {name: variables[name] for name in variables if "OTLP" in name or "TRACE" in name}


def test_a_stack_sends_no_traces_unless_it_has_an_endpoint(program: Program) -> None:
    assert worker_environment(program) == {}


def test_endpoint_and_percentage_reach_the_replicas_and_the_headers_by_a_secret(program: Program) -> None:
    changes: dict[str, object] = {"otlpEndpoint": COLLECTOR, "otlpHeaders": HEADERS, "tracePercent": 5}

    environment = worker_environment(program, **changes)

    assert environment["MANTA_OTLP_ENDPOINT"]["value"] == COLLECTOR
    assert environment["MANTA_TRACE_SHARE"]["value"] == "0.05"
    key = {"name": "serve-auth", "key": "otlp-headers"}
    assert environment["OTEL_EXPORTER_OTLP_HEADERS"]["valueFrom"]["secretKeyRef"] == key
    secret = program.deploy(**changes).resource("kubernetes:core/v1:Secret", "serve-auth")
    assert secret.inputs["stringData"]["otlp-headers"] == HEADERS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"otlpEndpoint": "grpc://collector:4317"}, "otlpEndpoint"),
        ({"otlpEndpoint": "http://user:secret@collector:4318"}, "otlpEndpoint"),
        ({"otlpEndpoint": COLLECTOR, "otlpHeaders": "a-key-alone"}, "allowed is NAME=VALUE"),
        ({"otlpEndpoint": COLLECTOR, "tracePercent": 101}, "tracePercent"),
        ({"tracePercent": 5}, "tracePercent: set, but otlpEndpoint is not"),
        ({"otlpEndpoint": "mlflow", "otlpHeaders": HEADERS}, "otlpHeaders: set, but otlpEndpoint is not an address"),
    ],
)
def test_values_that_cannot_work_are_refused(program: Program, changes: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        program.deploy(**changes)


def test_stack_and_service_accept_the_same_endpoints() -> None:
    assert OTLP_ENDPOINT_PATTERN == names.OTLP_ENDPOINT_PATTERN
