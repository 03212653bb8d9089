"""`python -m app.cli.stack.progress`: says, while `pulumi up` waits for the RayService, what the RayService waits for.

The Pulumi program runs it beside the RayService. Each line is printed once, to stderr, which Pulumi shows.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from app.cli.json_object import JsonObject
from app.cli.stack import pending_cluster
from app.cli.stack.programs import Kubectl, ProgramError
from app.command import run_command, single_command_app

POLL_S: Final = 5.0
SETTLE_S: Final = 20.0
"""Time in which KubeRay notices a change. Until then the RayService is still ready because of its old spec."""
DEADLINE_S: Final = 1800.0
"""Time after which Pulumi itself gives up."""
REFUSAL_INTERVAL_S: Final = 30.0
"""Interval between two looks into the logs of the replicas."""
SELECTOR: Final = "ray.io/cluster"
"""Label of every pod of a Ray cluster."""
WAITING_REASONS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)
"""Reasons of a waiting container that do not pass by themselves."""
QUIET_EVENTS: Final = frozenset({"Unhealthy", "BackOff", "Failed", "FailedScheduling"})
"""Reasons of warnings that are normal while a pod starts, or that the state of the pod says better."""


@dataclass
class Progress:
    """What was printed, and where the RayService is."""

    kubectl: Kubectl
    namespace: str
    name: str
    report: Callable[[str], None]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    printed: set[str] = field(default_factory=set)
    _next_refusal_s: float = 0.0

    def poll(self) -> bool:
        """Print what is new, and return whether the RayService is ready.

        Raises:
            ProgramError: `kubectl` failed.
        """
        services = self.kubectl.items("rayservices.ray.io", "-n", self.namespace)
        service = next((service for service in services if service["metadata"]["name"] == self.name), None)
        if service is not None and is_ready(service):
            return True
        pods = self.kubectl.items("pods", "-n", self.namespace, "-l", SELECTOR)
        self._print(_summary(pods))
        for line in [*self._pod_lines(pods), *self._event_lines(), *_application_lines(service)]:
            self._print(line)
        if service is not None and time.monotonic() >= self._next_refusal_s:
            self._next_refusal_s = time.monotonic() + REFUSAL_INTERVAL_S
            self._print_refusal(service)
        return False

    def _print(self, line: str) -> None:
        if line and line not in self.printed:
            self.printed.add(line)
            self.report(line)

    def _pod_lines(self, pods: list[JsonObject]) -> Iterator[str]:
        for pod in pods:
            name = pod["metadata"]["name"]
            for condition in pod["status"].get("conditions", []):
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    yield f"{name} finds no node: {condition.get('message', 'no reason')}"
            for container in _containers(pod):
                waiting = container.get("state", {}).get("waiting") or {}
                last = container.get("lastState", {}).get("terminated") or {}
                if waiting.get("reason") in WAITING_REASONS:
                    yield f"{name}: {waiting['reason']}: {waiting.get('message', '').strip()}"
                if last:
                    reason = f"{last.get('reason', 'Error')}, exit code {last.get('exitCode')}"
                    yield f"{name}: {container['name']} ended: {reason}; {self._last_log_line(name, container['name'])}"

    def _last_log_line(self, pod: str, container: str) -> str:
        with suppress(ProgramError):
            arguments = ("logs", pod, "-n", self.namespace, "-c", container, "--previous", "--tail=5")
            lines = [line for line in self.kubectl.run(*arguments).splitlines() if line.strip()]
            if lines:
                return f"last line of its log: {lines[-1].strip()}"
        return "no log"

    def _event_lines(self) -> Iterator[str]:
        """Warnings since the start about Ray's objects, such as an exceeded quota."""
        events = self.kubectl.items("events", "-n", self.namespace, "--field-selector", "type=Warning")
        for event in events:
            last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"]["creationTimestamp"]
            is_new = datetime.fromisoformat(last) >= self.started - timedelta(seconds=SETTLE_S)
            if is_new and event.get("reason") not in QUIET_EVENTS:
                yield f"{event['involvedObject']['name']}: {event['reason']}: {str(event.get('message', '')).strip()}"

    def _print_refusal(self, service: JsonObject) -> None:
        """Print why the replicas of a new Ray cluster have no version to serve."""
        if (pending := pending_cluster.find([service])) is None:
            return
        with suppress(ProgramError):
            cluster = pending["rayClusterName"]
            reason = pending_cluster.not_ready_reason(self.kubectl, self.namespace, cluster)
            self._print(f"{cluster} has no version to serve: {reason}" if reason else "")


def is_ready(service: JsonObject) -> bool:
    """Whether the RayService serves with its newest spec."""
    status = service.get("status", {})
    conditions = {condition["type"]: condition["status"] for condition in status.get("conditions", [])}
    is_current = status.get("observedGeneration", 0) >= service["metadata"].get("generation", 0)
    return is_current and conditions.get("Ready") == "True" and conditions.get("UpgradeInProgress") != "True"


def _summary(pods: list[JsonObject]) -> str:
    ready = sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for pod in pods
        for condition in pod["status"].get("conditions", [])
    )
    return f"waiting for the RayService: {ready} of {len(pods)} Ray pods are ready"


def _containers(pod: JsonObject) -> list[JsonObject]:
    status = pod["status"]
    return [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]


def _application_lines(service: JsonObject | None) -> Iterator[str]:
    """What Ray Serve says about an application that it cannot deploy."""
    status = (service or {}).get("status", {})
    for part in ("pendingServiceStatus", "activeServiceStatus"):
        for name, application in ((status.get(part) or {}).get("applicationStatuses") or {}).items():
            if application.get("status") in ("DEPLOY_FAILED", "UNHEALTHY"):
                yield f"Serve application {name}: {application['status']}: {application.get('message', '').strip()}"


def watch(
    context: Annotated[str, typer.Option(help="Context of the kubeconfig.")],
    namespace: Annotated[str, typer.Option(help="Namespace of the RayService.")],
    name: Annotated[str, typer.Option(help="Name of the RayService.")],
) -> None:
    """Print what the RayService waits for, until it is ready or Pulumi gives up."""
    progress = Progress(Kubectl(context), namespace, name, report=lambda line: typer.echo(line, err=True))
    start_s = time.monotonic()
    while (elapsed_s := time.monotonic() - start_s) < DEADLINE_S:
        try:
            if progress.poll() and elapsed_s >= SETTLE_S:
                return
        except ProgramError as error:
            typer.echo(f"kubectl cannot show the progress: {error}", err=True)
            return
        time.sleep(POLL_S)


if __name__ == "__main__":
    run_command(single_command_app(watch))
