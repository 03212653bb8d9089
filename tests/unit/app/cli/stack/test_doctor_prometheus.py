import json

import pytest

from app.cli.json_object import JsonObject
from app.cli.stack.doctor import prometheus
from app.cli.stack.doctor.checks import CheckResult, Status
from app.cli.stack.programs import Kubectl, ProgramError

RELEASE: JsonObject = {"matchLabels": {"release": "kube-prometheus-stack"}}


def server(selector: JsonObject | None) -> JsonObject:
    spec = {} if selector is None else {"podMonitorSelector": selector, "ruleSelector": selector}
    return {"metadata": {"namespace": "monitoring", "name": "k8s"}, "spec": spec}


def check(
    monkeypatch: pytest.MonkeyPatch, *servers: JsonObject, monitoring: str = "existing", **labels: str
) -> list[CheckResult]:
    monkeypatch.setattr(Kubectl, "items", lambda *_: list(servers))
    configuration = {"monitoring": monitoring, "monitoringLabels": json.dumps(labels)}
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


def test_a_cluster_without_a_prometheus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    [result] = check(monkeypatch)

    assert (result.status, result.check) == (Status.UNSURE, "prometheus")


def test_a_cluster_without_the_operator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def items(*_: str) -> list[JsonObject]:
        raise ProgramError("the server doesn't have a resource type")

    monkeypatch.setattr(Kubectl, "items", items)
    [result] = prometheus.run_checks({"monitoring": "existing"}, Kubectl("minikube"))

    assert "the server doesn't have a resource type" in result.detail


def test_a_stack_without_monitoring_has_no_such_check(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(monkeypatch, server(RELEASE), monitoring="none") == []
