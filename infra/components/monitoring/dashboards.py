"""The dashboards of a stack: what its models do, how its trainings end, and how its parts are."""

from collections.abc import Iterator
from typing import Final

from infra.components.monitoring import grafana, training_panels
from infra.components.monitoring.grafana import Dashboard, Panel

RATE_WINDOW: Final = "5m"
"""Window of a rate: 20 times the interval of the PodMonitors."""
QUANTILES: Final = (0.5, 0.95, 0.99)


def dashboards(namespace: str) -> dict[str, dict[str, object]]:
    """Grafana's JSON of each dashboard, by its name.

    Args:
        namespace: Namespace of the workloads.
    """
    scope = f'namespace="{namespace}"'
    pages = {
        "models": [*_traffic(scope), *_versions(scope)],
        "training": list(training_panels.panels(scope)),
        "platform": [*_ray(scope), *_platform(scope)],
    }
    return {
        name: grafana.build(
            Dashboard(uid=grafana.uid(name, namespace), title=f"manta: {name} ({namespace})", panels=panels)
        )
        for name, panels in pages.items()
    }


def _traffic(scope: str) -> Iterator[Panel]:
    by = "model, version, role"
    failed = f'ray_manta_predictions_total{{{scope}, outcome!="answered"}}'
    legend = "{{model}} {{version}} {{role}}"
    yield Panel(
        title="Requests",
        description="Prediction requests that were answered, by model, version and role.",
        unit="reqps",
        queries=[(_rate(by, f'ray_manta_predictions_total{{{scope}, outcome="answered"}}'), legend)],
    )
    yield Panel(
        title="Failed requests",
        description="`client_error`: the client has to correct the request. `error`: a reason of the service, such as "
        "an exception, no version, or an overload.",
        unit="reqps",
        queries=[(_rate("model, version, outcome", failed), "{{model}} {{version}} {{outcome}}")],
    )
    yield Panel(
        title="Rows",
        description="Predicted rows, by model, version and role.",
        unit="rowsps",
        queries=[(_rate(by, f"ray_manta_prediction_rows_total{{{scope}}}"), legend)],
    )
    buckets = _rate("version, le", f"ray_manta_prediction_seconds_bucket{{{scope}}}")
    yield Panel(
        title="Time of a prediction",
        description="Time to predict and to write the answer. Each bucket is four times as wide as the one before.",
        unit="s",
        queries=[
            (f"histogram_quantile({quantile}, {buckets})", f"p{quantile * 100:.0f} version {{{{version}}}}")
            for quantile in QUANTILES
        ],
    )
    yield Panel(
        title="Answers",
        description="Predicted rows by class.",
        unit="rowsps",
        queries=[
            (
                _rate("model, version, answer", f"ray_manta_prediction_answers_total{{{scope}}}"),
                "{{model}} {{version}}: {{answer}}",
            )
        ],
    )


def _versions(scope: str) -> Iterator[Panel]:
    yield Panel(
        title="Served version",
        description="Version of the default model that each replica serves.",
        unit="none",
        queries=[(f"max by (replica) (ray_manta_served_version{{{scope}}})", "{{replica}}")],
    )
    yield Panel(
        title="Swaps and refusals",
        description="How often replicas began to serve another version, and how often they refused a version.",
        unit="none",
        queries=[
            (f"sum(increase(ray_manta_swaps_total{{{scope}}}[{RATE_WINDOW}]))", "swaps"),
            (
                f"sum by (version) (increase(ray_manta_refused_versions_total{{{scope}}}[{RATE_WINDOW}]))",
                "refused {{version}}",
            ),
        ],
    )
    yield Panel(
        title="Registry and champion",
        description="1 while MLflow answers, and 1 while every replica serves the champion. Otherwise 0.",
        unit="none",
        queries=[
            (f"min(ray_manta_registry_answers{{{scope}}})", "MLflow answers"),
            (f"min(ray_manta_champion_served{{{scope}}})", "the champion is served"),
        ],
    )


def _ray(scope: str) -> Iterator[Panel]:
    responses = f'haproxy_frontend_http_responses_total{{{scope}, proxy="http_frontend"}}'
    yield Panel(
        title="CPU of the Ray nodes",
        description="Share of the CPUs of each Ray pod that is in use.",
        unit="percent",
        queries=[(f"max by (pod) (ray_node_cpu_utilization{{{scope}}})", "{{pod}}")],
    )
    yield Panel(
        title="Memory of the Ray nodes",
        description="Share of the memory of each Ray pod that is in use.",
        unit="percentunit",
        queries=[
            (f"max by (pod) (ray_node_mem_used{{{scope}}}) / max by (pod) (ray_node_mem_total{{{scope}}})", "{{pod}}")
        ],
    )
    yield Panel(
        title="Requests at HAProxy",
        description="Responses to clients by status class, including those of HAProxy itself.",
        unit="reqps",
        queries=[(_rate("code", responses), "{{code}}")],
    )
    yield Panel(
        title="Replicas",
        description="Replicas whose last health check passed.",
        unit="none",
        queries=[(f"sum by (deployment) (ray_serve_deployment_replica_healthy{{{scope}}})", "{{deployment}}")],
    )


def _platform(scope: str) -> Iterator[Panel]:
    used = f'container_memory_working_set_bytes{{{scope}, container!=""}}'
    limit = f'kube_pod_container_resource_limits{{{scope}, resource="memory"}}'
    yield Panel(
        title="Upgrades",
        description="1 while KubeRay replaces the Ray cluster by a new one.",
        unit="none",
        queries=[
            (f'max(kuberay_service_condition_upgrade_in_progress{{{scope}, condition="true"}}) or vector(0)', "upgrade")
        ],
    )
    yield Panel(
        title="Volumes",
        description="Used share of each volume.",
        unit="percentunit",
        queries=[
            (
                f"1 - kubelet_volume_stats_available_bytes{{{scope}}} / kubelet_volume_stats_capacity_bytes{{{scope}}}",
                "{{persistentvolumeclaim}}",
            )
        ],
    )
    yield Panel(
        title="Restarts",
        description="Restarts of containers in the last hour.",
        unit="none",
        queries=[
            (
                f"sum by (pod, container) (increase(kube_pod_container_status_restarts_total{{{scope}}}[1h])) > 0",
                "{{pod}} {{container}}",
            )
        ],
    )
    yield Panel(
        title="Memory of the pods",
        description="Memory in use, as a share of the limit at which Kubernetes ends the container.",
        unit="percentunit",
        queries=[(f"max by (pod, container) ({used}) / max by (pod, container) ({limit})", "{{pod}} {{container}}")],
    )


def _rate(by: str, series: str) -> str:
    """PromQL: increase of counters per second, summed by labels."""
    return f"sum by ({by}) (rate({series}[{RATE_WINDOW}]))"
