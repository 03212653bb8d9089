"""Checks of `manta doctor` for a stack that is up: pods, RayService, volumes and addresses."""

from collections.abc import Iterator
from typing import Final

import httpx

from app.cli.json_object import JsonObject
from app.cli.stack import pending_cluster
from app.cli.stack.doctor import dependencies, served_models
from app.cli.stack.doctor.checks import CheckResult, Status, pass_or_fail
from app.cli.stack.outputs import StackOutputs
from app.cli.stack.programs import Kubectl, ProgramError

SELECTORS: Final = {
    "operator": "app.kubernetes.io/name=kuberay-operator",
    "redis": "app.kubernetes.io/component=redis",
    "mlflow": "app.kubernetes.io/component=mlflow",
    "ray head": "ray.io/node-type=head",
    "ray workers": "ray.io/group=workers",  # workers that only train serve nothing, so they are never ready
}
"""Label selector of the pods of each part."""
HTTP_TIMEOUT_S: Final = 5


def run_checks(outputs: StackOutputs, *, has_redis: bool) -> Iterator[CheckResult]:
    """Run every check of a stack that is up.

    Args:
        outputs: Outputs of the stack.
        has_redis: Whether Redis is a pod of the stack. The Ray head checks an external Redis.
    """
    kubectl = Kubectl(outputs.context)
    try:
        for part, selector in SELECTORS.items():
            if part == "redis" and not has_redis:
                continue
            namespace = outputs.operator_namespace if part == "operator" else outputs.namespace
            yield _check_pods(part, namespace, kubectl.items("pods", "-n", namespace, "-l", selector))
        services = kubectl.items("rayservices.ray.io", "-n", outputs.namespace)
        yield _check_ray_service(outputs.namespace, services)
        heads = kubectl.items("pods", "-n", outputs.namespace, "-l", SELECTORS["ray head"])
        yield from dependencies.run_checks(kubectl, outputs.namespace, heads)
        yield from _check_pending_cluster(kubectl, outputs.namespace, services)
        yield from _check_volumes(outputs.namespace, kubectl.items("persistentvolumeclaims", "-n", outputs.namespace))
    except ProgramError as error:
        next_step = f"Start the cluster, or check that {outputs.context} is the right context."
        yield CheckResult("cluster", Status.WRONG, str(error), next_step)
        return
    yield _check_address("Ray", outputs.ray_dashboard_url)
    yield _check_address("MLflow", outputs.mlflow_url)
    yield _check_address("Serve", outputs.serve_url)
    yield from served_models.run_checks(outputs.serve_url)


def _check_pods(part: str, namespace: str, pods: list[JsonObject]) -> CheckResult:
    if not pods:
        return CheckResult(part, Status.WRONG, "there is no pod", f"kubectl get events -n {namespace}")
    not_ready = [pod for pod in pods if not _is_ready(pod)]
    restarts = sum(status.get("restartCount", 0) for pod in pods for status in _container_statuses(pod))
    detail = f"{len(pods) - len(not_ready)} of {len(pods)} ready, {restarts} restarts"
    if not not_ready:
        return CheckResult(part, Status.OK, detail)
    name = not_ready[0]["metadata"]["name"]
    reason = _not_ready_reason(not_ready[0])
    has_no_log = reason in ("Pending", "ErrImagePull", "ImagePullBackOff")
    next_step = f"kubectl {'describe pod' if has_no_log else 'logs --previous'} {name} -n {namespace}"
    return CheckResult(part, Status.WRONG, f"{detail}; {name}: {reason}", next_step)


def _check_ray_service(namespace: str, services: list[JsonObject]) -> CheckResult:
    if not services:
        return CheckResult("ray service", Status.WRONG, "there is no RayService", "pulumi up --refresh")
    conditions = {condition["type"]: condition for condition in services[0].get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True":
        next_step = f"kubectl describe rayservice {services[0]['metadata']['name']} -n {namespace}"
        return CheckResult("ray service", Status.WRONG, str(ready.get("message", "not ready")), next_step)
    is_upgrading = conditions.get("UpgradeInProgress", {}).get("status") == "True"
    return CheckResult("ray service", Status.OK, "ready; an upgrade is in progress" if is_upgrading else "ready")


def _check_pending_cluster(kubectl: Kubectl, namespace: str, services: list[JsonObject]) -> Iterator[CheckResult]:
    """During an upgrade, check whether the replicas of the new Ray cluster can serve the champion."""
    if (pending := pending_cluster.find(services)) is None:
        return
    cluster = pending["rayClusterName"]
    reason = pending_cluster.not_ready_reason(kubectl, namespace, cluster)
    detail = f"{cluster} is not ready: {reason}" if reason else f"{cluster} is starting"
    next_step = "If the champion is of another release: manta train --pending"
    yield pass_or_fail("pending ray cluster", detail, next_step, has_passed=not reason)


def _check_volumes(namespace: str, claims: list[JsonObject]) -> Iterator[CheckResult]:
    for claim in claims:
        name, phase = claim["metadata"]["name"], claim["status"]["phase"]
        next_step = f"kubectl describe pvc {name} -n {namespace}"
        yield pass_or_fail(f"volume {name}", phase, next_step, has_passed=phase == "Bound")


def _check_address(part: str, url: str) -> CheckResult:
    """Check that a URL answers. An answer of 401 or 403 is fine."""
    check = f"{part} address"
    try:
        status_code = httpx.get(url, timeout=HTTP_TIMEOUT_S).status_code
    except httpx.HTTPError as error:
        has_tunnel = "//localhost" in url
        next_step = "manta forward" if has_tunnel else "Check that this machine can reach the cluster's address."
        return CheckResult(check, Status.WRONG, f"{url} does not answer: {error}", next_step)
    has_passed = status_code < httpx.codes.INTERNAL_SERVER_ERROR
    return pass_or_fail(check, f"{url} answers {status_code}", "See the checks above.", has_passed=has_passed)


def _is_ready(pod: JsonObject) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _container_statuses(pod: JsonObject) -> list[JsonObject]:
    statuses: list[JsonObject] = pod["status"].get("containerStatuses", [])
    return statuses


def _not_ready_reason(pod: JsonObject) -> str:
    """Kubernetes' reason why a pod is not ready, such as `OOMKilled`; else its phase."""
    for status in _container_statuses(pod):
        for state in (status.get("lastState", {}).get("terminated"), status.get("state", {}).get("waiting")):
            if state and state.get("reason"):
                return str(state["reason"])
    return "not ready" if pod["status"].get("phase") == "Running" else str(pod["status"].get("phase", "unknown"))
