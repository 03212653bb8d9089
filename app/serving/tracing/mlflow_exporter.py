"""Sends traces to MLflow, which receives OTLP and shows traces on the page of an experiment."""

import base64
import logging
from collections.abc import Sequence
from typing import Final

import mlflow
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from app import names
from app.serving.tracing.otlp_tracer import create_exporter
from app.settings import Settings

EXPERIMENT_SUFFIX: Final = "-traces"
"""End of the name of the experiment with the traces: `manta-traces` beside the trainings in `manta`."""

EXPERIMENT_HEADER: Final = "x-mlflow-experiment-id"
"""Header with the experiment of the spans, see <https://mlflow.org/docs/latest/genai/tracing/opentelemetry/ingest/>."""

log = logging.getLogger(f"{names.SERVING_LOG}.traces")


class MlflowExporter(SpanExporter):
    """Sends spans to MLflow. The first batch creates the experiment if it does not exist.

    Args:
        settings: URL, user and password of MLflow, and the experiment of the trainings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._exporter: SpanExporter | None = None
        self._has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """See `SpanExporter.export`."""
        try:
            exporter = self._exporter = self._exporter or self._connect()
        except Exception as error:  # noqa: BLE001 - OpenTelemetry would log a traceback of each batch
            if not self._has_failed:
                log.warning("traces are lost until MLflow returns the experiment for traces: %r", error)
            self._has_failed = True
            return SpanExportResult.FAILURE
        self._has_failed = False
        result = exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._exporter = None  # the experiment may have been deleted
        return result

    def shutdown(self) -> None:
        """See `SpanExporter.shutdown`."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def _connect(self) -> SpanExporter:
        uri, name = self._settings.mlflow_tracking_uri, self._settings.experiment + EXPERIMENT_SUFFIX
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name(name)
        headers = {EXPERIMENT_HEADER: experiment.experiment_id if experiment else client.create_experiment(name)}
        if self._settings.mlflow_user:
            user = f"{self._settings.mlflow_user}:{self._settings.mlflow_password.get_secret_value()}"
            headers["authorization"] = f"Basic {base64.b64encode(user.encode()).decode()}"
        return create_exporter(uri, headers)
