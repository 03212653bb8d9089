"""The images of the chart kube-prometheus-stack without Grafana: program and reference of each, one a line.

Usage: python -m tests.support.prometheus_images FOLDER
"""

import sys
from pathlib import Path

import yaml

from tests.support.json_object import JsonObject


def references(chart: Path) -> dict[str, str]:
    """References by the name of the program that the image runs."""
    values, version = _read(chart)
    state_metrics, state_metrics_version = _read(chart / "charts" / "kube-state-metrics")
    operator = values["prometheusOperator"]
    images = {
        "prometheus": (values["prometheus"]["prometheusSpec"]["image"], ""),
        "prometheus-operator": (operator["image"], version),
        "prometheus-config-reloader": (operator["prometheusConfigReloader"]["image"], version),
        "kube-state-metrics": (state_metrics["image"], f"v{state_metrics_version}"),
    }
    return {
        program: f"{image['registry']}/{image['repository']}:{image['tag'] or default}"
        for program, (image, default) in images.items()
    }


def _read(chart: Path) -> tuple[JsonObject, str]:
    """Return the values of a chart and the version of its application."""
    values, about = (
        yaml.safe_load((chart / name).read_text(encoding="utf-8")) for name in ("values.yaml", "Chart.yaml")
    )
    return values, str(about["appVersion"])


if __name__ == "__main__":
    sys.stdout.writelines(f"{program} {reference}\n" for program, reference in references(Path(sys.argv[1])).items())
