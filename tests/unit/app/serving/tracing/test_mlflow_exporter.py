"""Traces that go to MLflow."""

import base64
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from pydantic import SecretStr

from app.serving.tracing import mlflow_exporter
from app.settings import Settings

URI = "http://mlflow.example.com:5000"


class FakeMlflow:
    """A client of an MLflow server with experiments, which may be away."""

    def __init__(self, *names: str) -> None:
        self.experiments = {name: str(index) for index, name in enumerate(names, start=1)}
        self.is_away = False

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        if self.is_away:
            raise ConnectionError
        return SimpleNamespace(experiment_id=self.experiments[name]) if name in self.experiments else None

    def create_experiment(self, name: str) -> str:
        self.experiments[name] = "9"
        return "9"


class FakeExporter(SpanExporter):
    """Counts what it sends."""

    def __init__(self) -> None:
        self.batches = 0
        self.result = SpanExportResult.SUCCESS

    def export(self, _: object) -> SpanExportResult:
        self.batches += 1
        return self.result

    def shutdown(self) -> None:
        pass


@pytest.fixture
def receivers(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, str]]]:
    """Address and headers of each receiver that an exporter connected to."""
    connected: list[tuple[str, dict[str, str]]] = []

    def create(uri: str, headers: dict[str, str]) -> FakeExporter:
        connected.append((uri, headers))
        return FakeExporter()

    monkeypatch.setattr(mlflow_exporter, "create_exporter", create)
    return connected


def exporter(monkeypatch: pytest.MonkeyPatch, client: FakeMlflow, **settings: Any) -> mlflow_exporter.MlflowExporter:  # noqa: ANN401 - fields of different types
    monkeypatch.setattr("mlflow.MlflowClient", lambda **_: client)
    return mlflow_exporter.MlflowExporter(Settings(mlflow_tracking_uri=URI, **settings))


def test_spans_go_to_the_experiment_for_traces(
    monkeypatch: pytest.MonkeyPatch, receivers: list[tuple[str, dict[str, str]]]
) -> None:
    traces = exporter(monkeypatch, FakeMlflow("manta", "manta-traces"))

    results = {traces.export([]), traces.export([])}

    assert results == {SpanExportResult.SUCCESS}
    assert receivers == [(URI, {"x-mlflow-experiment-id": "2"})]  # the second batch asks MLflow for nothing


def test_the_first_span_creates_the_experiment_with_the_user_of_mlflow(
    monkeypatch: pytest.MonkeyPatch, receivers: list[tuple[str, dict[str, str]]]
) -> None:
    exporter(monkeypatch, FakeMlflow(), mlflow_user="me", mlflow_password=SecretStr("word")).export([])

    [(_, headers)] = receivers
    assert headers["x-mlflow-experiment-id"] == "9"
    assert base64.b64decode(headers["authorization"].removeprefix("Basic ")) == b"me:word"


def test_spans_are_lost_with_one_line_of_the_log_while_mlflow_is_away(
    monkeypatch: pytest.MonkeyPatch,
    receivers: list[tuple[str, dict[str, str]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = FakeMlflow("manta-traces")
    traces = exporter(monkeypatch, client)
    client.is_away = True

    assert [traces.export([]), traces.export([])] == [SpanExportResult.FAILURE] * 2
    client.is_away = False
    assert traces.export([]) is SpanExportResult.SUCCESS

    assert len(receivers) == 1
    assert len([record for record in caplog.records if "traces are lost" in record.message]) == 1
