"""The RayService: one resource whose changes are awaited, survive a second update, and end cleanly."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pulumi
import pulumi_kubernetes as kubernetes

from infra import endpoints, labels, names, versions
from infra.components.credentials import SecretReference, kubernetes_secret, secret_text
from infra.components.mlflow.mlflow import Mlflow
from infra.components.ray import ray_service_spec, serve_config
from infra.components.ray.ray_service_spec import RayServiceSpec
from infra.components.redis import Redis
from infra.config.settings import Settings
from infra.images import references

ANNOTATIONS: Final = {
    # Pulumi awaits no custom resource by itself. Ready alone would also be true of the old cluster.
    "pulumi.com/waitFor": json.dumps(["condition=Ready", "condition=UpgradeInProgress=False"]),
    # The operator writes defaults into the spec, and so owns fields that the next update applies.
    "pulumi.com/patchForce": "true",
    # Foreground deletion would wait for the pods that KubeRay's own finalizer is taking down.
    "pulumi.com/deletionPropagationPolicy": "background",
    # Seconds after which the operator gives up cleaning Redis; it copies this to the Ray cluster.
    "ray.io/gcs-ft-deletion-timeout": "300",
}
TIMEOUT: Final = "30m"
"""For a pull of the image, a new cluster beside the old one, and nodes that must be added for it."""


@dataclass(frozen=True, kw_only=True)
class RayServiceArgs:
    """What Ray runs on and talks to."""

    namespace: pulumi.Input[str]
    settings: Settings
    image: pulumi.Input[str]
    redis: Redis
    mlflow: Mlflow
    after: Sequence[pulumi.Resource]
    """What must be there first and, at a destroy, stay until KubeRay has cleaned up: the operator, Redis,
    and the policies that let its clean-up job reach Redis."""


class RayService(pulumi.ComponentResource):
    """The Ray cluster that trains and serves."""

    ray_token: pulumi.Output[str]
    """Token of the dashboard and the Jobs API, secret."""
    serve_token: pulumi.Output[str]
    """Token for `/model/load`, secret."""

    def __init__(self, name: str, args: RayServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:RayService", name, None, opts)
        self._name, self._args = name, args
        own = pulumi.ResourceOptions(parent=self)
        app = args.settings.app
        self.ray_token = secret_text(f"{name}-ray-token", app.ray_token, own)
        self.serve_token = secret_text(f"{name}-serve-token", app.serve_token, own)
        ray = self._secret("ray", names.RAY_SECRET, names.RAY_SECRET_KEY, self.ray_token)
        serve = self._secret("serve", names.SERVE_SECRET, names.SERVE_SECRET_KEY, self.serve_token)
        kubernetes.apiextensions.CustomResource(
            f"{name}-service",
            api_version="ray.io/v1",
            kind="RayService",
            metadata={
                "name": args.settings.cluster.ray_service_name,
                "namespace": args.namespace,
                "labels": labels.of(labels.RAY),
                "annotations": ANNOTATIONS,
            },
            spec=ray_service_spec.build(self._spec(ray, serve)),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[ray.resource, serve.resource, args.redis, *args.after],
                custom_timeouts=pulumi.CustomTimeouts(create=TIMEOUT, update=TIMEOUT, delete=TIMEOUT),
            ),
        )
        self.register_outputs({})

    def _secret(self, role: str, secret: str, key: str, text: pulumi.Input[str]) -> SecretReference:
        return kubernetes_secret(
            f"{self._name}-{role}-secret",
            secret,
            namespace=self._args.namespace,
            component=labels.RAY,
            content={key: text},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _spec(self, ray: SecretReference, serve: SecretReference) -> RayServiceSpec:
        args, settings = self._args, self._args.settings
        checksums: dict[str, Any] = {
            names.RAY_SECRET: ray.checksum,
            names.SERVE_SECRET: serve.checksum,
            names.MLFLOW_SECRET: args.mlflow.admin.checksum,
        }
        if args.redis.secret is not None:
            checksums[names.REDIS_SECRET] = args.redis.secret.checksum
        return RayServiceSpec(
            size=settings.size,
            target=settings.cluster.target,
            ray_version=versions.RAY,
            image=args.image,
            image_pull_secrets=references.pull_secrets(settings.images),
            serve_config=serve_config.build(settings.app, settings.size),
            redis_address=args.redis.address,
            redis_has_password=args.redis.secret is not None,
            environment={
                "MLFLOW_TRACKING_URI": args.mlflow.tracking_uri,
                "MANTA_MODEL_NAME": settings.app.model_name,
                "MANTA_DATASET": settings.app.dataset,
                "HOME": "/tmp",  # noqa: S108  (the one folder that the user of the image may write)
                "RAY_AUTH_MODE": "token",
                "RAY_SERVE_ENABLE_HA_PROXY": "1",
                # The replicas count their requests themselves. HAProxy would send a line for each to a Python process,
                # which takes a quarter of the time of an answer to read it.
                "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
                # Requests stay on one thread of the replica: no handing over from one event loop to another.
                "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
                # Silence in the middle of a body, which takes one of a replica's places, ends the request.
                "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "30",
                "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": names.MIDDLEWARE_IMPORT_PATH,
                "RAY_USAGE_STATS_ENABLED": "0",
            },
            secret_environment={
                "MLFLOW_TRACKING_USERNAME": (names.MLFLOW_SECRET, names.USERNAME_KEY),
                "MLFLOW_TRACKING_PASSWORD": (names.MLFLOW_SECRET, names.PASSWORD_KEY),
                "MANTA_SERVE_TOKENS": (names.SERVE_SECRET, names.SERVE_SECRET_KEY),
            },
            checksums=checksums,
            serve_node_port=endpoints.serve_node_port(settings),
        )
