"""The two namespaces: one for the workloads, one for the operator that may only touch the first."""

from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import core, meta

from infra import labels, names

POD_SECURITY: Final = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
"""The strictest level of <https://kubernetes.io/docs/concepts/security/pod-security-standards/>."""


@dataclass(frozen=True, kw_only=True)
class NamespacesArgs:
    """Names to make."""

    namespace: str


class Namespaces(pulumi.ComponentResource):
    """Where everything else lives."""

    workloads: pulumi.Output[str]
    """Ray, Redis and MLflow."""
    operator: pulumi.Output[str]
    """The KubeRay operator."""

    def __init__(self, name: str, args: NamespacesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Namespaces", name, None, opts)
        self.workloads = self._namespace(f"{name}-workloads", args.namespace)
        self.operator = self._namespace(f"{name}-operator", names.operator_namespace(args.namespace))
        self.register_outputs({"workloads": self.workloads, "operator": self.operator})

    def _namespace(self, name: str, namespace: str) -> pulumi.Output[str]:
        made: pulumi.Output[str] = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=namespace, labels=labels.of(names.PART_OF) | POD_SECURITY),
            opts=pulumi.ResourceOptions(parent=self),
        ).metadata.name
        return made
