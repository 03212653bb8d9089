"""What the stack shares with others in its cluster: namespaces, the KubeRay operator, and KubeRay's CRDs."""

from collections.abc import Iterator

from pydantic import Field

from infra import names
from infra.config.options import ChartOptions, OptionGroup
from infra.config.problem import Problem
from infra.config.vocabulary import ObjectName


class SharingOptions(OptionGroup):
    """Objects that the stack shares with others in the cluster."""

    create_namespaces: bool = Field(
        default=True,
        description="Whether the stack creates its namespaces. False: they exist, and the stack uses them.",
    )
    install_operator: bool = Field(
        default=True,
        description="Whether the stack installs a KubeRay operator for its namespace. False: an operator of the "
        "cluster watches the namespace.",
    )
    operator_namespace: ObjectName = Field(
        "",
        examples=["kuberay-system"],
        description="Namespace of the KubeRay operator. Empty: the stack's namespace with the suffix `-operator`.",
    )
    install_crds: bool = Field(
        default=True,
        description="Whether the stack installs KubeRay's CRDs, and updates older ones. False: they exist.",
    )

    def operator_namespace_of(self, namespace: str) -> str:
        """Namespace of the operator for a namespace of workloads."""
        return self.operator_namespace or names.operator_namespace(namespace)


def problems(sharing: SharingOptions, *, namespace: str, charts: ChartOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    if not sharing.install_operator and not sharing.operator_namespace:
        reason = "not set, and installOperator is false; the network policies admit the operator by its namespace"
        yield Problem("operatorNamespace", reason, "pulumi config set operatorNamespace kuberay-system")
    if not sharing.install_operator and sharing.install_crds:
        reason = "given true, but installOperator is false: the CRDs belong to the operator of the cluster"
        yield Problem("installCrds", reason, "pulumi config set installCrds false")
    if charts.remove_crds and not sharing.install_crds:
        reason = "given true, but installCrds is false: the stack cannot delete CRDs that it did not install"
        yield Problem("removeCrds", reason, "pulumi config rm removeCrds")
    if sharing.operator_namespace == namespace:
        reason = f"given {namespace}, the namespace of the workloads; their network policies and quotas differ"
        yield Problem("operatorNamespace", reason, f"pulumi config set operatorNamespace {namespace}-operator")
