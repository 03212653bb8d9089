"""The objects for the Prometheus operator and Grafana, and what lets them reach the metrics."""

import json

import pytest

from infra.config.settings import SettingsError
from infra.preflight.checks import PreflightError
from infra.preflight.cluster_state import ClusterState
from infra.preflight.stack_checks import run
from tests.support.engine import Record, RegisteredResource, object_name
from tests.support.json_object import JsonObject
from tests.support.program import Program, flows_of, parsed

EXISTING: dict[str, object] = {
    "monitoring": "existing",
    "monitoringNamespace": "monitoring",
    "monitoringLabels": {"release": "kube-prometheus-stack"},
}
POD_MONITOR = "kubernetes:monitoring.coreos.com/v1:PodMonitor"
RULE = "kubernetes:monitoring.coreos.com/v1:PrometheusRule"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
MAX_CONFIG_MAP_BYTES = 1024**2
PAGES = (
    *("models", "training", "platform"),
    *("ray-default", "ray-serve", "ray-serve-deployment", "ray-data"),
)
CRDS = ["podmonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com"]


def objects(record: Record) -> list[RegisteredResource]:
    """The objects of the monitoring."""
    return [
        resource
        for resource in record.objects()
        if resource.type in (POD_MONITOR, RULE) or object_name(resource).startswith("dashboard-")
    ]


def head(record: Record) -> dict[str, JsonObject]:
    """Environment variables of the Ray head."""
    group = record.resource(RAY_SERVICE).inputs["spec"]["rayClusterConfig"]["headGroupSpec"]
    return {entry["name"]: entry for entry in group["template"]["spec"]["containers"][0]["env"]}


def test_a_stack_without_monitoring_creates_none_of_its_objects(program: Program) -> None:
    record = program.deploy()

    assert objects(record) == []
    assert not any(name.startswith(("RAY_PROMETHEUS", "RAY_GRAFANA")) for name in head(record))


def test_prometheus_and_grafana_find_the_objects_by_the_labels_of_the_site(program: Program) -> None:
    record = program.deploy(**EXISTING, dashboardLabels={"grafana": "team-a"})

    labels = {object_name(resource): resource.inputs["metadata"]["labels"] for resource in objects(record)}
    assert labels.keys() == {"ray", "kuberay-operator", "manta", *(f"dashboard-{name}" for name in PAGES)}
    for name, own in labels.items():
        expected = {"grafana": "team-a"} if name.startswith("dashboard-") else EXISTING["monitoringLabels"]
        assert isinstance(expected, dict)
        assert expected.items() <= own.items()
        assert own["app.kubernetes.io/part-of"] == "manta"
    assert {resource.inputs["metadata"]["namespace"] for resource in objects(record)} == {"manta"}


def test_the_monitor_of_ray_selects_its_pods_and_ports_that_they_have(program: Program) -> None:
    record = program.deploy(**EXISTING)

    cluster = record.resource(RAY_SERVICE).inputs["spec"]["rayClusterConfig"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    spec = record.resource(POD_MONITOR, "ray").inputs["spec"]
    for group in groups:
        assert spec["selector"]["matchLabels"].items() <= group["template"]["metadata"]["labels"].items()
    [container] = cluster["workerGroupSpecs"][0]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    kuberay = {"metrics"}  # KubeRay adds this port to every Ray container
    assert {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} == ports.keys() | kuberay
    [(source, allowed)] = {(f.source.namespace, f.ports) for f in flows_of(**EXISTING) if 9101 in f.ports}
    assert source == "monitoring"
    assert set(ports.values()) <= set(allowed)


def test_the_operator_of_the_stack_is_monitored_and_that_of_the_cluster_is_not(program: Program) -> None:
    shared: dict[str, object] = {"installOperator": False, "installCrds": False, "operatorNamespace": "kuberay-system"}

    own, others = program.deploy(**EXISTING), program.deploy(**EXISTING, **shared)

    spec = own.resource(POD_MONITOR, "kuberay-operator").inputs["spec"]
    assert spec["namespaceSelector"] == {"matchNames": ["manta-operator"]}
    assert [object_name(monitor) for monitor in others.of_type(POD_MONITOR)] == ["ray"]


def pages_of(record: Record) -> dict[str, JsonObject]:
    """The dashboards by the name of their file."""
    maps = [item for item in record.of_type(CONFIG_MAP) if object_name(item).startswith("dashboard-")]
    return {file: json.loads(text) for item in maps for file, text in item.inputs["data"].items()}


def test_a_dashboard_is_json_that_fits_into_its_config_map(program: Program) -> None:
    record = program.deploy(**EXISTING)

    pages = pages_of(record)
    assert len({page["uid"] for page in pages.values()}) == len(pages) == len(PAGES)
    for file, page in pages.items():
        assert file == f"{page['uid']}.json"
        assert len(json.dumps(page, indent=1)) < MAX_CONFIG_MAP_BYTES
        assert len(page["uid"]) <= 40
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in page["panels"]]
        assert len(set(places)) == len(places) > 0


def test_the_dashboards_of_two_stacks_differ_in_their_uids_and_file_names(program: Program) -> None:
    first, second = program.deploy(**EXISTING), program.deploy(**EXISTING, namespace="team-a")

    assert pages_of(first).keys() & pages_of(second).keys() == set()


def test_rays_dashboard_knows_prometheus_and_grafana_and_may_ask_them(program: Program) -> None:
    urls = {"prometheusUrl": "http://prometheus-operated.monitoring", "grafanaUrl": "https://grafana.example.com"}

    env = head(program.deploy(**EXISTING, **urls))

    assert env["RAY_PROMETHEUS_HOST"]["value"] == urls["prometheusUrl"]
    assert env["RAY_GRAFANA_HOST"]["value"] == urls["grafanaUrl"]
    uids = {value["value"] for name, value in env.items() if name.endswith("_DASHBOARD_UID")}
    assert uids == {file.removesuffix(".json") for file in pages_of(program.deploy(**EXISTING)) if "-ray-" in file}
    [ports] = [flow.ports for flow in flows_of(**EXISTING, **urls) if flow.destination.name == "monitoring"]
    assert ports == (80, 443, 3000, 9090)


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        (
            {"monitoring": "existing"},
            ("manta:monitoringNamespace: not set", "pulumi config set monitoringNamespace monitoring"),
        ),
        (
            {"monitoringLabels": {"release": "a"}},
            ("manta:monitoringLabels: set, but monitoring is none", "pulumi config set monitoring existing"),
        ),
        ({"monitoring": "prometheus"}, ("manta:monitoring: given 'prometheus'", "pulumi config set monitoring none")),
        (
            {"monitoring": "existing", "prometheusUrl": "prometheus:9090"},
            ("manta:prometheusUrl: given 'prometheus:9090'", "pulumi config set prometheusUrl"),
        ),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(changes: dict[str, object], texts: tuple[str, str]) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(**changes)

    assert all(text in str(error.value) for text in texts)


@pytest.mark.parametrize("missing", CRDS)
def test_a_cluster_without_the_prometheus_operator_is_refused(missing: str) -> None:
    existing = {"customresourcedefinitions": [name for name in CRDS if name != missing]}

    with pytest.raises(
        PreflightError, match=f"monitoring needs {missing}, and the cluster has no such object"
    ) as error:
        run(parsed(**EXISTING), lambda _reader, _wanted: ClusterState(version="v1.34.4", objects=existing))

    assert "install the Prometheus operator, or: pulumi config set monitoring none" in str(error.value)
