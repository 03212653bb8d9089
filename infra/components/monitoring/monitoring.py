"""The objects for the Prometheus operator and Grafana of the cluster."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

from infra import labels, names
from infra.components.monitoring import alerts, dashboards, pod_monitors, ray_dashboards
from infra.components.monitoring.alerts import AlertArgs
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


class Monitoring(pulumi.ComponentResource):
    """PodMonitors, a PrometheusRule, and ConfigMaps with dashboards, all in the namespace of the workloads."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Monitoring", name, None, opts)
        if args.options.is_enabled:
            self._register(name, args)
        self.register_outputs({})

    def _register(self, name: str, args: MonitoringArgs) -> None:
        opts = pulumi.ResourceOptions(parent=self)
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
                metadata=_metadata(object_name, args, args.options.monitoring_labels),
                spec=spec,
                opts=opts,
            )
        namespace = args.alerts.namespace
        pages = {**dashboards.dashboards(namespace), **ray_dashboards.dashboards(namespace)}
        for title, dashboard in pages.items():
            core.v1.ConfigMap(
                f"{name}-{DASHBOARD_PREFIX}{title}",
                metadata=_metadata(f"{DASHBOARD_PREFIX}{title}", args, args.options.dashboard_labels),
                # Grafana's sidecar writes the ConfigMaps of all stacks into one folder, so the file names must differ.
                data={f"{dashboard['uid']}.json": json.dumps(dashboard, indent=1, sort_keys=True)},
                opts=opts,
            )


def _metadata(object_name: str, args: MonitoringArgs, more_labels: Mapping[str, str]) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(
        name=object_name, namespace=args.namespace, labels={**labels.of(names.PART_OF), **more_labels}
    )
