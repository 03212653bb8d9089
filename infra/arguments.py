"""The arguments of the components, from the settings of the stack."""

from collections.abc import Sequence
from pathlib import Path

import pulumi

from infra import endpoints
from infra.cluster import ClusterConnection
from infra.components import access, network_flows
from infra.components.crds import CrdsArgs
from infra.components.image_build import ImageBuild
from infra.components.mlflow import oidc, users, values
from infra.components.mlflow.mlflow import Mlflow, MlflowArgs
from infra.components.mlflow.users import ClientArgs
from infra.components.monitoring import ray_dashboards
from infra.components.monitoring.alerts import AlertArgs
from infra.components.monitoring.monitoring import MonitoringArgs
from infra.components.monitoring.prometheus_stack import PrometheusStackArgs
from infra.components.namespaces import Namespaces, NamespacesArgs
from infra.components.network_flows import FlowArgs
from infra.components.network_policies import NetworkPoliciesArgs
from infra.components.ray.kuberay_operator import KuberayOperatorArgs
from infra.components.ray.ray_service import RayService, RayServiceArgs
from infra.components.ray.scheduled_jobs import ScheduledJobsArgs, deadlines
from infra.components.redis import Redis, RedisArgs
from infra.config import settings
from infra.config.chart import Chart
from infra.config.settings import Settings
from infra.images import references
from infra.preflight import versions
from infra.preflight.cluster_state import ClusterState
from infra.preflight.versions import Product


def namespaces(stack: Settings) -> NamespacesArgs:
    """Which namespaces to create, and how."""
    return NamespacesArgs(
        namespace=stack.cluster.namespace,
        operator_namespace=stack.sharing.operator_namespace_of(stack.cluster.namespace),
        create=stack.sharing.create_namespaces,
        install_operator=stack.sharing.install_operator,
        monitoring_namespace=stack.monitoring_namespace if stack.monitoring.is_installed else "",
        keep_data=stack.storage.keep_data,
    )


def network_policies(stack: Settings, namespaces: Namespaces, api_port: int | None) -> NetworkPoliciesArgs:
    """The flows to allow."""
    allowed = network_flows.flows(flows(stack, api_port)) if stack.network.network_policies else []
    return NetworkPoliciesArgs(
        flows=allowed,
        namespaces={
            stack.cluster.namespace: namespaces.workloads,
            stack.sharing.operator_namespace_of(stack.cluster.namespace): namespaces.operator,
            stack.monitoring_namespace: namespaces.monitoring,
        },
    )


def flows(stack: Settings, api_port: int | None = None) -> FlowArgs:
    """What decides which flows the stack needs.

    Args:
        stack: The settings.
        api_port: Port of the API server in the kubeconfig, if the program knows it before it deploys.
    """
    return FlowArgs(
        namespace=stack.cluster.namespace,
        operator_namespace=stack.sharing.operator_namespace_of(stack.cluster.namespace),
        is_operator_shared=not stack.sharing.install_operator,
        storage=stack.storage,
        connections=stack.connections,
        access=stack.access,
        network=stack.network,
        monitoring=stack.monitoring,
        monitoring_namespace=stack.monitoring_namespace,
        tracing=stack.tracing,
        identity=stack.identity,
        credentials=stack.credentials,
        sign_in=stack.sign_in,
        has_scheduled_jobs=bool(stack.schedule.train_schedule or stack.prediction_log.drift_schedule),
        api_port=api_port,
    )


def operator(
    stack: Settings, namespaces: Namespaces, state: ClusterState, connection: ClusterConnection, root: Path
) -> KuberayOperatorArgs:
    """Which KubeRay operator to install."""
    return KuberayOperatorArgs(
        namespace=namespaces.operator,
        watched_namespace=namespaces.workloads,
        chart=stack.charts.kuberay,
        root=root,
        images=stack.images,
        placement=stack.scheduling.of("operator"),
        install=stack.sharing.install_operator,
        crds=_crds(stack, stack.charts.kuberay, versions.KUBERAY, state, connection, root)
        if stack.sharing.install_crds
        else None,
    )


def _crds(
    stack: Settings,
    chart: Chart,
    product: Product,
    state: ClusterState,
    connection: ClusterConnection,
    root: Path,
) -> CrdsArgs:
    return CrdsArgs(
        chart=chart,
        product=product,
        root=root,
        cluster=state,
        remove=stack.charts.remove_crds,
        context=connection.context,
        kubeconfig=connection.kubeconfig,
    )


def redis(stack: Settings, namespace: pulumi.Input[str]) -> RedisArgs:
    """Redis of the head, if the stack has one."""
    return RedisArgs(
        namespace=namespace,
        storage=stack.storage,
        connections=stack.connections,
        images=stack.images,
        placement=stack.scheduling.of("redis"),
    )


def mlflow(
    stack: Settings,
    namespace: pulumi.Input[str],
    connection: ClusterConnection,
    image: ImageBuild,
    root: Path,
    *,
    after: Sequence[pulumi.Resource],
) -> MlflowArgs:
    """MLflow, its database and its users."""
    return MlflowArgs(
        namespace=namespace,
        chart=stack.charts.mlflow,
        root=root,
        storage=stack.storage,
        connections=stack.connections,
        after=after,
        images=stack.images,
        placement=stack.scheduling.of("mlflow"),
        image=image.reference,
        username=stack.app.mlflow_username,
        password=stack.app.mlflow_password,
        client=ClientArgs(
            namespace=namespace,
            password=stack.credentials.mlflow_client_password,
            context=connection.context,
            kubeconfig=connection.kubeconfig,
            program=oidc.PROGRAM if stack.sign_in.is_enabled else users.PROGRAM,
        ),
        sign_in=stack.sign_in,
        redirect_uri=endpoints.mlflow_redirect_uri(stack.access),
        environment=stack.network.proxy.environment(),
        pod_labels=stack.identity.pod_labels,
        calls_webhook=bool(stack.credentials.webhook_secret.get_secret_value()),
        allowed_hosts=values.allowed_hosts(
            namespace=stack.cluster.namespace, public=endpoints.mlflow_public_hosts(stack.access)
        ),
    )


def ray_service(
    stack: Settings,
    namespace: pulumi.Input[str],
    connection: ClusterConnection,
    image: ImageBuild,
    root: Path,
    *,
    redis: Redis,
    mlflow: Mlflow,
    after: Sequence[pulumi.Resource],
) -> RayServiceArgs:
    """The RayService."""
    return RayServiceArgs(
        namespace=namespace,
        context=connection.context,
        kubeconfig=connection.kubeconfig,
        root=root,
        ray_service_name=stack.cluster.ray_service_name,
        target=stack.cluster.target,
        size=stack.size,
        workers=stack.workers,
        scheduling=stack.scheduling,
        storage=stack.storage,
        connections=stack.connections,
        app=stack.app,
        credentials=stack.credentials,
        catalog=stack.catalog,
        prediction_log=stack.prediction_log,
        tracing=stack.tracing,
        identity=stack.identity,
        head_environment=ray_dashboards.head_environment(stack.monitoring, stack.cluster.namespace),
        images=stack.images,
        image=image.reference,
        proxy=stack.network.proxy,
        serve_service=access.serve_service(stack.access),
        redis=redis,
        mlflow=mlflow,
        after=after,
    )


def _prometheus_stack(
    stack: Settings, namespaces: Namespaces, state: ClusterState, connection: ClusterConnection, root: Path
) -> PrometheusStackArgs:
    """Prometheus and Grafana of the stack, and the namespaces that they monitor."""
    return PrometheusStackArgs(
        name=stack.monitoring_namespace,
        namespace=namespaces.monitoring,
        monitored_namespaces=[stack.cluster.namespace],
        options=stack.monitoring,
        are_values_secret=settings.is_encrypted("monitoringValues"),
        images=stack.images,
        storage_class=stack.storage.storage_class,
        crds=_crds(stack, stack.monitoring.chart, versions.PROMETHEUS, state, connection, root),
    )


def monitoring(
    stack: Settings, namespaces: Namespaces, state: ClusterState, connection: ClusterConnection, root: Path
) -> MonitoringArgs:
    """Monitors, alerts and dashboards."""
    operator_namespace = stack.sharing.operator_namespace_of(stack.cluster.namespace)
    return MonitoringArgs(
        namespace=namespaces.workloads,
        prometheus=_prometheus_stack(stack, namespaces, state, connection, root)
        if stack.monitoring.is_installed
        else None,
        options=stack.monitoring,
        alerts=AlertArgs(
            namespace=stack.cluster.namespace,
            ray_service_name=stack.cluster.ray_service_name,
            has_prediction_log=stack.prediction_log.prediction_log != "off",
            has_redis=stack.storage.redis == "in-cluster",
            has_certificate=bool(stack.access.tls),
            deadlines=deadlines(stack.schedule, stack.prediction_log),
            runbook_url=stack.monitoring.runbook_url,
        ),
        operator_namespace=operator_namespace if stack.sharing.install_operator else None,
    )


def scheduled_jobs(
    stack: Settings, namespace: pulumi.Input[str], image: ImageBuild, ray: RayService
) -> ScheduledJobsArgs:
    """Scheduled training, and the schedule of `manta drift`."""
    return ScheduledJobsArgs(
        namespace=namespace,
        schedule=stack.schedule,
        prediction_log=stack.prediction_log,
        placement=stack.scheduling.of("jobs"),
        image=image.reference,
        image_pull_secrets=references.pull_secrets(stack.images),
        ray_service_name=stack.cluster.ray_service_name,
        ray_secret=ray.ray_secret,
        stack=pulumi.get_stack(),
        after=ray,
    )
