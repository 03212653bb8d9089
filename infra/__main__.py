"""The Pulumi program: the components of a stack, the dependencies between them, and the stack's outputs."""

from collections.abc import Sequence
from pathlib import Path

import pulumi

from infra import arguments, cluster, endpoints, outputs
from infra.components.access import Access, AccessArgs
from infra.components.certificate_authorities import CertificateAuthorities, CertificateAuthoritiesArgs
from infra.components.image_build import ImageBuild, ImageBuildArgs
from infra.components.mlflow.mlflow import Mlflow
from infra.components.monitoring import ray_dashboards
from infra.components.monitoring.monitoring import Monitoring
from infra.components.namespaces import Namespaces
from infra.components.network_policies import NetworkPolicies
from infra.components.ray.kuberay_operator import KuberayOperator
from infra.components.ray.leftovers import Leftovers, LeftoversArgs
from infra.components.ray.ray_service import RayService
from infra.components.ray.scheduled_jobs import ScheduledJobs
from infra.components.redis import Redis
from infra.config import settings
from infra.config.settings import Settings
from infra.images import content, references
from infra.images.content import ImageContent
from infra.preflight import stack_checks as preflight
from infra.preflight.cluster_state import ClusterReader, Reader

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
    namespaces = Namespaces("namespaces", arguments.namespaces(stack), in_namespaces)
    workloads = namespaces.workloads
    policies = NetworkPolicies("network-policies", arguments.network_policies(stack, namespaces, api_port), in_cluster)
    operator = KuberayOperator(
        "kuberay-operator", arguments.operator(stack, namespaces, state, connection, root), in_cluster
    )
    monitoring_args = arguments.monitoring(stack, namespaces, state, connection, root)
    monitoring = Monitoring("monitoring", monitoring_args, in_cluster)
    redis = Redis("redis", arguments.redis(stack, workloads), in_cluster)
    authorities = CertificateAuthorities(
        "certificate-authorities",
        CertificateAuthoritiesArgs(namespace=workloads, connections=stack.connections),
        in_cluster,
    )
    mlflow_args = arguments.mlflow(stack, workloads, connection, mlflow_image, root, after=[authorities])
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
    ray_args = arguments.ray_service(
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
    ScheduledJobs("schedule", arguments.scheduled_jobs(stack, workloads, ray_image, ray), in_cluster)
    outputs.export(stack, public, connection, ray_image, mlflow, ray, monitoring)


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


if __name__ == "__main__":
    main(settings.load())
