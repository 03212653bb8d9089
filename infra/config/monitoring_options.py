"""Monitoring: whose Prometheus and Grafana, their addresses, and the labels of the objects for them."""

from collections.abc import Collection, Iterator
from typing import Any, Final, Literal

from pydantic import Field

from infra import names, versions
from infra.config import urls
from infra.config.chart import Chart
from infra.config.network_options import NetworkOptions
from infra.config.options import OptionGroup
from infra.config.problem import Problem, set_command
from infra.config.vocabulary import Url

INSTALL_ONLY: Final = (
    *("monitoring_chart", "monitoring_chart_version", "monitoring_chart_repository"),
    "monitoring_values",
)
"""Fields that only `monitoring: install` uses."""
GRAFANA_LOCAL_PORT: Final = 3000
"""Port of this machine at which `manta forward` offers the Grafana of the stack."""


class MonitoringOptions(OptionGroup):
    """Monitors, alerts and dashboards."""

    monitoring: Literal["none", "existing", "install"] = Field(
        "none",
        description="Whether the stack creates monitors, alerts and dashboards: for a Prometheus operator and a "
        "Grafana that the cluster has (`existing`), for a small kube-prometheus-stack that it installs (`install`), or "
        "not (`none`).",
    )
    monitoring_chart: str = Field(
        versions.PROMETHEUS_CHART,
        min_length=1,
        description="Helm chart kube-prometheus-stack for `monitoring: install`: a name in the repository, an oci:// "
        "reference, or a local path.",
    )
    monitoring_chart_version: str = Field(
        versions.PROMETHEUS_CHART_VERSION, description="Version of the kube-prometheus-stack chart."
    )
    monitoring_chart_repository: str = Field(
        versions.PROMETHEUS_CHART_REPOSITORY,
        description="Helm repository of the kube-prometheus-stack chart, if `monitoringChart` is a name.",
    )
    monitoring_values: dict[str, Any] = Field(
        default_factory=dict,
        examples=[{"prometheus": {"prometheusSpec": {"retention": "30d"}}}],
        description="Further values of the kube-prometheus-stack chart, over those of the stack, such as the "
        "configuration of an Alertmanager.",
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

    @property
    def is_installed(self) -> bool:
        """Whether the stack installs a Prometheus and a Grafana."""
        return self.monitoring == "install"

    @property
    def has_grafana(self) -> bool:
        """Whether there is a Grafana whose charts Ray's dashboard can show."""
        return self.has_own_grafana or bool(self.is_enabled and self.grafana_url)

    @property
    def has_own_grafana(self) -> bool:
        """Whether the stack installs a Grafana."""
        return self.is_installed and (self.monitoring_values.get("grafana") or {}).get("enabled", True) is not False

    @property
    def chart(self) -> Chart:
        """Chart of kube-prometheus-stack."""
        return Chart(
            chart=self.monitoring_chart,
            version=self.monitoring_chart_version,
            repository=self.monitoring_chart_repository,
            key="monitoringChart",
        )

    def environment(self, namespace: str) -> dict[str, str]:
        """Environment variables of the Ray head, whose dashboard shows charts of Grafana.

        Reference: <https://docs.ray.io/en/latest/cluster/configure-manage-dashboard.html>.

        Args:
            namespace: Namespace of the workloads.
        """
        variables = {"RAY_PROMETHEUS_HOST": self.prometheus_url, "RAY_GRAFANA_HOST": self.grafana_url}
        own = names.monitoring_namespace(namespace)
        if self.is_installed:
            variables["RAY_PROMETHEUS_HOST"] = f"http://{names.PROMETHEUS}.{own}:{names.PROMETHEUS_PORT}"
        if self.has_own_grafana:
            # The head asks Grafana inside of the cluster, and the browser asks it at another address.
            variables["RAY_GRAFANA_HOST"] = f"http://{names.GRAFANA}.{own}:{names.GRAFANA_PORT}"
            variables["RAY_GRAFANA_IFRAME_HOST"] = self.browser_url
        return {name: value for name, value in variables.items() if value}

    @property
    def browser_url(self) -> str:
        """Address of the stack's Grafana for browsers."""
        return self.grafana_url or f"http://localhost:{GRAFANA_LOCAL_PORT}"

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports of Prometheus and Grafana, those of their Services and those of their pods."""
        if self.is_installed:
            return (names.GRAFANA_POD_PORT, names.PROMETHEUS_PORT)
        servers = [(self.prometheus_url, names.PROMETHEUS_PORT), (self.grafana_url, names.GRAFANA_POD_PORT)]
        ports = {port for url, pod_port in servers if url for port in (pod_port, urls.port(url))}
        return tuple(sorted(ports))


def problems(monitoring: MonitoringOptions, *, network: NetworkOptions, namespace: str) -> Iterator[Problem]:
    """Yield every contradiction between the values.

    Args:
        monitoring: The monitoring of the stack.
        network: Its network policies.
        namespace: Namespace of the workloads.
    """
    if monitoring.is_installed:
        yield from _problems_of_install(monitoring, network, namespace)
        return
    for key in _changed_keys(monitoring, INSTALL_ONLY):
        reason = f"set, but monitoring is {monitoring.monitoring}, so the key has no effect"
        yield Problem(key, reason, "pulumi config set monitoring install")
    if monitoring.is_enabled:
        if network.network_policies and not network.monitoring_namespace:
            reason = "not set, and monitoring is existing: the network policies would keep Prometheus out"
            yield Problem("monitoringNamespace", reason, set_command("monitoringNamespace", "monitoring"))
        return
    for key in _changed_keys(monitoring, MonitoringOptions.model_fields.keys() - set(INSTALL_ONLY)):
        reason = "set, but monitoring is none, so the key has no effect"
        yield Problem(key, reason, "pulumi config set monitoring existing")


def _changed_keys(monitoring: MonitoringOptions, fields: Collection[str]) -> list[str]:
    """Keys of those fields whose value is not the default, in the order of the fields."""
    defaults = MonitoringOptions()
    return [
        field.alias or name
        for name, field in MonitoringOptions.model_fields.items()
        if name in fields and getattr(monitoring, name) != getattr(defaults, name)
    ]


def _problems_of_install(monitoring: MonitoringOptions, network: NetworkOptions, namespace: str) -> Iterator[Problem]:
    own = names.monitoring_namespace(namespace)
    if len(own) > names.MAX_RELEASE:
        reason = (
            f"given {namespace}; monitoring: install creates the Helm release {own}, and the name of a release has at "
            f"most {names.MAX_RELEASE} characters"
        )
        shorter = namespace[: len(namespace) - len(own) + names.MAX_RELEASE]
        yield Problem("namespace", reason, set_command("namespace", shorter))
    for key, value in (
        ("monitoringNamespace", network.monitoring_namespace),
        ("prometheusUrl", monitoring.prometheus_url),
    ):
        if value:
            reason = f"given {value}; with monitoring: install, the Prometheus of the stack runs in {own}"
            yield Problem(key, reason, f"pulumi config rm {key}")
    for key in _changed_keys(monitoring, ("monitoring_labels", "dashboard_labels")):
        reason = "set; with monitoring: install, the Prometheus and the Grafana of the stack need no other labels"
        yield Problem(key, reason, f"pulumi config rm {key}")
