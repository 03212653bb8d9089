"""Checks the cluster of a stack: what its configuration expects, against what the cluster has."""

from infra.config.settings import Settings
from infra.preflight import checks, named_objects
from infra.preflight.checks import Expectations
from infra.preflight.cluster_state import CRD_NAMES, PROMETHEUS_CRD, ClusterReader, ClusterState, Reader, Wanted


def run(stack: Settings, read_cluster: ClusterReader) -> ClusterState:
    """Refuse a cluster that cannot hold the stack. `manta doctor` checks the cluster of `clusterStack`.

    Raises:
        PreflightError: See `checks.check`.
    """
    if stack.cluster.cluster_stack:
        return ClusterState()
    expected = Expectations(
        namespace=stack.cluster.namespace,
        sharing=stack.sharing,
        secrets=_named_secrets(stack),
        objects=named_objects.named_objects(stack),
        monitoring_namespace=stack.monitoring_namespace if stack.monitoring.is_installed else "",
    )
    reader = Reader(context=stack.cluster.context, kubeconfig=stack.cluster.kubeconfig.get_secret_value())
    wanted = Wanted(
        namespaces=expected.namespaces,
        secrets=expected.secrets,
        crds=[*CRD_NAMES, *([PROMETHEUS_CRD] if stack.monitoring.is_installed else [])],
        objects=named_objects.by_kind(expected.objects),
    )
    state = read_cluster(reader, wanted)
    checks.check(state, expected)
    return state


def _named_secrets(stack: Settings) -> dict[str, list[str]]:
    """The Secrets that must exist before the update, by namespace. `tls` may be created by cert-manager afterwards."""
    pull = stack.images.image_pull_secret
    postgres = stack.storage.postgres_secret if stack.storage.mlflow_backend == "postgres" else ""
    redis = stack.connections.redis_secret if stack.storage.redis == "external" else ""
    oidc = stack.sign_in.mlflow_oidc_secret
    workloads = [name for name in (postgres, stack.storage.artifact_secret, redis, oidc, pull) if name]
    secrets = {stack.cluster.namespace: workloads}
    if stack.sharing.install_operator and pull:
        secrets[stack.sharing.operator_namespace_of(stack.cluster.namespace)] = [pull]
    if stack.monitoring.is_installed and pull:
        secrets[stack.monitoring_namespace] = [pull]
    return secrets
