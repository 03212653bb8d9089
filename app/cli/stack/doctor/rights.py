"""`manta doctor --rights`: the RBAC rights that `pulumi up` needs, and whether the user of the kubeconfig has them.

`app` must not import `infra`. A test compares the rights with the objects that `infra` registers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.cli.stack.doctor import cluster_fit
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.programs import Kubectl, ProgramError

READ: Final = ("get", "list", "watch")
EDIT: Final = (*READ, "create", "update", "patch", "delete")
GRANT: Final = (*EDIT, "bind", "escalate")
"""Kubernetes lets a user grant a right that the user lacks only with these two verbs."""
ALL_NAMESPACES: Final = ""
TIMEOUT_S: Final = 60
"""Timeout of the request that asks for all rights at once."""

BOTH: Final = {
    "secrets": EDIT,
    "configmaps": EDIT,
    "services": EDIT,
    "serviceaccounts": EDIT,
    "pods": READ,
    "pods/log": ("get",),
    "events": READ,
    "deployments.apps": EDIT,
    "replicasets.apps": READ,
}
"""Rights in both namespaces: the objects of the stack and of the two Helm releases, and what Pulumi waits for."""
WORKLOADS: Final = {
    "persistentvolumeclaims": EDIT,
    "pods/exec": ("create",),
    "endpoints": READ,
    "endpointslices.discovery.k8s.io": READ,
    "statefulsets.apps": EDIT,
    "jobs.batch": EDIT,
    "poddisruptionbudgets.policy": EDIT,
    "rayservices.ray.io": EDIT,
    "rayclusters.ray.io": (*READ, "delete"),
    "rayjobs.ray.io": (*READ, "delete"),
}
"""Further rights in the namespace of the workloads."""
ROUTES: Final = {"ingress": "ingresses.networking.k8s.io", "gateway": "httproutes.gateway.networking.k8s.io"}
"""Objects that lead to the services, by `access`."""
MONITORING: Final = {"podmonitors.monitoring.coreos.com": EDIT, "prometheusrules.monitoring.coreos.com": EDIT}
"""Rights for the objects of `monitoring`."""
PROMETHEUS_STACK: Final = {
    **{f"{kind}.monitoring.coreos.com": EDIT for kind in ("prometheuses", "servicemonitors")},
    "persistentvolumeclaims": READ,
    "statefulsets.apps": READ,
}
"""Rights in the namespace of the Prometheus that `monitoring: install` creates."""
CLUSTER_ROLES: Final = {
    "clusterroles.rbac.authorization.k8s.io": GRANT,
    "clusterrolebindings.rbac.authorization.k8s.io": EDIT,
}
"""Rights to install this Prometheus, which reads nodes and the metrics of pods in the whole cluster."""
ROLES: Final = {"roles.rbac.authorization.k8s.io": GRANT, "rolebindings.rbac.authorization.k8s.io": EDIT}
"""Rights to install the operator, whose role covers the namespace of the workloads."""


@dataclass(frozen=True)
class Right:
    """Verbs on one kind of object."""

    resource: str
    """Plural name with the API group, such as `deployments.apps`, and with the subresource, such as `pods/log`."""
    verbs: tuple[str, ...]
    namespace: str
    """Empty: all namespaces, or a kind of object without a namespace."""

    def __str__(self) -> str:
        place = f"in {self.namespace}" if self.namespace else "in the whole cluster"
        return f"{', '.join(self.verbs)} {self.resource} {place}"


def required_rights(configuration: Mapping[str, str]) -> list[Right]:
    """The rights that `pulumi up` and `pulumi destroy` need.

    Args:
        configuration: Configuration of the stack with its defaults.
    """
    workloads, operator = configuration["namespace"], cluster_fit.operator_namespace(configuration)
    is_installed = configuration["installOperator"] == "true"
    kinds = BOTH | WORKLOADS
    if configuration["networkPolicies"] == "true":
        kinds |= {"networkpolicies.networking.k8s.io": EDIT}
    if route := ROUTES.get(configuration["access"]):
        kinds |= {route: EDIT}
    if configuration["monitoring"] != "none":
        kinds |= MONITORING
    if configuration["trainSchedule"] or configuration["driftSchedule"]:
        kinds |= {"cronjobs.batch": EDIT}
    rights = _rights(kinds | (ROLES if is_installed else {}), workloads)
    policies = {kind: verbs for kind, verbs in kinds.items() if kind.startswith("networkpolicies")}
    if is_installed:
        rights += _rights(BOTH | policies | ROLES, operator)
    if configuration["monitoring"] == "install":
        rights += _rights(BOTH | policies | ROLES | PROMETHEUS_STACK, f"{workloads}-monitoring")
    return rights + _cluster_rights(configuration)


def _cluster_rights(configuration: Mapping[str, str]) -> list[Right]:
    kinds: dict[str, tuple[str, ...]] = {"namespaces": ("get",), "deployments.apps": ("list",)}
    kinds["customresourcedefinitions.apiextensions.k8s.io"] = ("get", "list")
    if configuration["createNamespaces"] == "true":
        kinds["namespaces"] = EDIT
    if configuration["installCrds"] == "true":
        kinds["customresourcedefinitions.apiextensions.k8s.io"] = EDIT
    if configuration["monitoring"] == "install":
        kinds |= CLUSTER_ROLES | {"customresourcedefinitions.apiextensions.k8s.io": EDIT}
    return _rights(kinds, ALL_NAMESPACES)


def _rights(kinds: Mapping[str, tuple[str, ...]], namespace: str) -> list[Right]:
    return [Right(resource, verbs, namespace) for resource, verbs in kinds.items()]


def run_checks(configuration: Mapping[str, str], kubectl: Kubectl) -> Iterator[CheckResult]:
    """Check each right. A cluster that cannot be asked leaves every right unsure, so that the list is still printed."""
    rights = required_rights(configuration)
    try:
        allowed = set(_allowed(rights, kubectl))
    except ProgramError as error:
        for right in rights:
            yield CheckResult(str(right), Status.UNSURE, str(error))
        return
    for right in rights:
        missing = [verb for verb in right.verbs if (right, verb) not in allowed]
        detail = f"missing: {', '.join(missing)}" if missing else "granted"
        next_step = "Ask the administrator of the cluster for this right."
        yield pass_or_fail(str(right), detail, next_step, has_passed=not missing)


def _allowed(rights: Sequence[Right], kubectl: Kubectl) -> Iterator[tuple[Right, str]]:
    """The rights that the user has, one verb at a time.

    Raises:
        ProgramError: The cluster does not answer.
    """
    questions = [(right, verb) for right in rights for verb in right.verbs]
    reviews = {"apiVersion": "v1", "kind": "List", "items": [_review(right, verb) for right, verb in questions]}
    template = "jsonpath={.status.allowed}{'\\n'}"
    text = kubectl.run("create", "-f", "-", "-o", template, input_text=json.dumps(reviews), timeout_s=TIMEOUT_S)
    for question, answer in zip(questions, text.splitlines(), strict=True):
        if answer == "true":
            yield question


def _review(right: Right, verb: str) -> dict[str, object]:
    """<https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>."""
    name, _, group = right.resource.partition(".")
    resource, _, subresource = name.partition("/")
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes | ({"namespace": right.namespace} if right.namespace else {})},
    }
