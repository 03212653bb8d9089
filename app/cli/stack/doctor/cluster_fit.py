"""Checks of `manta doctor` whether a cluster fits the stack: its version, other KubeRay operators, CRDs, the Gateway.

`pulumi up` refuses the same clusters (`infra/preflight`). `app` must not import `infra`; a test compares the two.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from app.cli.json_object import JsonObject
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.programs import Kubectl, ProgramError

MIN_KUBERNETES: Final = (1, 27)
"""The first version with `unhealthyPodEvictionPolicy` of budgets and `timeZone` of CronJobs, which the stack uses."""
OPERATOR_SELECTOR: Final = "app.kubernetes.io/name in (kuberay-operator, kuberay)"
OPERATOR: Final = "kuberay-operator"
GATEWAYS: Final = "gateways.gateway.networking.k8s.io"
CRDS: Final = ("rayclusters.ray.io", "rayservices.ray.io")


def run_checks(configuration: Mapping[str, str], kubectl: Kubectl, *, version: str) -> Iterator[CheckResult]:
    """Run every check.

    Args:
        configuration: Configuration of the stack with its defaults.
        kubectl: kubectl for the stack's cluster.
        version: Version of the API server, such as `v1.34.4`.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    minimum = ".".join(map(str, MIN_KUBERNETES))
    detail = f"{version}; {minimum} or newer is needed"
    yield pass_or_fail("kubernetes", detail, "Upgrade the cluster.", has_passed=numbers >= MIN_KUBERNETES)
    try:
        operators = kubectl.items("deployments.apps", "--all-namespaces", "-l", OPERATOR_SELECTOR)
        yield check_operators(configuration, operators)
        crds = {crd["metadata"]["name"] for crd in kubectl.items("customresourcedefinitions")}
    except ProgramError as error:
        next_step = "Ask the administrator of the cluster which KubeRay operators run in it."
        yield CheckResult("kuberay operator", Status.UNSURE, str(error), next_step)
        return
    if configuration["installCrds"] != "true":
        missing = [name for name in CRDS if name not in crds]
        next_step = "Install the CRDs with the operator of the cluster, or: pulumi config set installCrds true"
        detail = f"missing: {', '.join(missing)}" if missing else "exist"
        yield pass_or_fail("kuberay crds", detail, next_step, has_passed=not missing)
    if configuration.get("access") == "gateway":
        yield check_gateway(configuration, kubectl)


def check_gateway(configuration: Mapping[str, str], kubectl: Kubectl) -> CheckResult:
    """Check that the Gateway exists, and that one of its HTTPS listeners admits the HTTPRoutes of the stack."""
    next_step = "pulumi config set gateway NAMESPACE/NAME"
    gateway_namespace, _, name = configuration["gateway"].partition("/")
    try:
        gateways = kubectl.items(GATEWAYS, "-n", gateway_namespace)
    except ProgramError as error:
        return CheckResult("gateway", Status.WRONG, str(error), f"Install the Gateway API, or: {next_step}")
    gateway = next((item for item in gateways if item["metadata"]["name"] == name), None)
    if gateway is None:
        return CheckResult("gateway", Status.WRONG, f"{configuration['gateway']} does not exist", next_step)
    # The default of `from` is `Same`. Only the Gateway's controller evaluates a selector.
    admitted = ("All", "Selector", *(["Same"] if gateway_namespace == configuration["namespace"] else []))
    listeners = [
        listener
        for listener in gateway["spec"]["listeners"]
        if listener["protocol"] == "HTTPS"
        and listener.get("allowedRoutes", {}).get("namespaces", {}).get("from", "Same") in admitted
    ]
    detail = f"{len(listeners)} HTTPS listeners of {configuration['gateway']} admit {configuration['namespace']}"
    next_step = "Add an HTTPS listener with `allowedRoutes.namespaces.from: All` or a selector to the Gateway."
    return pass_or_fail("gateway", detail, next_step, has_passed=bool(listeners))


def operator_namespace(configuration: Mapping[str, str]) -> str:
    """Namespace of the operator."""
    return configuration["operatorNamespace"] or f"{configuration['namespace']}-operator"


def check_operators(configuration: Mapping[str, str], operators: Sequence[JsonObject]) -> CheckResult:
    """Check that exactly one operator will manage the Ray clusters of the stack's namespace.

    Args:
        configuration: Configuration of the stack with its defaults.
        operators: Deployments of KubeRay operators in all namespaces.
    """
    namespace = configuration["namespace"]
    is_installed = configuration["installOperator"] == "true"
    own = {f"{namespace}-operator", *([operator_namespace(configuration)] if is_installed else [])}
    places = [
        operator["metadata"]["namespace"]
        for operator in operators
        if watches(operator, namespace)
        and not (operator["metadata"]["name"] == OPERATOR and operator["metadata"]["namespace"] in own)
    ]
    if is_installed:
        detail = (
            f"those in {', '.join(places)} watch {namespace} too"
            if places
            else f"none but the stack's watches {namespace}"
        )
        next_step = (
            "pulumi config set installOperator false && pulumi config set installCrds false && "
            f"pulumi config set operatorNamespace {places[0] if places else ''}"
        )
        return pass_or_fail("kuberay operator", detail, next_step, has_passed=not places)
    detail = f"the one in {places[0]} watches {namespace}" if places else f"none watches {namespace}"
    next_step = "pulumi config set installOperator true && pulumi config set installCrds true"
    return pass_or_fail("kuberay operator", detail, next_step, has_passed=bool(places))


def watches(operator: JsonObject, namespace: str) -> bool:
    """Whether an operator manages the Ray clusters of a namespace: without `--watch-namespace` it manages all."""
    arguments = operator["spec"]["template"]["spec"]["containers"][0].get("args") or []
    for index, argument in enumerate(arguments):
        name, _, value = str(argument).lstrip("-").partition("=")
        if name == "watch-namespace":
            value = value or (str(arguments[index + 1]) if index + 1 < len(arguments) else "")
            return namespace in value.split(",") if value else True
    return True
