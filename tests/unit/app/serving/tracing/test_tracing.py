"""Traces of predictions, at a receiver of the OpenTelemetry protocol."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from app.serving.tracing.open_tracer import open_tracer
from app.settings import Settings
from tests.support.otlp_receiver import ReceivedTraces, attributes, otlp_receiver
from tests.support.replica_api import http_client, replica_api

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
ROW = {"features": [[1.0, 2.0, 3.0]]}


def traced(
    *bodies: object, share: float = 1.0, headers: Mapping[str, str] = {}, path: str = "/predict"
) -> tuple[ReceivedTraces, list[httpx.Response]]:
    """Send predictions to a replica that traces them. Its end sends the spans."""

    async def run(url: str) -> list[httpx.Response]:
        tracer = open_tracer(Settings(otlp_endpoint=url, trace_share=share), replica="r1")
        async with replica_api(tracer=tracer) as api, http_client(api) as client:
            return [await client.post(path, json=body, headers=headers) for body in bodies]

    with otlp_receiver() as received:
        return received, asyncio.run(run(received.url))


def test_a_trace_says_which_version_answered_which_request_and_how_long_each_step_took() -> None:
    received, _ = traced(ROW, headers={"x-request-id": "id-7"})

    assert received.paths == ["/v1/traces"]
    assert {"service.name": "manta", "service.instance.id": "r1"}.items() <= received.resource.items()
    request = received.span("prediction")
    assert attributes(request) == {
        "http.request.method": "POST",
        "url.path": "/predict",
        "http.response.status_code": 200,
        "manta.request_id": "id-7",
        "manta.model": "m",
        "manta.version": "1",
        "manta.role": "champion",
        "manta.rows": 1,
    }
    steps = [span for span in received.spans if span.parent_span_id == request.span_id]
    assert [step.name for step in sorted(steps, key=lambda step: step.start_time_unix_nano)] == [
        "receive the body",
        "wait for the version",
        "read the rows",
        "predict",
    ]
    assert all(
        request.start_time_unix_nano
        <= step.start_time_unix_nano
        <= step.end_time_unix_nano
        <= request.end_time_unix_nano
        for step in steps
    )


def test_a_trace_of_the_client_is_continued_even_if_the_service_traces_nothing_by_itself() -> None:
    received, _ = traced(ROW, share=0.0, headers=SAMPLED)

    request = received.span("prediction")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)


@pytest.mark.parametrize(
    ("share", "headers"),
    [(0.0, {}), (0.0, {"traceparent": "nonsense"}), (1.0, {"traceparent": f"00-{TRACE}-{PARENT}-00"})],
    ids=["no share", "no valid header", "the client samples nothing"],
)
def test_a_request_that_is_not_sampled_has_no_trace(share: float, headers: dict[str, str]) -> None:
    received, [answer] = traced(ROW, share=share, headers=headers)

    assert answer.status_code == 200
    assert received.spans == []


def test_about_the_share_of_the_requests_is_traced() -> None:
    received, _ = traced(*[ROW] * 200, share=0.3)

    count = len([span for span in received.spans if span.name == "prediction"])
    assert 20 <= count <= 100  # 60 on average, with a standard deviation of 6.5


@pytest.mark.parametrize(("path", "status"), [("/predict", 422), ("/v2/models/m/infer", 400)])
def test_a_trace_of_a_refused_request_has_its_status_and_no_value_of_its_rows(path: str, status: int) -> None:
    received, [answer] = traced({"features": [["private"]]}, path=path)

    request = received.span("prediction")
    assert answer.status_code == status
    assert attributes(request)["http.response.status_code"] == status
    assert "error.type" in attributes(request)
    assert request.status.code == Status.STATUS_CODE_UNSET  # an error of the client
    assert "private" not in str(received.spans)


def test_a_replica_that_ends_shuts_its_exporter_down_once(caplog: pytest.LogCaptureFixture) -> None:
    received, _ = traced(ROW)

    assert received.span("prediction")
    assert [record.message for record in caplog.records if "already shutdown" in record.message] == []


def test_a_replica_ends_in_time_while_the_receiver_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.serving.tracing.otlp_tracer.CLOSE_TIMEOUT_S", 0.1)
    with otlp_receiver() as gone:
        pass
    tracer = open_tracer(Settings(otlp_endpoint=gone.url), replica="r1")

    async def run() -> int:
        async with replica_api(tracer=tracer) as api, http_client(api) as client:
            answer = await client.post("/predict", json=ROW)
        return answer.status_code

    assert asyncio.run(asyncio.wait_for(run(), timeout=60)) == 200


def test_a_service_without_an_endpoint_loads_no_code_of_traces() -> None:
    program = (
        "import sys\n"
        "from app.serving.tracing.open_tracer import open_tracer\n"
        "from app.settings import Settings\n"
        "assert open_tracer(Settings(), replica='r1') is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )

    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert process.stdout.strip() == "[]"
