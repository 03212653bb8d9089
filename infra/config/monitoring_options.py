"""Monitoring: the labels of the objects for Prometheus and Grafana, and the addresses of the two."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from infra.config import urls
from infra.config.network_options import NetworkOptions
from infra.config.options import OptionGroup
from infra.config.problem import Problem, set_command
from infra.config.vocabulary import Url


class MonitoringOptions(OptionGroup):
    """Monitors, alerts and dashboards."""

    monitoring: Literal["none", "existing"] = Field(
        "none",
        description="Whether the stack creates monitors, alerts and dashboards for a Prometheus operator and a Grafana "
        "that the cluster has (`existing`), or not (`none`).",
    )
    monitoring_labels: dict[str, str] = Field(
        default_factory=dict,
        examples=[{"release": "kube-prometheus-stack"}],
        description="Labels by which the cluster's Prometheus selects monitors and rules. kube-prometheus-stack "
        "selects `release` with the name of its Helm release.",
    )
    dashboard_labels: dict[str, str] = Field(
        {"grafana_dashboard": "1"},
        examples=[{"grafana_dashboard": "1"}],
        description="Labels by which Grafana's sidecar selects the ConfigMaps with dashboards.",
    )
    prometheus_url: Url = Field(
        "",
        examples=["http://prometheus-operated.monitoring:9090"],
        description="Address of Prometheus for the charts of Ray's dashboard. Empty: the dashboard shows no charts.",
    )
    grafana_url: Url = Field(
        "",
        examples=["https://grafana.example.com"],
        description="Address of Grafana, whose charts Ray's dashboard shows. The Ray head and the browsers of users "
        "must reach it. Empty: the dashboard shows no charts.",
    )
    runbook_url: Url = Field(
        "",
        examples=["https://wiki.example.com/manta/alerts"],
        description="Address of your copy of `docs/how-to/alerts.md`, to which the alerts link. Empty: no links.",
    )

    @property
    def is_enabled(self) -> bool:
        """Whether the stack creates monitors, alerts and dashboards."""
        return self.monitoring != "none"

    def environment(self) -> dict[str, str]:
        """Environment variables of the Ray head, whose dashboard shows charts of Grafana."""
        variables = {"RAY_PROMETHEUS_HOST": self.prometheus_url, "RAY_GRAFANA_HOST": self.grafana_url}
        return {name: value for name, value in variables.items() if value}

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of Prometheus and Grafana, those of their Services and those of their pods."""
        servers = [(self.prometheus_url, 9090), (self.grafana_url, 3000)]
        ports = {port for url, pod_port in servers if url for port in (pod_port, urls.port(url))}
        return tuple(sorted(ports))


def problems(monitoring: MonitoringOptions, *, network: NetworkOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    if monitoring.is_enabled:
        if network.network_policies and not network.monitoring_namespace:
            reason = "not set, and monitoring is existing: the network policies would keep Prometheus out"
            yield Problem("monitoringNamespace", reason, set_command("monitoringNamespace", "monitoring"))
        return
    defaults = MonitoringOptions()
    for name, field in MonitoringOptions.model_fields.items():
        if getattr(monitoring, name) != getattr(defaults, name):
            key = field.alias or name
            reason = "set, but monitoring is none, so the key has no effect"
            yield Problem(key, reason, "pulumi config set monitoring existing")
