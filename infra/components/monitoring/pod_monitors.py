"""Which metrics Prometheus reads: specs of the PodMonitors.

Reference: <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>.
"""

from typing import Final

from infra import labels, names

INTERVAL: Final = "15s"
OPERATOR_INTERVAL: Final = "30s"
DROPPED_METRICS: Final = (
    "ray_serve_long_poll_.*",
    "ray_gcs_.*_bucket",
    "ray_grpc_.*",
    "ray_health_check_.*",
    "ray_internal_.*",
    "ray_operation_.*",
)
"""Metrics whose series grow with the nodes and workers of a cluster (<https://github.com/ray-project/ray/issues/62299>).
No alert and no dashboard of the stack or of Ray reads them."""
DROPPED_LABELS: Final = "otel_scope_.*"
"""Labels with the same value in every series of Ray."""


def ray() -> dict[str, object]:
    """Metrics of Ray on every Ray pod, and those of HAProxy on the workers, which alone have the port for them."""
    dropped = [
        {"action": "drop", "sourceLabels": ["__name__"], "regex": "|".join(DROPPED_METRICS)},
        {"action": "labeldrop", "regex": DROPPED_LABELS},
    ]
    cluster = {"sourceLabels": ["__meta_kubernetes_pod_label_ray_io_cluster"], "targetLabel": "ray_io_cluster"}
    return {
        "selector": {"matchLabels": labels.selector(labels.RAY)},
        "podMetricsEndpoints": [
            {
                "port": names.METRICS_PORT_NAME,
                "interval": INTERVAL,
                "relabelings": [cluster],
                "metricRelabelings": dropped,
            },
            {"port": names.HAPROXY_PORT_NAME, "interval": INTERVAL, "relabelings": [cluster]},
        ],
    }


def operator(namespace: str) -> dict[str, object]:
    """Metrics of the KubeRay operator.

    Args:
        namespace: Namespace of the operator.
    """
    return {
        "namespaceSelector": {"matchNames": [namespace]},
        "selector": {"matchLabels": {"app.kubernetes.io/name": names.OPERATOR}},
        "podMetricsEndpoints": [
            # The label `namespace` of these metrics is that of the RayService, not that of the operator's pod.
            {"port": "http", "interval": OPERATOR_INTERVAL, "honorLabels": True}
        ],
    }
