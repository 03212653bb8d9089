"""The labels of the stack's objects, and the selectors that Services and network policies use."""

from typing import Final

from infra import names

COMPONENT: Final = "app.kubernetes.io/component"
PART_OF: Final = "app.kubernetes.io/part-of"
NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"
"""Label that Kubernetes sets on every namespace."""

RAY: Final = "ray"
REDIS: Final = "redis"
MLFLOW: Final = "mlflow"
SCHEDULE: Final = "schedule"


def of(component: str) -> dict[str, str]:
    """Labels of an object that belongs to a platform component."""
    return {
        "app.kubernetes.io/name": component,
        "app.kubernetes.io/managed-by": "pulumi",
        **selector(component),
    }


def selector(component: str) -> dict[str, str]:
    """Labels that select the component's pods. `app.kubernetes.io/name` is left out, because KubeRay overwrites it."""
    return {COMPONENT: component, PART_OF: names.PART_OF}
