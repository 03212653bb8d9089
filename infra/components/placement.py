"""The fields of pods that come from `scheduling`: where a pod runs, and what is added to it."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict

import pulumi
from pulumi_kubernetes import core, meta

from infra import labels
from infra.config.scheduling import Placement, Toleration

HOSTNAME: Final = "kubernetes.io/hostname"
ZONE: Final = "topology.kubernetes.io/zone"
GPU: Final = "nvidia.com/gpu"
GPU_TOLERATION: Final = Toleration(key=GPU, operator="Exists", effect="NoSchedule")
"""Nodes with GPUs usually have this taint, so that only pods that use a GPU run there."""


class PodFields(TypedDict, total=False):
    """Arguments of a pod's spec that decide where the pod runs."""

    node_selector: Mapping[str, str]
    tolerations: Sequence[core.v1.TolerationArgs]
    affinity: Any
    """An affinity of the configuration, spelled as in the Kubernetes API: no class describes a parsed document."""
    priority_class_name: str
    runtime_class_name: str


def pod_fields(placement: Placement) -> PodFields:
    """Arguments of a pod's spec. Fields that the configuration leaves out are absent."""
    fields = PodFields()
    if placement.node_selector:
        fields["node_selector"] = placement.node_selector
    if placement.tolerations:
        fields["tolerations"] = [
            core.v1.TolerationArgs(
                key=toleration.key,
                operator=toleration.operator,
                value=toleration.value,
                effect=toleration.effect,
                toleration_seconds=toleration.toleration_seconds,
            )
            for toleration in placement.tolerations
        ]
    if placement.affinity:
        fields["affinity"] = placement.affinity
    if placement.priority_class_name:
        fields["priority_class_name"] = placement.priority_class_name
    if placement.runtime_class_name:
        fields["runtime_class_name"] = placement.runtime_class_name
    return fields


def chart_values(placement: Placement) -> dict[str, object]:
    """The same fields as Helm values, which both charts name as the Kubernetes API does."""
    document = placement.model_dump(by_alias=True, exclude_none=True, mode="json")
    fields = ("nodeSelector", "tolerations", "affinity", "priorityClassName")
    return {field: document[field] for field in fields if document[field]}


def environment(placement: Placement, base: Sequence[core.v1.EnvVarArgs] = ()) -> list[core.v1.EnvVarArgs]:
    """Environment variables of a container: those of the stack, replaced and extended by those of `scheduling`."""
    kept = [variable for variable in base if variable.name not in placement.env]
    more = [core.v1.EnvVarArgs(name=name, value=value or None) for name, value in sorted(placement.env.items())]
    return [*kept, *more]


def ephemeral_storage(placement: Placement) -> dict[str, str]:
    """The request, and the limit, of ephemeral storage."""
    return {"ephemeral-storage": placement.ephemeral_storage} if placement.ephemeral_storage else {}


def spread(component: str) -> list[core.v1.TopologySpreadConstraintArgs]:
    """Spread a component's pods over zones and nodes where the scheduler can: pods in one place fail together."""
    return [
        core.v1.TopologySpreadConstraintArgs(
            max_skew=1,
            topology_key=key,
            when_unsatisfiable="ScheduleAnyway",
            label_selector=meta.v1.LabelSelectorArgs(match_labels=labels.selector(component)),
        )
        for key in (ZONE, HOSTNAME)
    ]


def tolerations_digest(placement: Placement) -> dict[str, pulumi.Input[str]]:
    """Annotation of a Ray pod with tolerations: KubeRay ignores changed tolerations and applies changed annotations."""
    if not placement.tolerations:
        return {}
    text = "\n".join(toleration.model_dump_json() for toleration in placement.tolerations)
    return {"manta/tolerations": hashlib.sha256(text.encode()).hexdigest()[:16]}
