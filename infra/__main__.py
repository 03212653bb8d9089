"""The Pulumi program: what a stack consists of, and what depends on what."""

from collections.abc import Sequence
from pathlib import Path

import pulumi

from infra import endpoints, versions
from infra.components import cluster
from infra.components.access import Access, AccessArgs
from infra.components.image import Image, ImageArgs
from infra.components.mlflow.mlflow import Mlflow, MlflowArgs
from infra.components.namespaces import Namespaces, NamespacesArgs
from infra.components.network_policies import NetworkPolicies, NetworkPoliciesArgs
from infra.components.ray.kuberay_operator import KuberayOperator, KuberayOperatorArgs
from infra.components.ray.leftovers import Leftovers, LeftoversArgs
from infra.components.ray.ray_service import RayService, RayServiceArgs
from infra.components.ray.schedule import Schedule, ScheduleArgs
from infra.components.redis import Redis, RedisArgs
from infra.config import settings
from infra.config.settings import Settings
from infra.images import content, references
from infra.images.content import ImageContent

ROOT = Path(__file__).parents[1]


def main(stack: Settings, root: Path = ROOT) -> None:
    """Register everything that the stack consists of, and export what a client needs."""
    cluster.guard(stack.cluster)
    ray_image = _image("ray-image", content.RAY, references.ray(stack.images), stack, root)
    # One after the other: a machine builds in one place, and nothing else goes on beside it.
    mlflow_image = _image(
        "mlflow-image", content.MLFLOW, references.mlflow(stack.images), stack, root, after=[ray_image]
    )
    target = cluster.connect(stack.cluster, after=[ray_image, mlflow_image])
    inside = pulumi.ResourceOptions(providers=[target.provider])

    namespaces = Namespaces(
        "namespaces",
        NamespacesArgs(namespace=stack.cluster.namespace),
        pulumi.ResourceOptions(providers=[target.namespace_provider]),
    )
    workloads = namespaces.workloads
    policies = NetworkPolicies("network-policies", NetworkPoliciesArgs(settings=stack, namespaces=namespaces), inside)
    operator = KuberayOperator(
        "kuberay-operator",
        KuberayOperatorArgs(
            namespace=namespaces.operator,
            watched=workloads,
            charts=stack.charts,
            images=stack.images,
            root=root,
        ),
        inside,
    )
    redis = Redis("redis", RedisArgs(namespace=workloads, storage=stack.storage, images=stack.images), inside)
    mlflow = Mlflow(
        "mlflow",
        MlflowArgs(namespace=workloads, settings=stack, image=mlflow_image.reference, root=root),
        inside,
    )
    leftovers = Leftovers(
        "leftovers",
        LeftoversArgs(
            namespace=workloads,
            context=target.context,
            kubeconfig=target.kubeconfig,
            after=[operator, policies, redis],
        ),
    )
    ray = RayService(
        "ray",
        RayServiceArgs(
            namespace=workloads,
            settings=stack,
            image=ray_image.reference,
            redis=redis,
            mlflow=mlflow,
            after=[operator, policies, leftovers],
        ),
        inside,
    )
    Access("access", AccessArgs(namespace=workloads, settings=stack, after=[ray, mlflow]), inside)
    Schedule(
        "schedule",
        ScheduleArgs(namespace=workloads, settings=stack, image=ray_image.reference, after=ray),
        inside,
    )
    _export(stack, target, ray_image, mlflow, ray)


def _image(
    name: str,
    content: ImageContent,
    published: str,
    stack: Settings,
    root: Path,
    *,
    after: Sequence[pulumi.Resource] = (),
) -> Image:
    args = ImageArgs(
        content=content, images=stack.images, published=published, root=root, profile=stack.cluster.context
    )
    return Image(name, args, pulumi.ResourceOptions(depends_on=list(after)))


def _export(stack: Settings, target: cluster.Cluster, image: Image, mlflow: Mlflow, ray: RayService) -> None:
    """Export what a client needs; passwords and tokens are secret."""
    urls = {endpoint.name: endpoints.url(endpoint, stack) for endpoint in endpoints.endpoints(stack)}
    pulumi.export("rayDashboardUrl", urls[endpoints.RAY])
    pulumi.export("mlflowUrl", urls[endpoints.MLFLOW])
    pulumi.export("serveUrl", urls[endpoints.SERVE])
    pulumi.export("rayToken", pulumi.Output.secret(ray.ray_token))
    pulumi.export("serveToken", pulumi.Output.secret(ray.serve_token))
    pulumi.export("mlflowUsername", stack.app.mlflow_username)
    pulumi.export("mlflowPassword", pulumi.Output.secret(mlflow.password))
    pulumi.export("stack", pulumi.get_stack())
    pulumi.export("namespace", stack.cluster.namespace)
    pulumi.export("context", target.context)
    pulumi.export("image", image.reference)
    pulumi.export("rayVersion", versions.RAY)
    pulumi.export("modelName", stack.app.model_name)
    pulumi.export("forwards", endpoints.forwards(stack))


if __name__ == "__main__":
    main(settings.load())
