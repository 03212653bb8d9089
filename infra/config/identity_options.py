"""The identity of the pods at a cloud: which mechanism, and the annotations of their ServiceAccounts."""

from typing import Final, Literal

from pydantic import Field

from infra import names
from infra.config.options import OptionGroup

AKS_POD_LABELS: Final = {"azure.workload.identity/use": "true"}
"""Label by which AKS' webhook finds the pods that it gives an identity."""
ANNOTATIONS: Final = {
    "eks-irsa": ("eks.amazonaws.com/role-arn", "arn:aws:iam::ACCOUNT:role/NAME"),
    "gke": ("iam.gke.io/gcp-service-account", "NAME@PROJECT.iam.gserviceaccount.com"),
    "aks": ("azure.workload.identity/client-id", "CLIENT_ID"),
}
"""Annotation of a ServiceAccount for each mechanism that has one, with an example of its value."""


class IdentityOptions(OptionGroup):
    """Identity of the pods at a cloud."""

    workload_identity: Literal["none", "eks-irsa", "eks-pod-identity", "gke", "aks"] = Field(
        "none",
        description="How the ServiceAccounts `ray`, `training` and `mlflow` get a cloud identity: IAM roles for "
        "service accounts or Pod Identity of EKS, Workload Identity of GKE, or Workload Identity of AKS.",
    )
    ray_service_account_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Annotations of the ServiceAccount `ray` of the Ray workers, for workload identity.",
    )
    training_service_account_annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Annotations of the ServiceAccount `training` of workers that only train (`trainWorkers`, "
        "`workerGroups`). Empty: those of `ray`.",
    )

    @property
    def service_accounts(self) -> dict[str, dict[str, str]]:
        """Annotations of each ServiceAccount of Ray's workers, by its name."""
        ray = self.ray_service_account_annotations
        return {names.RAY: ray, names.TRAINING: self.training_service_account_annotations or ray}

    @property
    def pod_labels(self) -> dict[str, str]:
        """Labels of the pods that get a cloud identity."""
        return AKS_POD_LABELS if self.workload_identity == "aks" else {}
