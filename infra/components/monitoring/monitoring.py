"""The objects for a Prometheus operator and a Grafana, and the two themselves if the stack installs them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

from infra import labels, names
from infra.components.monitoring import alerts, dashboards, pod_monitors, ray_dashboards
from infra.components.monitoring.alerts import AlertArgs
from infra.components.monitoring.prometheus_stack import PrometheusStack, PrometheusStackArgs
from infra.config.monitoring_options import MonitoringOptions

API_VERSION = "monitoring.coreos.com/v1"
DASHBOARD_PREFIX = "dashboard-"


@dataclass(frozen=True, kw_only=True)
class MonitoringArgs:
    """What to monitor, and by which labels Prometheus and Grafana find the objects."""

    namespace: pulumi.Input[str]
    options: MonitoringOptions
    alerts: AlertArgs
    operator_namespace: str | None
    """Namespace of the stack's KubeRay operator; None if the operator belongs to the cluster."""
    prometheus: PrometheusStackArgs | None
    """The Prometheus and the Grafana to install; None if the cluster has its own."""


class Monitoring(pulumi.ComponentResource):
    """PodMonitors and a PrometheusRule in the namespace of the workloads, and ConfigMaps with dashboards.

    Grafana's sidecar reads the ConfigMaps: that of the cluster in the namespace of the workloads, that of the stack in
    its own namespace, so that it needs no rights in another one.
    """

    grafana_password: pulumi.Output[str] | None = None
    """Password of the administrator of the stack's Grafana; None if the stack has none."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Monitoring", name, None, opts)
        if args.options.is_enabled:
            self._register(name, args)
        self.register_outputs({})

    def _register(self, name: str, args: MonitoringArgs) -> None:
        opts = pulumi.ResourceOptions(parent=self)
        namespace = args.namespace
        if args.prometheus is not None:
            prometheus = PrometheusStack(f"{name}-prometheus", args.prometheus, opts)
            if args.options.has_own_grafana:
                self.grafana_password, namespace = prometheus.grafana_password, args.prometheus.namespace
            opts = pulumi.ResourceOptions(parent=self, depends_on=[prometheus])
        specs = {
            ("PodMonitor", names.RAY): pod_monitors.ray(),
            ("PrometheusRule", names.PART_OF): alerts.rule(args.alerts),
        }
        if args.operator_namespace is not None:
            specs["PodMonitor", names.OPERATOR] = pod_monitors.operator(args.operator_namespace)
        for (kind, object_name), spec in specs.items():
            apiextensions.CustomResource(
                f"{name}-{kind.lower()}-{object_name}",
                api_version=API_VERSION,
                kind=kind,
                metadata=_metadata(object_name, args.namespace, args.options.monitoring_labels),
                spec=spec,
                opts=opts,
            )
        workloads = args.alerts.namespace
        pages = {**dashboards.dashboards(workloads), **ray_dashboards.dashboards(workloads)}
        for title, dashboard in pages.items():
            core.v1.ConfigMap(
                f"{name}-{DASHBOARD_PREFIX}{title}",
                metadata=_metadata(f"{DASHBOARD_PREFIX}{title}", namespace, args.options.dashboard_labels),
                # Grafana's sidecar writes the ConfigMaps of all stacks into one folder, so the file names must differ.
                data={f"{dashboard['uid']}.json": json.dumps(dashboard, indent=1, sort_keys=True)},
                opts=opts,
            )


def _metadata(object_name: str, namespace: pulumi.Input[str], more_labels: Mapping[str, str]) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(
        name=object_name, namespace=namespace, labels={**labels.of(names.PART_OF), **more_labels}
    )
