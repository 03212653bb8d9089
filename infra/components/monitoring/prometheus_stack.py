"""A small kube-prometheus-stack: Prometheus with its operator, kube-state-metrics, and Grafana.

Reference: <https://github.com/prometheus-community/helm-charts/tree/main/charts/kube-prometheus-stack>.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes.helm.v3 import Release
from pydantic import SecretStr

from infra import credentials, labels, names
from infra.components import crds
from infra.components.crds import CrdsArgs
from infra.config.image_options import ImageOptions
from infra.config.monitoring_options import MonitoringOptions

TIMEOUT_S: Final = 600
"""Three images of some hundred megabytes."""
RETENTION: Final = "10d"
VOLUME_SIZE: Final = "10Gi"
RETENTION_SIZE: Final = "8GiB"
"""Prometheus counts only finished blocks, so a fifth of the volume stays for the head block and its log."""
ADMIN: Final = "admin"
USER_KEY: Final = "admin-user"
PASSWORD_KEY: Final = "admin-password"  # noqa: S105
UNUSED: Final = (
    *("alertmanager", "nodeExporter", "windowsMonitoring"),
    *("kubeApiServer", "kubeControllerManager", "coreDns", "kubeDns", "kubeEtcd", "kubeScheduler", "kubeProxy"),
)
"""Parts of the chart that no alert and no dashboard of the stack reads."""
VOLUME_METRICS: Final = "kubelet_volume_stats_.*"
"""Metrics of the volumes that Prometheus keeps."""
CONTAINER_METRICS: Final = "container_cpu_usage_seconds_total|container_memory_working_set_bytes"
"""Metrics of the containers of the stack that Prometheus keeps."""
COLLECTORS: Final = ("cronjobs", "deployments", "jobs", "persistentvolumeclaims", "pods", "statefulsets")
"""Kinds of objects that kube-state-metrics counts."""


@dataclass(frozen=True, kw_only=True)
class PrometheusStackArgs:
    """What to install, and which namespaces it monitors."""

    name: str
    """Name of the namespace and of the Helm release. It distinguishes the ClusterRoles of several stacks."""
    namespace: pulumi.Input[str]
    """The same name, as an output that waits until the namespace exists."""
    monitored_namespaces: list[str]
    """Namespaces with monitors and rules."""
    options: MonitoringOptions
    are_values_secret: bool
    """Whether the stack's file holds `monitoringValues` in encrypted form."""
    images: ImageOptions
    storage_class: str
    crds: CrdsArgs
    """The CRDs of the chart."""


class PrometheusStack(pulumi.ComponentResource):
    """The CRDs of the Prometheus operator, and the Helm release."""

    release: Release
    grafana_password: pulumi.Output[str]
    """Password of Grafana's user `admin`."""

    def __init__(self, name: str, args: PrometheusStackArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:PrometheusStack", name, None, opts)
        inside = pulumi.ResourceOptions(parent=self)
        applied = crds.register(f"{name}-crds", args.crds, inside)
        self.grafana_password = credentials.secret_value(f"{name}-grafana-password", SecretStr(""), inside)
        secret = credentials.kubernetes_secret(
            f"{name}-grafana-secret",
            names.GRAFANA_SECRET,
            namespace=args.namespace,
            component=names.GRAFANA,
            content={USER_KEY: ADMIN, PASSWORD_KEY: self.grafana_password},
            opts=inside,
        )
        chart_values = values(args)
        self.release = Release(
            f"{name}-release",
            name=args.name,
            namespace=args.namespace,
            **args.options.chart.release_source(args.crds.root),
            values=pulumi.Output.secret(chart_values) if args.are_values_secret else chart_values,
            skip_crds=True,  # Helm would install the CRDs once and never upgrade them
            atomic=False,  # a failed release stays for inspection, and the next `pulumi up` repairs it in place
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[applied, secret.resource]),
        )
        self.register_outputs({"grafana_password": self.grafana_password})


def values(args: PrometheusStackArgs) -> dict[str, Any]:
    """Helm values: those of the stack, and `monitoringValues` over them."""
    return _merged(_values(args), args.options.monitoring_values)


def _values(args: PrometheusStackArgs) -> dict[str, Any]:
    images = args.images
    pull_secrets = [{"name": images.image_pull_secret}] if images.image_pull_secret else []
    monitored = {
        "matchExpressions": [
            {"key": labels.NAMESPACE_NAME, "operator": "In", "values": [*args.monitored_namespaces, args.name]}
        ]
    }
    return {
        "global": {"imageRegistry": images.image_registry, "imagePullSecrets": pull_secrets},
        "crds": {"enabled": False},
        "defaultRules": {"create": False},
        **{part: {"enabled": False} for part in UNUSED},
        "prometheusOperator": {
            # An operator by default takes the objects of all namespaces, also those of others.
            "namespaces": {"releaseNamespace": True, "additional": args.monitored_namespaces},
            "admissionWebhooks": {"enabled": False},
            "tls": {"enabled": False},
            "resources": _resources("100m", "128Mi", "256Mi"),
            "prometheusConfigReloader": {"resources": _resources("10m", "32Mi", "64Mi")},
        },
        "prometheus": {
            "prometheusSpec": {
                "retention": RETENTION,
                "retentionSize": RETENTION_SIZE,
                "resources": _resources("200m", "512Mi", "2Gi"),
                "storageSpec": {"volumeClaimTemplate": {"spec": _volume(args.storage_class)}},
                **{
                    key: value
                    for kind in ("podMonitor", "rule", "serviceMonitor")
                    for key, value in {
                        f"{kind}SelectorNilUsesHelmValues": False,
                        f"{kind}NamespaceSelector": monitored,
                    }.items()
                },
            }
        },
        "kubelet": {
            "serviceMonitor": {
                "probes": False,
                # The kubelets have thousands of series of themselves, and series of every container in the cluster.
                "metricRelabelings": [{"action": "keep", "sourceLabels": ["__name__"], "regex": VOLUME_METRICS}],
                "cAdvisorMetricRelabelings": [
                    {"action": "keep", "sourceLabels": ["__name__"], "regex": CONTAINER_METRICS},
                    {"action": "keep", "sourceLabels": ["namespace"], "regex": "|".join(args.monitored_namespaces)},
                ],
            }
        },
        "kube-state-metrics": {
            "collectors": list(COLLECTORS),
            "namespaces": ",".join(args.monitored_namespaces),
            # Otherwise it may list the objects of all namespaces.
            "rbac": {"useClusterRole": False},
            "resources": _resources("20m", "64Mi", "256Mi"),
        },
        "grafana": {
            "fullnameOverride": names.GRAFANA,
            "admin": {"existingSecret": names.GRAFANA_SECRET, "userKey": USER_KEY, "passwordKey": PASSWORD_KEY},
            "defaultDashboardsEnabled": False,
            "resources": _resources("50m", "192Mi", "512Mi"),
            "rbac": {"namespaced": True},
            "testFramework": {"enabled": False},
            "sidecar": {
                "resources": _resources("10m", "96Mi", "192Mi"),
                # The dashboards lie in Grafana's own namespace, so that Grafana needs no rights in another one.
                "dashboards": {"searchNamespace": args.name, "resource": "configmap"},
                "datasources": {
                    "searchNamespace": args.name,
                    "resource": "configmap",
                    "alertmanager": {"enabled": False},
                },
            },
            "grafana.ini": {
                # Ray's dashboard embeds charts in the browser of a user who has no account in Grafana.
                "security": {"allow_embedding": True},
                "auth.anonymous": {"enabled": True, "org_role": "Viewer"},
                "analytics": dict.fromkeys(
                    ("reporting_enabled", "check_for_updates", "check_for_plugin_updates"), False
                ),
            },
        },
    }


def _resources(cpu: str, memory: str, max_memory: str) -> dict[str, dict[str, str]]:
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": max_memory}}


def _volume(storage_class: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": VOLUME_SIZE}},
    }
    return spec | ({"storageClassName": storage_class} if storage_class else {})


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values of a chart with others over them, merged as Helm merges several files of values."""
    merged = dict(base)
    for key, value in changes.items():
        are_objects = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if are_objects else value
    return merged
