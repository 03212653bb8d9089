"""Opens the tracer that the settings ask for."""

from app import names
from app.serving.tracing.trace import Tracer
from app.settings import Settings


def open_tracer(settings: Settings, *, replica: str) -> Tracer | None:
    """Return the tracer of a replica; None without an endpoint.

    Args:
        settings: Endpoint, and share of the requests that are traced.
        replica: Name of the replica.
    """
    if not settings.otlp_endpoint:
        return None
    # A replica without an endpoint must not pay for the import.
    from app.serving.tracing import mlflow_exporter, otlp_tracer  # noqa: PLC0415

    exporter = (
        mlflow_exporter.MlflowExporter(settings)
        if settings.otlp_endpoint == names.TRACES_IN_MLFLOW
        else otlp_tracer.create_exporter(settings.otlp_endpoint)
    )
    return otlp_tracer.OtlpTracer(exporter, share=settings.trace_share, replica=replica)
