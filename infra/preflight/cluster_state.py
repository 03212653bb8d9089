"""Reads from the cluster what the checks need, with kubectl."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

TIMEOUT_S: Final = 20
OPERATOR_SELECTOR: Final = "app.kubernetes.io/name in (kuberay-operator, kuberay)"
"""Labels of the Deployments that KubeRay's chart and its kustomization create."""
CRD_NAMES: Final = ("rayclusters.ray.io", "rayjobs.ray.io", "rayservices.ray.io", "raycronjobs.ray.io")
PROMETHEUS_CRD: Final = "prometheuses.monitoring.coreos.com"

KubernetesObject: TypeAlias = Mapping[str, Any]
"""An object as the API server returns it. The type of a value depends on its key."""


class ClusterReadError(Exception):
    """kubectl is not installed, the cluster does not answer, or the user may not read. The message is kubectl's."""


@dataclass(frozen=True, kw_only=True)
class ClusterState:
    """Objects of the cluster. None means that they could not be read."""

    version: str | None = None
    """Version of the API server, such as `v1.34.4`."""
    namespaces: Mapping[str, KubernetesObject] | None = None
    """Those of the stack's namespaces that exist, by name."""
    operators: Sequence[KubernetesObject] | None = None
    """Deployments of KubeRay operators in all namespaces."""
    crds: Mapping[str, KubernetesObject] | None = None
    """CRDs of KubeRay, and of the Prometheus operator if they were asked for, by name."""
    secrets: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the existing Secrets among those that were asked for, by namespace. A namespace that could not be read
    is absent."""
    objects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the existing objects among those asked for, by kind. A kind that could not be read is absent."""
    errors: Sequence[str] = ()
    """Why objects could not be read."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Objects to look for."""

    namespaces: Sequence[str]
    """Names of the stack's namespaces."""
    secrets: Mapping[str, Sequence[str]]
    """Names of Secrets, by namespace."""
    crds: Sequence[str] = CRD_NAMES
    """Names of CRDs whose content the checks need."""
    objects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of objects by kind. The name of an object in a namespace is NAMESPACE/NAME."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """`kubectl` for one context."""

    context: str
    kubeconfig: str = ""
    """Content of a kubeconfig. Empty: the files that kubectl reads."""

    def read(self, wanted: Wanted) -> ClusterState:
        """Read the state of the cluster. What cannot be read is None."""
        options = ["--context", self.context] if self.context else []
        with tempfile.TemporaryDirectory() as folder:
            if self.kubeconfig:
                file = Path(folder) / "kubeconfig"
                file.touch(mode=0o600)
                file.write_text(self.kubeconfig, encoding="utf-8")
                options += ["--kubeconfig", str(file)]
            return _read(options, wanted)


ClusterReader: TypeAlias = Callable[[Reader, Wanted], ClusterState]
"""A function that reads the state of the cluster, as `Reader.read` does."""


def _read(options: Sequence[str], wanted: Wanted) -> ClusterState:
    errors: list[str] = []

    def get(*arguments: str) -> str | None:
        try:
            return _kubectl(*options, "get", "--ignore-not-found", *arguments)
        except ClusterReadError as error:
            errors.append(str(error))
            return None

    version = get("--raw", "/version")
    if version is None:
        return ClusterState(errors=errors)  # each further request would wait for the same answer
    namespaces = get("namespace", *wanted.namespaces, "-o", "json")
    operators = get("deployments.apps", "--all-namespaces", "-l", OPERATOR_SELECTOR, "-o", "json")
    crds = get("customresourcedefinitions", *wanted.crds, "-o", "json")
    # Names only: the check needs no content of a Secret.
    secrets = {name: get("secret", *names, "-n", name, "-o", "name") for name, names in wanted.secrets.items() if names}
    objects = {kind: _existing(get, kind, names) for kind, names in wanted.objects.items()}
    return ClusterState(
        version=json.loads(version)["gitVersion"],
        namespaces=None if namespaces is None else _by_name(namespaces),
        operators=None if operators is None else _items(operators),
        crds=None if crds is None else _by_name(crds),
        secrets={
            name: [line.removeprefix("secret/") for line in lines.split()]
            for name, lines in secrets.items()
            if lines is not None
        },
        objects={kind: names for kind, names in objects.items() if names is not None},
        errors=errors,
    )


def _existing(get: Callable[..., str | None], kind: str, names: Sequence[str]) -> list[str] | None:
    """Names of the existing objects among those asked for, or None if they could not be read."""
    existing = []
    for namespace in sorted({name.rpartition("/")[0] for name in names}):
        prefix = f"{namespace}/" if namespace else ""
        inside = [name.removeprefix(prefix) for name in names if name.rpartition("/")[0] == namespace]
        lines = get(kind, *inside, *(["-n", namespace] if namespace else []), "-o", "name")
        if lines is None:
            return None
        existing += [prefix + line.partition("/")[2] for line in lines.split()]
    return existing


def _kubectl(*arguments: str) -> str:
    command = ["kubectl", f"--request-timeout={TIMEOUT_S}s", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=2 * TIMEOUT_S, check=True).stdout
    except FileNotFoundError as error:
        raise ClusterReadError("kubectl is not on PATH") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or [f"kubectl ended with exit code {error.returncode}"]
        raise ClusterReadError(lines[-1]) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterReadError(f"kubectl did not answer in {2 * TIMEOUT_S} s") from error


def _items(text: str) -> list[KubernetesObject]:
    """Objects that kubectl printed: a list, one object by itself, or nothing."""
    document = json.loads(text) if text else {"items": []}
    return list(document["items"]) if "items" in document else [document]


def _by_name(text: str) -> dict[str, KubernetesObject]:
    return {str(item["metadata"]["name"]): item for item in _items(text)}
