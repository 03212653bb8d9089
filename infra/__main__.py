"""The Pulumi program: the components of a stack, the dependencies between them, and the stack's outputs."""

from collections.abc import Sequence
from pathlib import Path

import pulumi

from infra import cluster, endpoints, outputs
from infra.cluster import ClusterConnection
from infra.components import access, network_flows
from infra.components.access import Access, AccessArgs
from infra.components.certificate_authorities import CertificateAuthorities, CertificateAuthoritiesArgs
from infra.components.image_build import ImageBuild, ImageBuildArgs
from infra.components.mlflow import values
from infra.components.mlflow.mlflow import Mlflow, MlflowArgs
from infra.components.mlflow.users import ClientArgs
from infra.components.monitoring import ray_dashboards
from infra.components.monitoring.alerts import AlertArgs
from infra.components.monitoring.monitoring import Monitoring, MonitoringArgs
from infra.components.namespaces import Namespaces, NamespacesArgs
from infra.components.network_flows import FlowArgs
from infra.components.network_policies import NetworkPolicies, NetworkPoliciesArgs
from infra.components.ray.kuberay_operator import KuberayOperator, KuberayOperatorArgs
from infra.components.ray.leftovers import Leftovers, LeftoversArgs
from infra.components.ray.ray_service import RayService, RayServiceArgs
from infra.components.ray.scheduled_jobs import ScheduledJobs, ScheduledJobsArgs, deadlines
from infra.components.redis import Redis, RedisArgs
from infra.config import settings
from infra.config.settings import Settings
from infra.images import content, references
from infra.images.content import ImageContent
from infra.preflight import stack_checks as preflight
from infra.preflight.cluster_state import ClusterReader, ClusterState, Reader

ROOT = Path(__file__).parents[1]


def main(stack: Settings, root: Path = ROOT, read_cluster: ClusterReader = Reader.read) -> None:
    """Register the components of the stack, and export the outputs that a client needs."""
    if stack.monitoring.is_enabled:
        ray_dashboards.check_version()
    api_port = cluster.check_target(stack.cluster)
    state = preflight.run(stack, read_cluster)
    ray_image, mlflow_image = _image_builds(stack, root)
    connection = cluster.connect(stack.cluster, after=[ray_image, mlflow_image])
    in_cluster = pulumi.ResourceOptions(providers=[connection.provider])

    in_namespaces = pulumi.ResourceOptions(providers=[connection.namespace_provider])
    namespaces = Namespaces("namespaces", _namespaces_args(stack), in_namespaces)
    workloads = namespaces.workloads
    policies = NetworkPolicies("network-policies", _network_policies_args(stack, namespaces, api_port), in_cluster)
    operator = KuberayOperator(
        "kuberay-operator", _operator_args(stack, namespaces, state, connection, root), in_cluster
    )
    redis = Redis("redis", _redis_args(stack, workloads), in_cluster)
    authorities = CertificateAuthorities(
        "certificate-authorities",
        CertificateAuthoritiesArgs(namespace=workloads, connections=stack.connections),
        in_cluster,
    )
    mlflow_args = _mlflow_args(stack, workloads, connection, mlflow_image, root, after=[authorities])
    mlflow = Mlflow("mlflow", mlflow_args, in_cluster)
    leftovers = Leftovers(
        "leftovers",
        LeftoversArgs(
            namespace=workloads,
            context=connection.context,
            kubeconfig=connection.kubeconfig,
            after=[operator, policies, redis],
        ),
    )
    ray_args = _ray_service_args(
        stack,
        workloads,
        connection,
        ray_image,
        root,
        redis=redis,
        mlflow=mlflow,
        after=[operator, policies, leftovers, authorities],
    )
    ray = RayService("ray", ray_args, in_cluster)
    public = endpoints.endpoints(ray_service_name=stack.cluster.ray_service_name, route_prefix=stack.app.route_prefix)
    access_args = AccessArgs(
        namespace=workloads,
        access=stack.access,
        endpoints=public,
        load_timeout_s=stack.app.load_timeout_seconds,
        after=[ray, mlflow],
    )
    Access("access", access_args, in_cluster)
    Monitoring("monitoring", _monitoring_args(stack, workloads), in_cluster)
    ScheduledJobs("schedule", _scheduled_jobs_args(stack, workloads, ray_image, ray), in_cluster)
    outputs.export(stack, public, connection, ray_image, mlflow, ray)


def _namespaces_args(stack: Settings) -> NamespacesArgs:
    return NamespacesArgs(
        namespace=stack.cluster.namespace,
        operator_namespace=stack.sharing.operator_namespace_of(stack.cluster.namespace),
        create=stack.sharing.create_namespaces,
        install_operator=stack.sharing.install_operator,
        keep_data=stack.storage.keep_data,
    )


def _image_builds(stack: Settings, root: Path) -> tuple[ImageBuild, ImageBuild]:
    """Register the images of Ray and MLflow, built one after the other because both builds load the same machine."""
    ray = _image_build("ray-image", content.RAY, references.ray(stack.images), stack, root)
    mlflow = _image_build("mlflow-image", content.MLFLOW, references.mlflow(stack.images), stack, root, after=[ray])
    return ray, mlflow


def _image_build(
    name: str,
    content: ImageContent,
    published: str | None,
    stack: Settings,
    root: Path,
    *,
    after: Sequence[pulumi.Resource] = (),
) -> ImageBuild:
    args = ImageBuildArgs(
        content=content,
        images=stack.images,
        published=published,
        root=root,
        profile=stack.cluster.context,
        proxy=stack.network.proxy.environment(),
    )
    return ImageBuild(name, args, pulumi.ResourceOptions(depends_on=list(after)))


def _network_policies_args(stack: Settings, namespaces: Namespaces, api_port: int | None) -> NetworkPoliciesArgs:
    namespace = stack.cluster.namespace
    operator_namespace = stack.sharing.operator_namespace_of(namespace)
    flow_args = FlowArgs(
        namespace=namespace,
        operator_namespace=operator_namespace,
        is_operator_shared=not stack.sharing.install_operator,
        storage=stack.storage,
        connections=stack.connections,
        access=stack.access,
        network=stack.network,
        monitoring=stack.monitoring,
        tracing=stack.tracing,
        identity=stack.identity,
        credentials=stack.credentials,
        has_scheduled_jobs=bool(stack.schedule.train_schedule or stack.prediction_log.drift_schedule),
        api_port=api_port,
    )
    return NetworkPoliciesArgs(
        flows=network_flows.flows(flow_args) if stack.network.network_policies else [],
        namespaces={namespace: namespaces.workloads, operator_namespace: namespaces.operator},
    )


def _operator_args(
    stack: Settings, namespaces: Namespaces, state: ClusterState, connection: ClusterConnection, root: Path
) -> KuberayOperatorArgs:
    return KuberayOperatorArgs(
        namespace=namespaces.operator,
        watched_namespace=namespaces.workloads,
        chart=stack.charts.kuberay,
        root=root,
        images=stack.images,
        placement=stack.scheduling.of("operator"),
        install=stack.sharing.install_operator,
        install_crds=stack.sharing.install_crds,
        cluster=state,
        remove_crds=stack.charts.remove_crds,
        context=connection.context,
        kubeconfig=connection.kubeconfig,
    )


def _redis_args(stack: Settings, namespace: pulumi.Input[str]) -> RedisArgs:
    return RedisArgs(
        namespace=namespace,
        storage=stack.storage,
        connections=stack.connections,
        images=stack.images,
        placement=stack.scheduling.of("redis"),
    )


def _mlflow_args(
    stack: Settings,
    namespace: pulumi.Input[str],
    connection: ClusterConnection,
    image: ImageBuild,
    root: Path,
    *,
    after: Sequence[pulumi.Resource],
) -> MlflowArgs:
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
        ),
        environment=stack.network.proxy.environment(),
        pod_labels=stack.identity.pod_labels,
        calls_webhook=bool(stack.credentials.webhook_secret.get_secret_value()),
        allowed_hosts=values.allowed_hosts(
            namespace=stack.cluster.namespace, public=endpoints.mlflow_public_hosts(stack.access)
        ),
    )


def _ray_service_args(
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


def _monitoring_args(stack: Settings, namespace: pulumi.Input[str]) -> MonitoringArgs:
    operator_namespace = stack.sharing.operator_namespace_of(stack.cluster.namespace)
    return MonitoringArgs(
        namespace=namespace,
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


def _scheduled_jobs_args(
    stack: Settings, namespace: pulumi.Input[str], image: ImageBuild, ray: RayService
) -> ScheduledJobsArgs:
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


if __name__ == "__main__":
    main(settings.load())
