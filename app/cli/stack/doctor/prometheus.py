"""Check of `manta doctor` whether a Prometheus of the cluster selects the stack's monitors and alerts.

A Prometheus ignores objects that its selectors do not match, without a message.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.cli.json_object import JsonObject
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.programs import Kubectl, ProgramError

KIND: Final = "prometheuses.monitoring.coreos.com"
CRD_ANNOTATION: Final = "manta/kube-prometheus-stack-version"
"""Annotation of a CRD that `monitoring: install` applied."""
INSTALLED: Final = "that of this project"
NOT_INSTALLED: Final = "none; `pulumi up` installs one"
PART_OF: Final = {"app.kubernetes.io/part-of": "manta"}
"""Label that every object of a stack has."""
OPERATORS: Final[Mapping[str, Callable[[str | None, Sequence[str]], bool]]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}
"""<https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors>"""


@dataclass(frozen=True, kw_only=True)
class Selectors:
    """The two fields of a Prometheus that select one kind of objects."""

    objects: str
    """Field that selects the objects by their labels."""
    namespaces: str
    """Field that selects the namespaces of the objects. Without this field, only the namespace of the Prometheus is
    selected."""


SELECTORS: Final = {
    "monitors": Selectors(objects="podMonitorSelector", namespaces="podMonitorNamespaceSelector"),
    "alerts": Selectors(objects="ruleSelector", namespaces="ruleNamespaceSelector"),
}


def run_checks(configuration: Mapping[str, str], kubectl: Kubectl) -> Iterator[CheckResult]:
    """Check whether a Prometheus selects the monitors and the alerts, if the stack creates them.

    Args:
        configuration: Configuration of the stack with its defaults.
        kubectl: The stack's cluster.
    """
    if configuration.get("monitoring", "none") == "none":
        return
    labels = PART_OF | json.loads(configuration.get("monitoringLabels") or "{}")
    namespace = configuration["namespace"]
    if configuration["monitoring"] == "install":
        operator = check_operator(kubectl)
        yield operator
        if operator.detail != INSTALLED:
            return
    try:
        servers = kubectl.items(KIND, "--all-namespaces")
        namespace_labels = _namespace_labels(namespace, kubectl)
    except ProgramError as error:
        yield CheckResult("prometheus", Status.UNSURE, str(error), _error_step(str(error)))
        return
    if not servers:
        detail = "the cluster has no Prometheus of a Prometheus operator"
        next_step = "Create a Prometheus, or: pulumi config set monitoring none"
        yield CheckResult("prometheus", Status.UNSURE, detail, next_step)
        return
    for objects, fields in SELECTORS.items():
        by_labels = [server for server in servers if is_selected(server["spec"].get(fields.objects), labels)]
        selecting = [
            _name(server)
            for server in by_labels
            if _is_namespace_selected(server, fields.namespaces, namespace, namespace_labels)
        ]
        if not by_labels:
            field, next_step = fields.objects, _labels_step(servers[0], fields.objects)
        else:
            field = fields.namespaces
            next_step = f"Let {_name(by_labels[0])} select the namespace {namespace}: its field {field}."
        detail = f"selected by {', '.join(selecting)}" if selecting else f"no Prometheus selects them ({field})"
        yield pass_or_fail(f"prometheus {objects}", detail, next_step, has_passed=bool(selecting))


def check_operator(kubectl: Kubectl) -> CheckResult:
    """Check that no other Prometheus operator uses the CRDs that `monitoring: install` applies."""
    name = "prometheus operator"
    try:
        crd = kubectl.run("get", "customresourcedefinition", KIND, "--ignore-not-found", "-o", "json")
    except ProgramError as error:
        return CheckResult(name, Status.UNSURE, str(error), _error_step(str(error)))
    if not crd:
        return CheckResult(name, Status.OK, NOT_INSTALLED)
    is_own = CRD_ANNOTATION in (json.loads(crd)["metadata"].get("annotations") or {})
    detail = INSTALLED if is_own else f"the CRD {KIND} is of another one"
    next_step = (
        "pulumi config set monitoring existing && pulumi config set monitoringNamespace NAMESPACE, or if no operator "
        f"uses the CRD any more: kubectl delete crd {KIND}"
    )
    return pass_or_fail(name, detail, next_step, has_passed=is_own)


def _error_step(error: str) -> str:
    """Next step after an error of kubectl. These errors are in English in every locale."""
    if "doesn't have a resource type" in error:
        return "Install the Prometheus operator, or: pulumi config set monitoring none"
    if "forbidden" in error.lower():
        return f"Let the user of the kubeconfig list {KIND} and get the namespace, or read Prometheus' page Targets."
    return "Read the error of kubectl, and run this command again."


def is_selected(selector: JsonObject | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector matches labels. An empty selector matches all labels, a missing selector matches none."""
    if selector is None:
        return False
    if not (selector.get("matchLabels") or {}).items() <= labels.items():
        return False
    return all(
        OPERATORS[expression["operator"]](labels.get(expression["key"]), expression.get("values") or [])
        for expression in selector.get("matchExpressions") or []
    )


def _is_namespace_selected(server: JsonObject, field: str, namespace: str, labels: Mapping[str, str]) -> bool:
    selector = server["spec"].get(field)
    is_same: bool = server["metadata"]["namespace"] == namespace
    return is_same if selector is None else is_selected(selector, labels)


def _namespace_labels(namespace: str, kubectl: Kubectl) -> dict[str, str]:
    """Labels of a namespace; none if the namespace does not exist yet.

    Raises:
        ProgramError: The cluster does not answer, or the user may not read the namespace.
    """
    text = kubectl.run("get", "namespace", namespace, "--ignore-not-found", "-o", "json")
    labels: dict[str, str] = json.loads(text)["metadata"].get("labels") or {} if text else {}
    return {"kubernetes.io/metadata.name": namespace, **labels}


def _name(server: JsonObject) -> str:
    return f"{server['metadata']['namespace']}/{server['metadata']['name']}"


def _labels_step(server: JsonObject, field: str) -> str:
    """The commands that add the labels that a Prometheus selects."""
    selector: JsonObject = server["spec"].get(field) or {}
    required_labels: Mapping[str, str] = selector.get("matchLabels") or {}
    if not required_labels:
        return f"Let {_name(server)} select objects with the labels of monitoringLabels: its field {field}."
    return " && ".join(
        f"pulumi config set --path 'monitoringLabels[\"{label}\"]' {value}" for label, value in required_labels.items()
    )
