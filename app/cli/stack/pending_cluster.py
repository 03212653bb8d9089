"""The Ray cluster that an upgrade has started and that does not serve yet: KubeRay's pending cluster."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from app import names
from app.cli.json_object import JsonObject
from app.cli.stack.outputs import StackError, StackOutputs, Tunnel
from app.cli.stack.programs import Kubectl, ProgramError

DASHBOARD_PORT: Final = 8265
"""Port of Ray's dashboard on the head."""


WORKERS_SELECTOR: Final = "ray.io/node-type=worker,ray.io/cluster="
"""Label selector of the workers of a Ray cluster, without the name of the cluster."""

LAST_MESSAGE_COMMAND: Final = (
    f'grep -h "{names.NOT_READY_MESSAGE}" /tmp/ray/session_latest/logs/serve/replica_* | tail -n 1'
)
"""Shell command that prints the last message of a replica that has no version to serve."""


def find(services: Sequence[JsonObject]) -> JsonObject | None:
    """Find the status of the pending Ray cluster among the RayServices of a namespace; None without an upgrade."""
    for service in services:
        status: JsonObject = service.get("status", {}).get("pendingServiceStatus") or {}
        if status.get("rayClusterName"):
            return status
    return None


def not_ready_reason(kubectl: Kubectl, namespace: str, cluster: str) -> str:
    """Read from the logs of a Ray cluster why its replicas have no version to serve; empty if no log says it.

    Raises:
        ProgramError: `kubectl` cannot list the workers.
    """
    for pod in kubectl.items("pods", "-n", namespace, "-l", WORKERS_SELECTOR + cluster):
        name = pod["metadata"]["name"]
        with suppress(ProgramError):  # the worker is starting
            line = kubectl.run("exec", name, "-n", namespace, "--", "sh", "-c", LAST_MESSAGE_COMMAND)
            if names.NOT_READY_MESSAGE in line:
                return line.partition(names.NOT_READY_MESSAGE + ": ")[2].strip()
    return ""


def find_tunnel(outputs: StackOutputs) -> Tunnel:
    """Describe the tunnel to the head of the stack's pending Ray cluster. Its local port is 0: choose a free one.

    Raises:
        StackError: No upgrade is in progress, its cluster has no head yet, or `kubectl` fails.
    """
    try:
        services = Kubectl(outputs.context).items("rayservices.ray.io", "-n", outputs.namespace)
    except ProgramError as error:
        raise StackError(
            f"The RayService in the namespace {outputs.namespace} cannot be read: {error}",
            next_step=f"Start the cluster, or check that {outputs.context} is the right context.",
        ) from error
    pending = find(services)
    if pending is None:
        raise StackError(
            f"The namespace {outputs.namespace} has no pending Ray cluster: no upgrade is in progress.",
            next_step="Start the upgrade with `pulumi up` in another terminal, and repeat the command while it waits. "
            "To train on the Ray cluster that serves, leave out --pending.",
        )
    head = pending.get("rayClusterStatus", {}).get("head", {}).get("serviceName")
    if not head:
        raise StackError(
            f"The pending Ray cluster {pending['rayClusterName']} has no head yet.",
            next_step="Repeat the command in a minute. If the head does not start, `manta doctor` says why.",
        )
    return Tunnel(name="ray", namespace=outputs.namespace, service=head, port=DASHBOARD_PORT, local_port=0)
