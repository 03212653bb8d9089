"""Reads a context from a kubeconfig, and decides whether its cluster is local.

The program checks this before it registers any resource, so that a stack never deploys to another cluster by mistake.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import pulumi
import yaml

LOCAL_NAMES: Final = re.compile(r"minikube|(kind|k3d)-.*|docker-desktop|rancher-desktop|colima|orbstack|microk8s")
"""Context names that local tools choose. `MINIKUBE_EXTENSION` identifies a Minikube profile with another name."""
LOCAL_HOSTS: Final = frozenset({"localhost", "host.docker.internal", "kubernetes.docker.internal"})
MINIKUBE_EXTENSION: Final = "minikube.sigs.k8s.io"
"""Provider name in the extension that Minikube adds to its contexts and clusters."""

YamlMapping: TypeAlias = dict[str, Any]
"""A parsed kubeconfig or a part of it. Other tools write the file, so the types of its values are unknown."""


class TargetError(pulumi.RunError):
    """The context does not exist, or its cluster is not of the kind that `target` names."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One context of a kubeconfig."""

    name: str
    server: str
    """URL of the API server."""
    is_minikube: bool
    """Whether Minikube wrote the context."""

    @property
    def port(self) -> int | None:
        """Port of the API server, or None if the URL names none."""
        try:
            return urlsplit(self.server).port
        except ValueError:
            return None


def read(files: Iterable[Path]) -> list[YamlMapping]:
    """Parse each of the files that exists."""
    return [parse(path.read_text(encoding="utf-8")) for path in files if path.is_file()]


def parse(text: str) -> YamlMapping:
    """Parse the content of a kubeconfig.

    Raises:
        TargetError: The text is not a kubeconfig.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TargetError("The kubeconfig is not YAML. Use the output of: kubectl config view --raw") from error
    if not isinstance(document, dict):
        raise TargetError("The kubeconfig is empty. Use the output of: kubectl config view --raw")
    return document


def find(documents: Sequence[YamlMapping], name: str) -> Context:
    """Find a context by name. As in kubectl, the first of several files wins.

    Args:
        documents: The parsed kubeconfig files, in kubectl's order.
        name: Name of the context. Empty: the current context.

    Raises:
        TargetError: No file has the context. The message lists the contexts.
    """
    current_contexts = (document.get("current-context") for document in documents)
    context_name = name or next(filter(None, current_contexts), "")
    contexts = {entry["name"]: entry for entry in reversed(_entries(documents, "contexts"))}
    clusters = {entry["name"]: entry for entry in reversed(_entries(documents, "clusters"))}
    if context_name not in contexts:
        available = ", ".join(sorted(contexts)) or "none"
        raise TargetError(
            f"The kubeconfig has no context {context_name!r}. Its contexts: {available}. Choose a context with: "
            "pulumi config set context NAME"
        )
    context = contexts[context_name].get("context") or {}
    cluster = (clusters.get(context.get("cluster")) or {}).get("cluster") or {}
    extensions = [*(context.get("extensions") or []), *(cluster.get("extensions") or [])]
    is_minikube = any((entry.get("extension") or {}).get("provider") == MINIKUBE_EXTENSION for entry in extensions)
    return Context(name=context_name, server=cluster.get("server", ""), is_minikube=is_minikube)


def is_local(context: Context, *, also: Sequence[str] = ()) -> bool:
    """Whether the cluster runs on this machine, by its context's name, Minikube's extension or a loopback address.

    A private address proves nothing, because the API servers of many cloud clusters have one.

    Args:
        context: The context to judge.
        also: Further names of local contexts, from `localContexts`.
    """
    if context.name in also or context.is_minikube or LOCAL_NAMES.fullmatch(context.name):
        return True
    host = urlsplit(context.server).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL_HOSTS


def check(context: Context, *, target: str, also: Sequence[str] = ()) -> None:
    """Refuse a context that does not fit `target`.

    Raises:
        TargetError: `target` is minikube and the context is not local, or `target` is cloud and the context is local.
    """
    local = is_local(context, also=also)
    description = f"context {context.name!r} ({context.server or 'without an API server'})"
    if target == "minikube" and not local:
        raise TargetError(
            f"`target` is minikube, but {description} is not a local cluster. "
            "To deploy to another cluster: `pulumi config set context minikube`. "
            "To deploy to a cloud cluster: `pulumi config set target cloud`. "
            f"If this cluster is local: `pulumi config set --path 'localContexts[0]' {context.name}`."
        )
    if target == "cloud" and local:
        raise TargetError(
            f"`target` is cloud, but {description} is a local cluster. "
            "To deploy to another cluster: `pulumi config set context NAME`. "
            "To use the stack for the local cluster: `pulumi stack select dev`."
        )


def _entries(documents: Sequence[YamlMapping], kind: str) -> list[YamlMapping]:
    return [entry for document in documents for entry in document.get(kind) or []]
