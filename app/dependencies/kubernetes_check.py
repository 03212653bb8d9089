"""Checks DNS and the API server, which Ray's autoscaler asks for pods."""

from typing import Final

from app.dependencies.result import Result, Status, connect, resolve

NAME: Final = "kubernetes"
CLUSTER_NAME: Final = "kubernetes.default.svc"
"""The name of the API server in every cluster."""


def check(host: str, port: int) -> Result:
    """Check that a pod resolves names of the cluster, and reaches the API server.

    Args:
        host: Address of the API server, as Kubernetes sets it in every pod.
        port: Its port.

    Raises:
        CheckFailedError: DNS or the API server does not answer.
    """
    resolve(CLUSTER_NAME, key="")
    connect(host, port, next_step="Allow the pods to reach it: pulumi config set --path 'extraEgress[0].cidr' CIDR")
    return Result(check=NAME, status=Status.OK, detail=f"DNS and the API server at {host}:{port} answer.")
