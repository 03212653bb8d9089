"""How the parts of a stack that is up are, each with the next step where it is not well."""

from collections.abc import Iterator
from typing import Any, Final

import httpx

from app.cli.stack.doctor.checks import AskError, Finding, Kubectl, Status, is_found
from app.cli.stack.outputs import Outputs

PARTS: Final = {
    "operator": "app.kubernetes.io/name=kuberay-operator",
    "redis": "app.kubernetes.io/component=redis",
    "mlflow": "app.kubernetes.io/component=mlflow",
    "ray head": "ray.io/node-type=head",
    "ray workers": "ray.io/node-type=worker",
}
HTTP_TIMEOUT_S: Final = 5


def findings(outputs: Outputs) -> Iterator[Finding]:
    """Every check of a stack that is up."""
    kubectl = Kubectl(outputs.context)
    try:
        for part, selector in PARTS.items():
            namespace = f"{outputs.namespace}-operator" if part == "operator" else outputs.namespace
            yield _pods(part, namespace, kubectl.items("pods", "-n", namespace, "-l", selector))
        yield _service(outputs.namespace, kubectl.items("rayservices.ray.io", "-n", outputs.namespace))
        yield from _volumes(outputs.namespace, kubectl.items("persistentvolumeclaims", "-n", outputs.namespace))
    except AskError as error:
        yield Finding("cluster", Status.WRONG, str(error), "Start the cluster, or check the context.")
        return
    yield _answers("Ray", outputs.ray_dashboard_url)
    yield _answers("MLflow", outputs.mlflow_url)
    yield _answers("Serve", outputs.serve_url)


def _pods(part: str, namespace: str, pods: list[dict[str, Any]]) -> Finding:
    if not pods:
        return Finding(part, Status.WRONG, "there is no pod", f"kubectl get events -n {namespace}")
    unwell = [pod for pod in pods if not _is_ready(pod)]
    restarts = sum(status.get("restartCount", 0) for pod in pods for status in _statuses(pod))
    detail = f"{len(pods) - len(unwell)} of {len(pods)} ready, {restarts} restarts"
    if not unwell:
        return Finding(part, Status.OK, detail)
    name = unwell[0]["metadata"]["name"]
    reason = _reason(unwell[0])
    verb = "describe pod" if reason in ("Pending", "ErrImagePull", "ImagePullBackOff") else "logs --previous"
    step = f"kubectl {verb} {name} -n {namespace}"
    return Finding(part, Status.WRONG, f"{detail}; {name}: {reason}", step)


def _service(namespace: str, services: list[dict[str, Any]]) -> Finding:
    if not services:
        return Finding("ray service", Status.WRONG, "there is none", "pulumi up --refresh")
    conditions = {c["type"]: c for c in services[0].get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    if ready.get("status") != "True":
        step = f"kubectl describe rayservice {services[0]['metadata']['name']} -n {namespace}"
        return Finding("ray service", Status.WRONG, str(ready.get("message", "not ready")), step)
    upgrading = conditions.get("UpgradeInProgress", {}).get("status") == "True"
    return Finding("ray service", Status.OK, "ready, and an upgrade is under way" if upgrading else "ready")


def _volumes(namespace: str, claims: list[dict[str, Any]]) -> Iterator[Finding]:
    for claim in claims:
        name, phase = claim["metadata"]["name"], claim["status"]["phase"]
        yield is_found(phase == "Bound", f"volume {name}", phase, f"kubectl describe pvc {name} -n {namespace}")


def _answers(name: str, url: str) -> Finding:
    """Whether a URL of the stack answers; a refusal is an answer."""
    try:
        code = httpx.get(url, timeout=HTTP_TIMEOUT_S).status_code
    except httpx.HTTPError as error:
        step = "manta forward" if "//localhost" in url else "See that this machine reaches the cluster's address."
        return Finding(f"{name} address", Status.WRONG, f"{url} does not answer: {error}", step)
    return is_found(code < httpx.codes.INTERNAL_SERVER_ERROR, f"{name} address", f"{url} answers {code}", "See above.")


def _is_ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def _statuses(pod: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pod["status"].get("containerStatuses", [])
    return found


def _reason(pod: dict[str, Any]) -> str:
    """Why a pod is not ready, in the words of Kubernetes."""
    for status in _statuses(pod):
        for state in (status.get("lastState", {}).get("terminated"), status.get("state", {}).get("waiting")):
            if state and state.get("reason"):
                return str(state["reason"])
    return "not ready" if pod["status"].get("phase") == "Running" else str(pod["status"].get("phase", "unknown"))
