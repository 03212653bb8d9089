"""The Prometheus and the Grafana that `monitoring: install` creates."""

import json

import pytest

from app.cli.stack.doctor import prometheus, resources
from infra.config.settings import SettingsError
from infra.preflight import versions
from infra.preflight.checks import PreflightError
from infra.preflight.cluster_state import PROMETHEUS_CRD, ClusterState
from infra.preflight.stack_checks import run
from tests.support.engine import Record, object_name
from tests.support.json_object import JsonObject
from tests.support.program import Program, crd, parsed
from tests.unit.infra.test_doctor import text_of

RELEASE = "kubernetes:helm.sh/v3:Release"
CONFIG_MAP = "kubernetes:core/v1:ConfigMap"
POD_MONITOR = "kubernetes:monitoring.coreos.com/v1:PodMonitor"
RAY_SERVICE = "kubernetes:ray.io/v1:RayService"
INSTALL: dict[str, object] = {"monitoring": "install"}
NO_GRAFANA: dict[str, object] = {"grafana": {"enabled": False}}


def values_of(record: Record) -> JsonObject:
    """Values of the chart."""
    values: JsonObject = record.resource(RELEASE, "monitoring-prometheus-release").inputs["values"]
    return values


def head_environment(record: Record) -> dict[str, str]:
    group = record.resource(RAY_SERVICE).inputs["spec"]["rayClusterConfig"]["headGroupSpec"]
    return {entry["name"]: entry.get("value", "") for entry in group["template"]["spec"]["containers"][0]["env"]}


def namespaces_of(record: Record, kind: str, prefix: str = "") -> set[str]:
    """Namespaces of the objects of a kind whose names have a prefix."""
    found = [item for item in record.of_type(kind) if object_name(item).startswith(prefix)]
    return {item.inputs["metadata"]["namespace"] for item in found}


def test_the_chart_is_pinned_and_has_a_namespace_of_its_own(program: Program) -> None:
    record = program.deploy(**INSTALL, namespace="team-a")

    inputs = record.resource(RELEASE, "monitoring-prometheus-release").inputs
    assert (inputs["name"], inputs["namespace"]) == ("team-a-monitoring", "team-a-monitoring")
    assert inputs["version"] == "88.5.3"
    created = {object_name(item) for item in record.of_type("kubernetes:core/v1:Namespace")}
    assert created == {"team-a", "team-a-operator", "team-a-monitoring"}


def test_the_operator_and_the_prometheus_take_only_the_objects_of_the_stack(program: Program) -> None:
    values = values_of(program.deploy(**INSTALL))

    assert values["prometheusOperator"]["namespaces"] == {"releaseNamespace": True, "additional": ["manta"]}
    spec = values["prometheus"]["prometheusSpec"]
    for kind in ("podMonitor", "rule", "serviceMonitor"):
        assert spec[f"{kind}SelectorNilUsesHelmValues"] is False
        (expression,) = spec[f"{kind}NamespaceSelector"]["matchExpressions"]
        assert expression["values"] == ["manta", "manta-monitoring"]


def test_grafana_reads_the_dashboards_in_its_own_namespace_and_has_rights_there_only(program: Program) -> None:
    record = program.deploy(**INSTALL)

    grafana = values_of(record)["grafana"]
    assert namespaces_of(record, CONFIG_MAP, "dashboard-") == {"manta-monitoring"}
    assert namespaces_of(record, POD_MONITOR) == {"manta"}
    assert grafana["sidecar"]["dashboards"]["searchNamespace"] == "manta-monitoring"
    assert grafana["rbac"] == {"namespaced": True}


def test_rays_dashboard_asks_inside_of_the_cluster_and_the_browser_asks_the_tunnel(program: Program) -> None:
    record = program.deploy(**INSTALL)

    variables = head_environment(record)
    assert variables["RAY_PROMETHEUS_HOST"] == "http://prometheus-operated.manta-monitoring:9090"
    assert variables["RAY_GRAFANA_HOST"] == "http://grafana.manta-monitoring:80"
    assert variables["RAY_GRAFANA_IFRAME_HOST"] == record.outputs["grafanaUrl"] == "http://localhost:3000"
    tunnel = record.outputs["forwards"][-1]
    assert tunnel["localPort"] == 3000
    assert (tunnel["namespace"], tunnel["service"], tunnel["port"]) == ("manta-monitoring", "grafana", 80)
    assert record.outputs["grafanaPassword"]["value"].startswith("Generated")


def test_a_public_address_of_grafana_is_that_of_the_browsers(program: Program) -> None:
    record = program.deploy(**INSTALL, grafanaUrl="https://grafana.example.com")

    variables = head_environment(record)
    assert variables["RAY_GRAFANA_HOST"] == "http://grafana.manta-monitoring:80"
    assert variables["RAY_GRAFANA_IFRAME_HOST"] == record.outputs["grafanaUrl"] == "https://grafana.example.com"


def test_the_values_of_the_site_replace_those_of_the_stack_and_keep_the_others(program: Program) -> None:
    site: dict[str, object] = {
        "prometheus": {"prometheusSpec": {"retention": "30d"}},
        "alertmanager": {"enabled": True},
    }

    own, changed = values_of(program.deploy(**INSTALL)), values_of(program.deploy(**INSTALL, monitoringValues=site))

    assert changed["alertmanager"] == {"enabled": True}
    assert changed["prometheus"]["prometheusSpec"].pop("retention") == "30d"
    assert own["prometheus"]["prometheusSpec"].pop("retention") == "10d"
    assert changed["prometheus"] == own["prometheus"]


def test_without_grafana_there_is_no_address_of_it(program: Program) -> None:
    record = program.deploy(**INSTALL, monitoringValues=NO_GRAFANA)

    assert "RAY_GRAFANA_HOST" not in head_environment(record)
    assert "grafanaUrl" not in record.outputs
    assert namespaces_of(record, CONFIG_MAP, "dashboard-") == {"manta"}


def test_images_come_from_the_mirror_with_the_secret_for_it(program: Program) -> None:
    record = program.deploy(**INSTALL, imageRegistry="registry.example.com/mirror", imagePullSecret="registry")

    assert values_of(record)["global"] == {
        "imageRegistry": "registry.example.com/mirror",
        "imagePullSecrets": [{"name": "registry"}],
    }


def test_the_crds_are_applied_before_the_release_and_the_monitors_and_carry_the_version_of_the_chart(
    program: Program,
) -> None:
    record = program.deploy(**INSTALL)

    command = record.resource("command:local:Command", "monitoring-prometheus-crds")
    for urn in (record.resource(RELEASE, "monitoring-prometheus-release").urn, record.of_type(POD_MONITOR)[0].urn):
        assert command.urn in record.prerequisites(urn)
    document = json.loads((program.root / command.inputs["environment"]["MANTA_CRDS"]).read_text())
    for item in document["items"]:
        assert item["metadata"]["annotations"][prometheus.CRD_ANNOTATION] == "88.5.3"


def test_the_doctor_counts_the_requests_of_the_release(program: Program) -> None:
    values = values_of(program.deploy(**INSTALL))
    operator, grafana = values["prometheusOperator"], values["grafana"]
    parts = [
        operator["resources"],
        operator["prometheusConfigReloader"]["resources"],
        values["prometheus"]["prometheusSpec"]["resources"],
        values["kube-state-metrics"]["resources"],
        grafana["resources"],
        *[grafana["sidecar"]["resources"]] * 2,  # one for dashboards, one for the data source
    ]

    more, fewer = (resources.requested_resources(text_of("dev", changes))[0] for changes in (INSTALL, {}))

    for kind in ("cpu", "memory"):
        total = sum(resources.parse_quantity(part["requests"][kind]) for part in parts)
        assert more[kind] - fewer[kind] == total


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        (
            {"monitoringNamespace": "monitoring"},
            ("monitoringNamespace: given monitoring", "config rm monitoringNamespace"),
        ),
        ({"prometheusUrl": "http://p:9090"}, ("prometheusUrl: given http://p:9090", "config rm prometheusUrl")),
        ({"monitoringLabels": {"release": "x"}}, ("monitoringLabels: set", "config rm monitoringLabels")),
        ({"namespace": "n" * 43}, ("at most 53 characters", f"config set namespace {'n' * 42}")),
    ],
)
def test_keys_that_do_not_fit_to_an_own_prometheus_are_refused(
    changes: dict[str, object], texts: tuple[str, str]
) -> None:
    with pytest.raises(SettingsError) as error:
        parsed(**INSTALL, **changes)

    for text in texts:
        assert text in str(error.value)


def test_values_of_a_chart_that_the_stack_does_not_install_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"monitoringValues: set, but monitoring is existing.*monitoring install"):
        parsed(monitoring="existing", monitoringNamespace="monitoring", monitoringValues=NO_GRAFANA)


@pytest.mark.parametrize(("annotations", "is_refused"), [({}, True), ({versions.PROMETHEUS.annotation: "1.0"}, False)])
def test_the_crds_of_another_prometheus_operator_are_left_alone(
    annotations: dict[str, str], is_refused: object
) -> None:
    found = crd(PROMETHEUS_CRD) | {"metadata": {"name": PROMETHEUS_CRD, "annotations": annotations}}
    state = ClusterState(version="v1.34.4", namespaces={}, operators=[], crds={PROMETHEUS_CRD: found})

    text = ""
    try:
        run(parsed(**INSTALL), lambda _reader, _wanted: state)
    except PreflightError as error:
        text = str(error)

    assert ("pulumi config set monitoring existing" in text) is is_refused
