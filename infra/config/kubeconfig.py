"""What a kubeconfig says about a context, and whether the cluster behind it is a local one.

`components/cluster.py` asks before anything is registered: a stack must not reach a cluster by mistake.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pulumi
import yaml

LOCAL_NAMES: Final = re.compile(r"minikube|(kind|k3d)-.*|docker-desktop|rancher-desktop|colima|orbstack|microk8s")
"""Context names that local tools give; a Minikube profile of another name is known by its extension."""
LOCAL_HOSTS: Final = frozenset({"localhost", "host.docker.internal", "kubernetes.docker.internal"})
MINIKUBE_EXTENSION: Final = "minikube.sigs.k8s.io"
"""Name under which Minikube signs the contexts that it writes."""


class TargetError(pulumi.RunError):
    """The configured cluster is not there, or is not of the kind that the stack is for."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One context of a kubeconfig."""

    name: str
    server: str
    """URL of the API server."""
    is_minikube: bool
    """Whether Minikube wrote it, whatever the name of the profile."""


def read(files: Iterable[Path]) -> list[dict[str, Any]]:
    """Parse the kubeconfig files that exist."""
    return [parse(path.read_text(encoding="utf-8")) for path in files if path.is_file()]


def parse(text: str) -> dict[str, Any]:
    """Parse the content of a kubeconfig.

    Raises:
        TargetError: It is no kubeconfig.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TargetError("The kubeconfig is not YAML; `kubectl config view --raw` prints one that is.") from error
    if not isinstance(document, dict):
        raise TargetError("The kubeconfig is empty; `kubectl config view --raw` prints one that is not.")
    return document


def find(documents: Sequence[dict[str, Any]], name: str) -> Context:
    """Find a context by name, as kubectl does over several files; empty means the current one.

    Raises:
        TargetError: There is no such context; the message lists those that are there.
    """
    wanted = name or next((d["current-context"] for d in documents if d.get("current-context")), "")
    contexts = {entry["name"]: entry for entry in reversed(_entries(documents, "contexts"))}
    clusters = {entry["name"]: entry for entry in reversed(_entries(documents, "clusters"))}
    if wanted not in contexts:
        there = ", ".join(sorted(contexts)) or "none"
        raise TargetError(
            f"The kubeconfig has no context {wanted!r}; it has: {there}. Name one of them with: "
            "pulumi config set context NAME"
        )
    context = contexts[wanted].get("context") or {}
    cluster = (clusters.get(context.get("cluster")) or {}).get("cluster") or {}
    signed = [*(context.get("extensions") or []), *(cluster.get("extensions") or [])]
    is_minikube = any((entry.get("extension") or {}).get("provider") == MINIKUBE_EXTENSION for entry in signed)
    return Context(name=wanted, server=cluster.get("server", ""), is_minikube=is_minikube)


def is_local(context: Context, *, also: Sequence[str] = ()) -> bool:
    """Whether the cluster runs on this machine.

    A private address proves nothing (the API servers of many cloud clusters have one), so a cluster
    that shows itself neither by name nor by a loopback address is named in `localContexts`.

    Args:
        context: What the kubeconfig says.
        also: Names from `localContexts`.
    """
    if context.name in also or context.is_minikube or LOCAL_NAMES.fullmatch(context.name):
        return True
    host = urlsplit(context.server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL_HOSTS


def check(context: Context, *, target: str, also: Sequence[str] = ()) -> None:
    """Refuse a context that is not of the kind that the stack is for.

    Raises:
        TargetError: `target` is minikube and the context is not local, or cloud and it is.
    """
    local = is_local(context, also=also)
    shown = f"context {context.name!r} ({context.server or 'without an API server'})"
    if target == "minikube" and not local:
        raise TargetError(
            f"This stack is for a local cluster, and {shown} is not one. Choose another with "
            "`pulumi config set context minikube`, say that the stack is for a cloud with "
            "`pulumi config set target cloud`, or, if the cluster does run on this machine, "
            f"`pulumi config set --path 'localContexts[0]' {context.name}`."
        )
    if target == "cloud" and local:
        raise TargetError(
            f"This stack is for a cloud cluster, and {shown} is a local one. Choose another with "
            "`pulumi config set context NAME`, or the local stack with `pulumi stack select dev`."
        )


def _entries(documents: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [entry for document in documents for entry in document.get(kind) or []]
