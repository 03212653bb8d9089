"""The namespaces of a stack: the workloads, the operator, whose rights cover only the first, and Prometheus."""

from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import core, meta

from infra import labels, names

POD_SECURITY: Final = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
"""The strictest level of <https://kubernetes.io/docs/concepts/security/pod-security-standards/>."""


@dataclass(frozen=True, kw_only=True)
class NamespacesArgs:
    """Names of the namespaces."""

    namespace: str
    """Namespace of the workloads."""
    operator_namespace: str
    create: bool = True
    """Whether the stack creates the namespaces; otherwise it uses those that exist."""
    install_operator: bool = True
    """Whether the stack needs a namespace for its operator."""
    monitoring_namespace: str = ""
    """Namespace of the stack's Prometheus and Grafana; empty if it installs none."""
    keep_data: bool = False
    """Whether Pulumi refuses to delete the namespace of the workloads, and with it the volumes."""


class Namespaces(pulumi.ComponentResource):
    """The namespaces that hold all other objects of the stack."""

    workloads: pulumi.Output[str]
    """Namespace of Ray, Redis and MLflow."""
    operator: pulumi.Output[str]
    """Namespace of the KubeRay operator."""
    monitoring: pulumi.Output[str]
    """Namespace of Prometheus and Grafana; empty if the stack installs none."""

    def __init__(self, name: str, args: NamespacesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Namespaces", name, None, opts)
        self.workloads = pulumi.Output.from_input(args.namespace)
        self.operator = pulumi.Output.from_input(args.operator_namespace)
        self.monitoring = pulumi.Output.from_input(args.monitoring_namespace)
        if args.create:
            self.workloads = self._namespace(f"{name}-workloads", args.namespace, protect=args.keep_data)
        if args.create and args.install_operator:
            self.operator = self._namespace(f"{name}-operator", args.operator_namespace)
        if args.create and args.monitoring_namespace:
            self.monitoring = self._namespace(f"{name}-monitoring", args.monitoring_namespace)
        self.register_outputs({"workloads": self.workloads, "operator": self.operator, "monitoring": self.monitoring})

    def _namespace(self, name: str, namespace: str, *, protect: bool = False) -> pulumi.Output[str]:
        resource = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(name=namespace, labels=labels.of(names.PART_OF) | POD_SECURITY),
            opts=pulumi.ResourceOptions(parent=self, protect=protect),
        )
        namespace_name: pulumi.Output[str] = resource.metadata.name
        return namespace_name
