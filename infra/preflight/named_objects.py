"""Objects that the configuration names: classes, the Gateway with its API, and the API of the Prometheus operator."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from infra.config.settings import Settings
from infra.preflight.cluster_state import ClusterState

CRDS: Final = "customresourcedefinitions"


@dataclass(frozen=True, kw_only=True)
class NamedObject:
    """An object that must exist, and the key that names it or needs it."""

    kind: str
    """Plural of the kind, as kubectl takes it."""
    name: str
    """NAMESPACE/NAME of an object in a namespace."""
    key: str
    """Key of the configuration."""
    command: str
    """Command that corrects the key."""


def named_objects(stack: Settings) -> list[NamedObject]:
    """Every object that the configuration names or needs."""
    objects = [
        NamedObject(
            kind="storageclasses",
            name=stack.storage.storage_class,
            key="storageClass",
            command="pulumi config set storageClass NAME",
        ),
        *_classes_of_pods(stack),
    ]
    if stack.access.access == "ingress":
        command = "pulumi config set ingressClass NAME"
        name = stack.access.ingress_class
        objects.append(NamedObject(kind="ingressclasses", name=name, key="ingressClass", command=command))
    if stack.access.access == "gateway":
        name = "httproutes.gateway.networking.k8s.io"
        command = "install the Gateway API, or: pulumi config set access ingress"
        objects.append(NamedObject(kind=CRDS, name=name, key="access", command=command))
        kind, command = "gateways.gateway.networking.k8s.io", "pulumi config set gateway NAMESPACE/NAME"
        objects.append(NamedObject(kind=kind, name=stack.access.gateway, key="gateway", command=command))
    if stack.monitoring.monitoring == "existing":
        command = "install the Prometheus operator, or: pulumi config set monitoring none"
        names = ("podmonitors.monitoring.coreos.com", "prometheusrules.monitoring.coreos.com")
        objects += [NamedObject(kind=CRDS, name=name, key="monitoring", command=command) for name in names]
    return [entry for entry in objects if entry.name]


def _classes_of_pods(stack: Settings) -> Iterator[NamedObject]:
    for part, place in stack.scheduling.scheduling.items():
        for kind, field, name in (
            ("priorityclasses", "priorityClassName", place.priority_class_name),
            ("runtimeclasses", "runtimeClassName", place.runtime_class_name),
        ):
            key = f"scheduling.{part}.{field}"
            yield NamedObject(kind=kind, name=name, key=key, command=f"pulumi config set --path '{key}' NAME")


def by_kind(objects: Sequence[NamedObject]) -> Mapping[str, Sequence[str]]:
    """Names of the objects by kind, for `Wanted`."""
    kinds = sorted({entry.kind for entry in objects})
    return {kind: sorted({entry.name for entry in objects if entry.kind == kind}) for kind in kinds}


def problems(objects: Sequence[NamedObject], state: ClusterState) -> Iterator[str]:
    """Yield each object that does not exist. A kind that could not be read is left out."""
    for entry in objects:
        existing = state.objects.get(entry.kind)
        if existing is not None and entry.name not in existing:
            verb = "needs" if entry.kind == CRDS else "is"
            yield f"{entry.key} {verb} {entry.name}, and the cluster has no such object ({entry.kind}). {entry.command}"
