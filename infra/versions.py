"""The pinned versions of Ray, the Helm charts and the container images, one constant each.

`requirements/` pins the Python packages; a test compares `RAY` with the version that is locked there.
Renovate reads the comment above each pin (`renovate.json`).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class ImagePin:
    """The pinned reference of a published container image."""

    registry: str
    """Host of the publisher's registry, which `imageRegistry` replaces."""
    repository: str
    tag: str


# renovate: datasource=pypi depName=ray
RAY: Final = "2.60.0"
"""Version of Ray in the image, and `rayVersion` of the RayCluster. The operator selects probes and flags by it."""

KUBERAY_CHART: Final = "kuberay-operator"
# renovate: datasource=helm depName=kuberay-operator registryUrl=https://ray-project.github.io/kuberay-helm/
KUBERAY_CHART_VERSION: Final = "1.7.0"
"""Versions before 1.6.2 do not delete a RayService with GCS fault tolerance reliably."""
KUBERAY_CHART_REPOSITORY: Final = "https://ray-project.github.io/kuberay-helm/"

MLFLOW_CHART: Final = "mlflow"
# renovate: datasource=helm depName=mlflow registryUrl=https://community-charts.github.io/helm-charts
MLFLOW_CHART_VERSION: Final = "1.11.5"
MLFLOW_CHART_REPOSITORY: Final = "https://community-charts.github.io/helm-charts"

PROMETHEUS_CHART: Final = "kube-prometheus-stack"
# renovate: datasource=helm depName=kube-prometheus-stack registryUrl=https://prometheus-community.github.io/helm-charts
PROMETHEUS_CHART_VERSION: Final = "88.5.3"
PROMETHEUS_CHART_REPOSITORY: Final = "https://prometheus-community.github.io/helm-charts"

# renovate: datasource=docker depName=docker.io/library/python
PYTHON_IMAGE: Final = ImagePin(registry="docker.io", repository="library/python", tag="3.11.13-slim-bookworm")
"""Base image of the images that the project builds."""
# renovate: datasource=docker depName=quay.io/kuberay/operator
OPERATOR_IMAGE: Final = ImagePin(registry="quay.io", repository="kuberay/operator", tag="v1.7.0")
# renovate: datasource=docker depName=docker.io/library/redis
REDIS_IMAGE: Final = ImagePin(registry="docker.io", repository="library/redis", tag="7.4.7")
# renovate: datasource=docker depName=docker.io/burakince/mlflow
MLFLOW_IMAGE: Final = ImagePin(registry="docker.io", repository="burakince/mlflow", tag="3.15.1")
# renovate: datasource=docker depName=docker.io/library/busybox
BUSYBOX_IMAGE: Final = ImagePin(registry="docker.io", repository="library/busybox", tag="1.38.0")
"""Image of the MLflow chart's init containers, which wait for Postgres and write the auth file."""
