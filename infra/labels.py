"""The `app.kubernetes.io` labels by which objects are found, and by which network policies select pods."""

from typing import Final

from infra import names

COMPONENT: Final = "app.kubernetes.io/component"
PART_OF: Final = "app.kubernetes.io/part-of"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Set on every namespace by Kubernetes itself."""

RAY: Final = "ray"
REDIS: Final = "redis"
MLFLOW: Final = "mlflow"
SCHEDULE: Final = "schedule"


def of(component: str) -> dict[str, str]:
    """Labels of an object that belongs to a component of the platform."""
    return {
        "app.kubernetes.io/name": component,
        "app.kubernetes.io/managed-by": "pulumi",
        **selector(component),
    }


def selector(component: str) -> dict[str, str]:
    """Labels that select the component's pods, without `app.kubernetes.io/name`, which KubeRay sets."""
    return {COMPONENT: component, PART_OF: names.PART_OF}
