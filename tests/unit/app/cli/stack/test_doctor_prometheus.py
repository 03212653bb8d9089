import json

import pytest

from app.cli.json_object import JsonObject
from app.cli.stack.doctor import prometheus
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.programs import Kubectl, ProgramError

RELEASE: JsonObject = {"matchLabels": {"release": "kube-prometheus-stack"}}
ALL: JsonObject = {}
NAMESPACE: JsonObject = {"metadata": {"name": "team-a", "labels": {"team": "a"}}}


def server(
    selector: JsonObject | None, *, namespaces: JsonObject | None = ALL, namespace: str = "monitoring"
) -> JsonObject:
    fields = {
        "podMonitorSelector": selector,
        "ruleSelector": selector,
        "podMonitorNamespaceSelector": namespaces,
        "ruleNamespaceSelector": namespaces,
    }
    spec = {field: value for field, value in fields.items() if value is not None}
    return {"metadata": {"namespace": namespace, "name": "k8s"}, "spec": spec}


def check(
    monkeypatch: pytest.MonkeyPatch, *servers: JsonObject, monitoring: str = "existing", **labels: str
) -> list[CheckResult]:
    monkeypatch.setattr(Kubectl, "items", lambda *_: list(servers))
    monkeypatch.setattr(Kubectl, "run", lambda *_, **__: json.dumps(NAMESPACE))
    configuration = {"monitoring": monitoring, "monitoringLabels": json.dumps(labels), "namespace": "team-a"}
    return list(prometheus.run_checks(configuration, Kubectl("minikube")))


def test_monitors_without_the_label_of_the_release_are_named_with_the_command_that_adds_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = check(monkeypatch, server(RELEASE))

    assert [result.status for result in results] == [Status.WRONG, Status.WRONG]
    assert results[0].detail == "no Prometheus selects them (podMonitorSelector)"
    assert results[0].next_step == "pulumi config set --path 'monitoringLabels[\"release\"]' kube-prometheus-stack"


@pytest.mark.parametrize(
    "selector",
    [
        {},
        RELEASE,
        {"matchExpressions": [{"key": "release", "operator": "In", "values": ["other", "kube-prometheus-stack"]}]},
        {"matchExpressions": [{"key": "release", "operator": "Exists"}, {"key": "skip", "operator": "DoesNotExist"}]},
    ],
)
def test_monitors_with_the_labels_of_a_selector_are_selected(
    monkeypatch: pytest.MonkeyPatch, selector: JsonObject
) -> None:
    results = check(monkeypatch, server(None), server(selector), release="kube-prometheus-stack")

    assert [result.detail for result in results] == ["selected by monitoring/k8s"] * 2


def test_a_prometheus_without_a_selector_selects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    results = check(monkeypatch, server(None), release="kube-prometheus-stack")

    assert [result.status for result in results] == [Status.WRONG, Status.WRONG]
    assert "podMonitorSelector" in results[0].next_step


@pytest.mark.parametrize(
    "namespaces", [ALL, {"matchLabels": {"team": "a"}}, {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}]
)
def test_monitors_in_a_selected_namespace_are_selected(monkeypatch: pytest.MonkeyPatch, namespaces: JsonObject) -> None:
    results = check(monkeypatch, server(ALL, namespaces=namespaces))

    assert [result.status for result in results] == [Status.OK, Status.OK]


@pytest.mark.parametrize("namespaces", [None, {"matchLabels": {"team": "b"}}])
def test_monitors_in_a_namespace_that_no_prometheus_selects_are_named_with_the_field(
    monkeypatch: pytest.MonkeyPatch, namespaces: JsonObject | None
) -> None:
    results = check(monkeypatch, server(ALL, namespaces=namespaces))

    assert [result.status for result in results] == [Status.WRONG, Status.WRONG]
    assert results[1].detail == "no Prometheus selects them (ruleNamespaceSelector)"
    assert results[1].next_step == "Let monitoring/k8s select the namespace team-a: its field ruleNamespaceSelector."


def test_a_prometheus_without_a_selector_of_namespaces_selects_its_own_namespace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    results = check(monkeypatch, server(ALL, namespaces=None, namespace="team-a"))

    assert [result.detail for result in results] == ["selected by team-a/k8s"] * 2


def test_the_name_of_a_namespace_that_does_not_exist_yet_can_be_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    by_name: JsonObject = {"matchLabels": {"kubernetes.io/metadata.name": "team-a"}}
    monkeypatch.setattr(Kubectl, "items", lambda *_: [server(ALL, namespaces=by_name)])
    monkeypatch.setattr(Kubectl, "run", lambda *_, **__: "")

    results = list(prometheus.run_checks({"monitoring": "existing", "namespace": "team-a"}, Kubectl("minikube")))

    assert [result.status for result in results] == [Status.OK, Status.OK]


def test_a_cluster_without_a_prometheus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    [result] = check(monkeypatch)

    assert (result.status, result.check) == (Status.UNSURE, "prometheus")


@pytest.mark.parametrize(
    ("error", "next_step"),
    [
        ('error: the server doesn\'t have a resource type "prometheuses"', "Install the Prometheus operator"),
        (
            "Error from server (Forbidden): prometheuses.monitoring.coreos.com is forbidden: User cannot list resource",
            "Let the user of the kubeconfig list prometheuses.monitoring.coreos.com",
        ),
        ("kubectl did not answer in 20 s", "Read the error of kubectl"),
    ],
    ids=["no operator", "no right", "no answer"],
)
def test_an_error_of_kubectl_is_shown_with_the_next_step_for_it(
    monkeypatch: pytest.MonkeyPatch, error: str, next_step: str
) -> None:
    def items(*_: str) -> list[JsonObject]:
        raise ProgramError(error)

    monkeypatch.setattr(Kubectl, "items", items)
    [result] = prometheus.run_checks({"monitoring": "existing", "namespace": "team-a"}, Kubectl("minikube"))

    assert result.detail == error
    assert result.next_step.startswith(next_step)


@pytest.mark.parametrize(
    ("crd", "status", "detail"),
    [
        ("", Status.OK, "none; `pulumi up` installs one"),
        ('{"metadata": {}}', Status.WRONG, "the CRD prometheuses.monitoring.coreos.com is of another one"),
    ],
)
def test_a_prometheus_operator_of_others_is_named_before_the_stack_installs_its_own(
    monkeypatch: pytest.MonkeyPatch, crd: str, status: Status, detail: str
) -> None:
    monkeypatch.setattr(Kubectl, "run", lambda *_, **__: crd)

    [result] = prometheus.run_checks({"monitoring": "install", "namespace": "team-a"}, Kubectl("minikube"))

    assert (result.status, result.detail) == (status, detail)


def test_the_prometheus_that_the_stack_installed_must_select_its_monitors(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {"metadata": {"annotations": {prometheus.CRD_ANNOTATION: "88.5.3"}}}
    documents = {"customresourcedefinition": own, "namespace": NAMESPACE}
    monkeypatch.setattr(Kubectl, "items", lambda *_: [server(ALL)])
    monkeypatch.setattr(Kubectl, "run", lambda _self, _verb, kind, *_, **__: json.dumps(documents[kind]))

    results = list(prometheus.run_checks({"monitoring": "install", "namespace": "team-a"}, Kubectl("minikube")))

    assert [(result.check, result.status) for result in results] == [
        ("prometheus operator", Status.OK),
        ("prometheus monitors", Status.OK),
        ("prometheus alerts", Status.OK),
    ]


def test_a_stack_without_monitoring_has_no_such_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, server(RELEASE), monitoring="none") == []
