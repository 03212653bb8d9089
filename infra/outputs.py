"""The outputs of a stack: what a client needs to find and to use the services."""

from collections.abc import Sequence

import pulumi

from infra import endpoints, versions
from infra.cluster import ClusterConnection
from infra.components.image_build import ImageBuild
from infra.components.mlflow.mlflow import Mlflow
from infra.components.monitoring.monitoring import Monitoring
from infra.components.ray.ray_service import RayService
from infra.config.settings import Settings
from infra.endpoints import Endpoint


def export(
    stack: Settings,
    public: Sequence[Endpoint],
    connection: ClusterConnection,
    image: ImageBuild,
    mlflow: Mlflow,
    ray: RayService,
    monitoring: Monitoring,
) -> None:
    """Export the stack outputs; passwords and tokens are secret."""
    urls = {endpoint.name: endpoints.url(endpoint, stack.access) for endpoint in public}
    pulumi.export("rayDashboardUrl", urls[endpoints.RAY])
    pulumi.export("mlflowUrl", urls[endpoints.MLFLOW])
    pulumi.export("serveUrl", urls[endpoints.SERVE])
    pulumi.export("rayToken", pulumi.Output.secret(ray.ray_token))
    pulumi.export("serveToken", pulumi.Output.secret(ray.serve_token))
    pulumi.export("mlflowUsername", stack.app.mlflow_username)
    pulumi.export("mlflowPassword", pulumi.Output.secret(mlflow.password))
    pulumi.export("stack", pulumi.get_stack())
    pulumi.export("namespace", stack.cluster.namespace)
    pulumi.export("operatorNamespace", stack.sharing.operator_namespace_of(stack.cluster.namespace))
    pulumi.export("context", connection.context)
    pulumi.export("kubeconfig", "" if connection.kubeconfig is None else pulumi.Output.secret(connection.kubeconfig))
    pulumi.export("image", image.reference)
    pulumi.export("rayVersion", versions.RAY)
    pulumi.export("modelName", stack.app.model_name)
    pulumi.export("showExamples", stack.app.show_examples)
    forwards = endpoints.forwards(public, namespace=stack.cluster.namespace)
    if monitoring.grafana_password is not None:
        pulumi.export("grafanaUrl", stack.monitoring.browser_url)
        pulumi.export("grafanaPassword", pulumi.Output.secret(monitoring.grafana_password))
        forwards.append(endpoints.grafana_forward(stack.monitoring_namespace))
    pulumi.export("forwards", forwards)
