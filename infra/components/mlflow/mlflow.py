"""MLflow: the tracking server and model registry, as a Helm release of the community chart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pulumi
from pulumi_kubernetes import core, meta
from pulumi_kubernetes.helm.v3 import Release
from pydantic import SecretStr

from infra import labels, names
from infra.components import budget
from infra.components.mlflow import oidc, users, values, webhook
from infra.components.mlflow.oidc import Oidc
from infra.config.chart import Chart
from infra.config.connection_options import ConnectionOptions
from infra.config.image_options import ImageOptions
from infra.config.options import StorageOptions
from infra.config.scheduling import Placement
from infra.config.sign_in_options import SignInOptions
from infra.credentials import SecretReference, existing_secret, kubernetes_secret, secret_value, slow_checksum

TIMEOUT_S: Final = 600
"""The init containers wait for Postgres and migrate its schema before the server starts."""


@dataclass(frozen=True, kw_only=True)
class MlflowArgs:
    """Which MLflow to run, and where it keeps its state."""

    namespace: pulumi.Input[str]
    chart: Chart
    root: Path
    """Root of the project; a relative chart path starts there."""
    storage: StorageOptions
    connections: ConnectionOptions
    images: ImageOptions
    placement: Placement
    image: str
    """Image of the server."""
    username: str
    """Name of the administrator."""
    password: SecretStr
    """Password of the administrator; empty generates one."""
    client: users.ClientArgs
    """The user of Ray's pods."""
    sign_in: SignInOptions
    """How people sign in."""
    redirect_uri: str
    """Address to which a sign-in returns; empty means the address by which a person reached MLflow."""
    environment: Mapping[str, str]
    """Further environment variables of the server."""
    after: Sequence[pulumi.Resource]
    """Resources that the server's pod mounts by name."""
    pod_labels: Mapping[str, str]
    """Labels of the server's pods that their cloud identity needs."""
    calls_webhook: bool
    """Whether MLflow calls the webhook of the service."""
    allowed_hosts: Sequence[str]
    """`Host` headers that the server accepts."""


class Mlflow(pulumi.ComponentResource):
    """The tracking server and model registry."""

    tracking_uri: pulumi.Output[str]
    """Address inside the cluster, known as soon as the server is ready."""
    client: SecretReference
    """Secret that holds the name and the password of the user of Ray's pods."""
    password: pulumi.Output[str]
    """The administrator's password, secret."""

    def __init__(self, name: str, args: MlflowArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Mlflow", name, None, opts)
        child_opts = pulumi.ResourceOptions(parent=self)
        self.password = secret_value(f"{name}-password", args.password, child_opts)
        client = users.register_client(name, args.client, child_opts)
        self.client = client.secret
        admin = kubernetes_secret(
            f"{name}-secret",
            names.MLFLOW_SECRET,
            namespace=args.namespace,
            component=labels.MLFLOW,
            content={names.USERNAME_KEY: args.username, names.PASSWORD_KEY: self.password},
            opts=child_opts,
        )
        postgres = _postgres_secret(name, args, child_opts)
        artifacts = _artifact_secret(name, args, child_opts)
        key = webhook.register(name, args.namespace, child_opts) if args.calls_webhook else None
        sign_in = oidc.register_secret(name, args.sign_in, namespace=args.namespace, opts=child_opts)
        secrets = [secret for secret in (admin, self.client, postgres, artifacts, key, sign_in) if secret is not None]
        volume = _volume(name, args, child_opts)
        release = Release(
            f"{name}-release",
            name=names.MLFLOW,
            namespace=args.namespace,
            **args.chart.release_source(args.root),
            values=values.values(
                args.storage,
                args.connections,
                args.images,
                args.placement,
                image=args.image,
                environment={**args.environment, **(webhook.ENVIRONMENT if args.calls_webhook else {})},
                environment_secrets=[names.WEBHOOK_SECRET] if args.calls_webhook else [],
                pod_labels=args.pod_labels,
                client_secret=self.client.name,
                oidc=None if sign_in is None else Oidc.of(args.sign_in, sign_in, args.redirect_uri),
                allowed_hosts=args.allowed_hosts,
                checksums=[secret.checksum for secret in secrets],
            ),
            atomic=False,  # a failed release stays for inspection, and the next `pulumi up` repairs it in place
            timeout=TIMEOUT_S,
            # The release reads the Secrets and mounts the volume by name, so no input says that it needs them.
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[
                    *(secret.resource for secret in secrets),
                    *([volume] if volume is not None else []),
                    *args.after,
                ],
            ),
        )
        users.register_removal(name, args.client, client, pulumi.ResourceOptions(parent=self, depends_on=[release]))
        budget.register(
            f"{name}-budget",
            names.MLFLOW,
            namespace=args.namespace,
            component=labels.MLFLOW,
            pods=args.storage.mlflow_replicas,
            more_labels={},
            opts=child_opts,
        )
        address = f"http://{names.MLFLOW}:{names.MLFLOW_PORT}"
        self.tracking_uri = release.status.apply(lambda _: address)
        self.register_outputs({"trackingUri": self.tracking_uri})


def _artifact_secret(name: str, args: MlflowArgs, opts: pulumi.ResourceOptions) -> SecretReference | None:
    """Read the Secret with the credentials of the object store, if the configuration names one."""
    if not args.storage.artifact_secret:
        return None
    return existing_secret(f"{name}-artifacts", args.storage.artifact_secret, namespace=args.namespace, opts=opts)


def _postgres_secret(name: str, args: MlflowArgs, opts: pulumi.ResourceOptions) -> SecretReference | None:
    """Register the Secret with the credentials of Postgres, or read the one that `postgresSecret` names."""
    storage = args.storage
    if storage.mlflow_backend != "postgres":
        return None
    if storage.postgres_secret:
        return existing_secret(f"{name}-postgres", storage.postgres_secret, namespace=args.namespace, opts=opts)
    password = pulumi.Output.secret(storage.postgres_password.get_secret_value())
    return kubernetes_secret(
        f"{name}-postgres",
        names.POSTGRES_SECRET,
        namespace=args.namespace,
        component=labels.MLFLOW,
        content={names.USERNAME_KEY: storage.postgres_user, names.PASSWORD_KEY: password},
        opts=opts,
        digest=slow_checksum,
    )


def _volume(name: str, args: MlflowArgs, opts: pulumi.ResourceOptions) -> core.v1.PersistentVolumeClaim | None:
    """Register the volume claim, where MLflow keeps anything on a volume."""
    storage = args.storage
    if not values.needs_volume(storage):
        return None
    return core.v1.PersistentVolumeClaim(
        f"{name}-volume",
        metadata=meta.v1.ObjectMetaArgs(
            name=values.VOLUME,
            namespace=args.namespace,
            labels=labels.of(labels.MLFLOW),
            # The claim is bound when the pod that mounts it is scheduled, and the pod comes after the claim.
            annotations={"pulumi.com/skipAwait": "true"},
        ),
        spec=core.v1.PersistentVolumeClaimSpecArgs(
            access_modes=["ReadWriteOnce"],
            storage_class_name=storage.storage_class or None,
            resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": storage.mlflow_volume_size}),
        ),
        opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=storage.keep_data)),
    )
