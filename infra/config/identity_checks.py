"""Checks of the identity at a cloud: the mechanism, its annotations and the kind of cluster fit together."""

from collections.abc import Iterator

from infra.config.identity_options import ANNOTATIONS, IdentityOptions
from infra.config.options import ClusterOptions, StorageOptions
from infra.config.problem import Problem

RAY_KEY = "rayServiceAccountAnnotations"
TRAINING_KEY = "trainingServiceAccountAnnotations"
MLFLOW_KEY = "mlflowServiceAccountAnnotations"


def problems(identity: IdentityOptions, *, cluster: ClusterOptions, storage: StorageOptions) -> Iterator[Problem]:
    """Yield every contradiction between the values."""
    kind = identity.workload_identity
    annotations = {
        RAY_KEY: identity.ray_service_account_annotations,
        TRAINING_KEY: identity.training_service_account_annotations,
        MLFLOW_KEY: storage.mlflow_service_account_annotations,
    }
    if kind != "none" and cluster.target == "minikube":
        reason = f"given {kind}, but target is minikube: a local cluster has no identity at a cloud"
        yield Problem("workloadIdentity", reason, "pulumi config rm workloadIdentity")
    # GKE can grant rights to a ServiceAccount itself, without an annotation.
    if kind in {"eks-irsa", "aks"}:
        name, value = ANNOTATIONS[kind]
        if not any(name in values for values in annotations.values()):
            reason = f"given {kind}, but no ServiceAccount has the annotation {name}"
            yield Problem("workloadIdentity", reason, f"pulumi config set --path '{MLFLOW_KEY}[\"{name}\"]' {value}")
    for key, values in annotations.items():
        for other, (name, _) in ANNOTATIONS.items():
            # An IAM role needs only https, which every stack allows.
            if name in values and kind != other and not (kind == "none" and other == "eks-irsa"):
                reason = f"the annotation {name} needs workloadIdentity {other}, given {kind}"
                yield Problem(key, reason, f"pulumi config set workloadIdentity {other}")
