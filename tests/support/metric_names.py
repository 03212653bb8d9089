"""Names of metrics: those that PromQL reads, those of the application's code, and those of other programs."""

import re
from pathlib import Path

from app.serving.drift_gauges import DriftGauges
from app.serving.measures.exporter import MeasuresExporter
from app.serving.measures.measures import Measures
from app.serving.metrics import LogMetrics, ReplicaMetrics

EXPORTED = Path(__file__).with_name("exported_metrics.txt")
"""Metrics of Ray, HAProxy, KubeRay and Kubernetes that alerts and dashboards may read, one a line."""


def read_by(query: str) -> set[str]:
    """The metrics that a query reads. Every one has a selector of labels."""
    return set(re.findall(r"([a-z_][a-z0-9_]*)\{", query))


def exported() -> set[str]:
    """The metrics of other programs."""
    lines = EXPORTED.read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def of_application() -> set[str]:
    """The metrics that a replica creates, with the names that Ray's exporter gives them."""
    created: set[str] = set()

    def counter(name: str, **_: object) -> None:
        created.add(f"ray_{name}_total")

    def gauge(name: str, **_: object) -> None:
        created.add(f"ray_{name}")

    ReplicaMetrics(counter=counter, gauge=gauge)  # type: ignore[arg-type] # nothing is recorded
    LogMetrics(counter=counter)  # type: ignore[arg-type] # nothing is recorded
    MeasuresExporter(Measures(), counter=counter, gauge=gauge)  # type: ignore[arg-type] # nothing is counted
    DriftGauges(list, dict, gauge=gauge)  # type: ignore[arg-type] # nothing is exported
    return created
