"""The RayService: Pulumi waits for its upgrades, can update it repeatedly, and deletes it cleanly."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes import core, meta

from infra import labels, names
from infra.components import budget, certificate_authorities
from infra.components.mlflow.mlflow import Mlflow
from infra.components.ray import (
    dependency_check,
    progress,
    ray_secrets,
    ray_service_spec,
    redis_connection,
    serve_config,
    worker_groups,
)
from infra.components.ray.environment import environment
from infra.components.ray.ray_secrets import RaySecrets
from infra.components.ray.spec_args import RayServiceSpecArgs
from infra.components.redis import Redis
from infra.config.catalog_options import CatalogOptions
from infra.config.connection_options import ConnectionOptions
from infra.config.credential_options import CredentialOptions
from infra.config.identity_options import IdentityOptions
from infra.config.image_options import ImageOptions
from infra.config.options import AppOptions, SizeOptions, StorageOptions
from infra.config.prediction_log_options import PredictionLogOptions
from infra.config.proxy import ProxyOptions
from infra.config.scheduling import SchedulingOptions
from infra.config.tracing_options import TracingOptions
from infra.config.worker_options import WorkerOptions
from infra.credentials import from_secret
from infra.images import references

ANNOTATIONS: Final = {
    # By default Pulumi does not wait for custom resources. `Ready` alone would also be true of the old cluster.
    "pulumi.com/waitFor": json.dumps(["condition=Ready", "condition=UpgradeInProgress=False"]),
    # The operator writes defaults into the spec and so owns fields that the next update has to apply.
    "pulumi.com/patchForce": "true",
    # Foreground deletion would wait for the pods that KubeRay's own finalizer deletes.
    "pulumi.com/deletionPropagationPolicy": "background",
    # Seconds after which the operator stops trying to clean up Redis. KubeRay copies this to the RayCluster.
    "ray.io/gcs-ft-deletion-timeout": "300",
}
TIMEOUT: Final = "30m"
"""Time for pulling the image, for starting a new cluster beside the old one, and for adding nodes for it."""


@dataclass(frozen=True, kw_only=True)
class RayServiceArgs:
    """Size, application and dependencies of the Ray cluster."""

    namespace: pulumi.Input[str]
    ray_service_name: str
    """Name of the RayService in the cluster, and prefix of its Services."""
    target: Literal["minikube", "cloud"]
    size: SizeOptions
    workers: WorkerOptions
    scheduling: SchedulingOptions
    storage: StorageOptions
    connections: ConnectionOptions
    app: AppOptions
    credentials: CredentialOptions
    catalog: CatalogOptions
    prediction_log: PredictionLogOptions
    tracing: TracingOptions
    identity: IdentityOptions
    head_environment: Mapping[str, str]
    """Further environment variables of the Ray head."""
    images: ImageOptions
    image: pulumi.Input[str]
    """Image of Ray."""
    proxy: ProxyOptions
    serve_service: Mapping[str, object] | None
    """KubeRay's Service of Serve, where it is not reachable from inside of the cluster only."""
    redis: Redis
    mlflow: Mlflow
    context: pulumi.Input[str]
    """Context of the kubeconfig, for the display of the progress."""
    kubeconfig: pulumi.Input[str] | None
    """Content of a kubeconfig; None means the kubeconfig files that kubectl reads."""
    root: Path
    """Root of the project."""
    after: Sequence[pulumi.Resource]
    """Resources that must exist before the RayService and that a destroy must keep until KubeRay has cleaned up: the
    operator, and the policies that let KubeRay's cleanup job reach Redis."""


class RayService(pulumi.ComponentResource):
    """The Ray cluster that trains and serves."""

    ray_token: pulumi.Output[str]
    """Token of the dashboard and the Jobs API, secret."""
    serve_token: pulumi.Output[str]
    """Token for `/model/load`, secret."""
    ray_secret: pulumi.Output[str]
    """Name of the Secret that holds Ray's token."""

    def __init__(self, name: str, args: RayServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:RayService", name, None, opts)
        child_opts = pulumi.ResourceOptions(parent=self)
        secrets = ray_secrets.register(
            name, args.namespace, args.app, args.credentials, args.catalog, args.tracing, child_opts
        )
        self.ray_token, self.serve_token, self.ray_secret = secrets.ray_token, secrets.serve_token, secrets.ray.name
        accounts = [
            core.v1.ServiceAccount(
                f"{name}-account-{account}",
                metadata=meta.v1.ObjectMetaArgs(
                    name=account,
                    namespace=args.namespace,
                    labels=labels.of(labels.RAY),
                    annotations=annotations,
                ),
                automount_service_account_token=False,
                opts=child_opts,
            )
            for account, annotations in args.identity.service_accounts.items()
        ]
        spec_args = _spec_args(args, secrets)
        needs = [*secrets.resources, *accounts, args.redis, *args.after]
        check = dependency_check.register(
            f"{name}-check", spec_args, namespace=args.namespace, parent=self, after=[*needs, args.mlflow]
        )
        _register_progress(name, args, spec_args, pulumi.ResourceOptions(parent=self, depends_on=[*needs, check]))
        kubernetes.apiextensions.CustomResource(
            f"{name}-service",
            api_version="ray.io/v1",
            kind="RayService",
            metadata=meta.v1.ObjectMetaArgs(
                name=args.ray_service_name,
                namespace=args.namespace,
                labels=labels.of(labels.RAY),
                annotations=ANNOTATIONS,
            ),
            spec=ray_service_spec.build(spec_args),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*needs, check],
                custom_timeouts=pulumi.CustomTimeouts(create=TIMEOUT, update=TIMEOUT, delete=TIMEOUT),
            ),
        )
        budget.register(
            f"{name}-workers-budget",
            f"{args.ray_service_name}-workers",
            namespace=args.namespace,
            component=labels.RAY,
            pods=worker_groups.initial_workers(args.size),
            more_labels={"ray.io/group": names.WORKER_GROUP},
            opts=child_opts,
        )
        self.register_outputs({})


def _register_progress(
    name: str, args: RayServiceArgs, spec_args: RayServiceSpecArgs, opts: pulumi.ResourceOptions
) -> None:
    """Register the display of the progress. It runs when anything changes that starts a new Ray cluster."""
    options = (args.size, args.workers, args.scheduling, args.app, args.identity)
    progress.register(
        f"{name}-progress",
        environment={
            "MANTA_NAMESPACE": args.namespace,
            "MANTA_CONTEXT": args.context,
            "MANTA_KUBECONFIG": args.kubeconfig or "",
            "MANTA_RAY_SERVICE": args.ray_service_name,
        },
        triggers=[
            spec_args.image,
            spec_args.serve_config,
            *(checksum for _, checksum in sorted(spec_args.checksums.items())),
            *(group.model_dump_json() for group in options),
        ],
        root=os.path.relpath(args.root),
        opts=opts,
    )


def _spec_args(args: RayServiceArgs, secrets: RaySecrets) -> RayServiceSpecArgs:
    checksums: dict[str, pulumi.Input[str]] = {**secrets.checksums}
    checksums[names.MLFLOW_CLIENT_SECRET] = args.mlflow.client.checksum
    if args.redis.secret is not None:
        checksums[names.REDIS_SECRET] = args.redis.secret.checksum
    if digest := certificate_authorities.digest(args.connections, without=certificate_authorities.OIDC):
        checksums[certificate_authorities.NAME] = digest
    pod_environment = partial(
        environment,
        args.app,
        args.credentials,
        args.catalog,
        args.prediction_log,
        args.tracing,
        size=args.size,
        tracking_uri=args.mlflow.tracking_uri,
        mlflow_secret=args.mlflow.client.name,
        proxy=args.proxy.environment(),
    )
    groups = args.workers.groups(cpus=args.size.cpus, memory=args.size.memory)
    return RayServiceSpecArgs(
        size=args.size,
        target=args.target,
        image=args.image,
        image_pull_secrets=references.pull_secrets(args.images),
        serve_config=serve_config.build(args.app, args.size, is_apart=bool(groups)),
        ray_secret=secrets.ray.name,
        redis_address=args.redis.address,
        redis_secret=args.redis.secret_name,
        redis_user=args.connections.redis_user,
        head_volumes=redis_connection.volumes(args.storage, args.connections),
        head_mounts=redis_connection.mounts(args.storage, args.connections),
        environment=pod_environment(),
        head_environment=[
            # After an upgrade, KubeRay cleans up Redis in a job whose pod is a copy of the old cluster's head. The
            # update may have deleted Secrets that only the old cluster read. The job does not need them.
            *pod_environment(are_secrets_optional=True),
            core.v1.EnvVarArgs(
                name="RAY_AUTH_TOKEN",  # KubeRay's own variable would not be optional
                value_from=from_secret(secrets.ray.name, names.RAY_SECRET_KEY, is_optional=True),
            ),
            *redis_connection.environment(args.storage, args.connections),
            *(core.v1.EnvVarArgs(name=name, value=value) for name, value in sorted(args.head_environment.items())),
        ],
        checksums=checksums,
        head=args.scheduling.of("head"),
        workers=args.scheduling.of("workers"),
        groups=groups,
        worker_labels=args.identity.pod_labels,
        serve_service=args.serve_service,
    )
