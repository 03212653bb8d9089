"""Which metrics Prometheus reads: specs of the PodMonitors.

Reference: <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>.
"""

from typing import Final

from infra import labels, names

INTERVAL: Final = "15s"
OPERATOR_INTERVAL: Final = "30s"
DROPPED: Final = (
    "ray_serve_long_poll_.*",
    "ray_gcs_.*_bucket",
    "ray_grpc_.*",
    "ray_health_check_.*",
    "ray_internal_.*",
    "ray_operation_.*",
)
"""Series that grow with the nodes and workers of a cluster, and that no alert or dashboard reads, neither of the stack
nor of Ray: <https://github.com/ray-project/ray/issues/62299>."""
NO_INFORMATION: Final = "otel_scope_.*"
"""Labels that are the same in every series of Ray."""


def ray() -> dict[str, object]:
    """Metrics of the Ray pods. HAProxy runs where Ray Serve does, and only workers have a port for its metrics."""
    dropped = [
        {"action": "drop", "sourceLabels": ["__name__"], "regex": "|".join(DROPPED)},
        {"action": "labeldrop", "regex": NO_INFORMATION},
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
