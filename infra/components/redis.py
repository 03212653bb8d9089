"""Redis, which stores the state of the Ray head: a server with a volume in the cluster, or an external Redis."""

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes import apps, core, meta

from infra import labels, names
from infra.components import redis_server
from infra.config.connection_options import ConnectionOptions
from infra.config.image_options import ImageOptions
from infra.config.options import StorageOptions
from infra.config.scheduling import Placement
from infra.credentials import SecretReference, existing_secret, kubernetes_secret, secret_value, slow_checksum
from infra.images import references


@dataclass(frozen=True, kw_only=True)
class RedisArgs:
    """Which Redis to use, and where to run it."""

    namespace: pulumi.Input[str]
    storage: StorageOptions
    connections: ConnectionOptions
    images: ImageOptions
    placement: Placement


class Redis(pulumi.ComponentResource):
    """The store that lets a Ray head be lost without losing the cluster."""

    address: pulumi.Output[str]
    """Host and port inside the cluster, for `gcsFaultToleranceOptions.redisAddress`."""
    secret: SecretReference | None
    """Secret that holds the password; None for an external Redis without a password."""
    secret_name: str | None
    """Name of the Secret that holds the password; None for an external Redis without a password."""

    def __init__(self, name: str, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Redis", name, None, opts)
        if args.storage.redis == "external":
            has_password = bool(args.storage.redis_password.get_secret_value())
            self.secret = self._password_secret(name, args) if has_password else self._existing_secret(name, args)
            self.secret_name = names.REDIS_SECRET if has_password else args.connections.redis_secret or None
            scheme = "rediss" if args.storage.redis_tls else "redis"
            self.address = pulumi.Output.from_input(f"{scheme}://{args.storage.redis_address}")
        else:
            secret = self._password_secret(name, args)
            self.secret, self.secret_name = secret, names.REDIS_SECRET
            self.address = self._server(name, args, secret)
        self.register_outputs({"address": self.address})

    def _existing_secret(self, name: str, args: RedisArgs) -> SecretReference | None:
        """Read the Secret that the configuration names for an external Redis."""
        if not args.connections.redis_secret:
            return None
        opts = pulumi.ResourceOptions(parent=self)
        return existing_secret(
            f"{name}-existing-secret", args.connections.redis_secret, namespace=args.namespace, opts=opts
        )

    def _password_secret(self, name: str, args: RedisArgs) -> SecretReference:
        child_opts = pulumi.ResourceOptions(parent=self)
        password = secret_value(f"{name}-password", args.storage.redis_password, child_opts)
        return kubernetes_secret(
            f"{name}-secret",
            names.REDIS_SECRET,
            namespace=args.namespace,
            component=labels.REDIS,
            content={
                names.PASSWORD_KEY: password,
                redis_server.CONFIG_KEY: password.apply(lambda text: f"requirepass {text}\n"),
            },
            opts=child_opts,
            digest=slow_checksum,
        )

    def _server(self, name: str, args: RedisArgs, secret: SecretReference) -> pulumi.Output[str]:
        """Register the StatefulSet and the Service, and return the server's address.

        There is no disruption budget: it would hold every drain, because the pod is the only one. Ray serves while
        Redis moves to another node.
        """
        child_opts = pulumi.ResourceOptions(parent=self)
        metadata = meta.v1.ObjectMetaArgs(name=names.REDIS, namespace=args.namespace, labels=labels.of(labels.REDIS))
        volume = core.v1.PersistentVolumeClaim(
            f"{name}-volume",
            metadata=meta.v1.ObjectMetaArgs(
                name=redis_server.VOLUME,
                namespace=args.namespace,
                labels=labels.of(labels.REDIS),
                # The claim is bound when the pod that mounts it is scheduled, and the pod comes after the claim.
                annotations={"pulumi.com/skipAwait": "true"},
            ),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=args.storage.storage_class or None,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": args.storage.redis_volume_size}),
            ),
            opts=child_opts,
        )
        apps.v1.StatefulSet(
            f"{name}-server",
            metadata=metadata,
            spec=redis_server.stateful_set(
                image=references.redis(args.images),
                image_pull_secrets=references.pull_secrets(args.images),
                secret_checksum=secret.checksum,
                placement=args.placement,
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[secret.resource, volume]),
        )
        service = core.v1.Service(
            f"{name}-service",
            metadata=metadata,
            spec=core.v1.ServiceSpecArgs(
                selector=labels.selector(labels.REDIS),
                ports=[core.v1.ServicePortArgs(name="redis", port=names.REDIS_PORT, target_port="redis")],
            ),
            opts=child_opts,
        )
        return pulumi.Output.concat(
            service.metadata.name, ".", args.namespace, ".svc.cluster.local:", str(names.REDIS_PORT)
        )
