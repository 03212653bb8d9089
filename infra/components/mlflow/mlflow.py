"""MLflow: runs, models and their files, as a Helm release of the community chart."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_kubernetes import core
from pulumi_kubernetes.helm.v3 import Release

from infra import labels, names
from infra.components.credentials import SecretReference, kubernetes_secret, secret_text
from infra.components.mlflow import values
from infra.config.settings import Settings

TIMEOUT_S = 600
"""The chart's init containers wait for Postgres and migrate it before the server starts."""


@dataclass(frozen=True, kw_only=True)
class MlflowArgs:
    """Which MLflow, and where."""

    namespace: pulumi.Input[str]
    settings: Settings
    image: str
    """Image of the server."""
    root: Path
    """Root of the project, from which a relative chart path counts."""


class Mlflow(pulumi.ComponentResource):
    """The tracking server and model registry."""

    tracking_uri: pulumi.Output[str]
    """Address inside the cluster, once the server is ready."""
    admin: SecretReference
    """Where the administrator's name and password are."""
    password: pulumi.Output[str]
    """The administrator's password, secret."""

    def __init__(self, name: str, args: MlflowArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Mlflow", name, None, opts)
        self._name, self._args = name, args
        own = pulumi.ResourceOptions(parent=self)
        self.password = secret_text(f"{name}-password", args.settings.app.mlflow_password, own)
        self.admin = self._secret(
            "secret", names.MLFLOW_SECRET, username=args.settings.app.mlflow_username, password=self.password
        )
        postgres = self._postgres_secret()
        made = Release(
            f"{name}-release",
            name=names.MLFLOW,
            namespace=args.namespace,
            **args.settings.charts.mlflow.release_source(args.root),
            values=values.values(
                args.settings,
                image=args.image,
                checksums=[s.checksum for s in (self.admin, postgres) if s is not None],
            ),
            atomic=False,  # a failed release stays to be looked at, and the next `up` mends it in place
            timeout=TIMEOUT_S,
            opts=pulumi.ResourceOptions(parent=self, depends_on=self._before(postgres)),
        )
        address = f"http://{names.MLFLOW}:{names.MLFLOW_PORT}"
        self.tracking_uri = made.status.apply(lambda _: address)
        self.register_outputs({"trackingUri": self.tracking_uri})

    def _before(self, postgres: SecretReference | None) -> list[Any]:
        """What the release mounts or reads, which no value of the chart names as an output."""
        secrets = [secret.resource for secret in (self.admin, postgres) if secret is not None]
        volume = self._volume()
        return [*secrets, volume] if volume is not None else secrets

    def _secret(self, role: str, secret: str, **content: pulumi.Input[str]) -> SecretReference:
        return kubernetes_secret(
            f"{self._name}-{role}",
            secret,
            namespace=self._args.namespace,
            component=labels.MLFLOW,
            content=content,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _postgres_secret(self) -> SecretReference | None:
        storage = self._args.settings.storage
        if storage.mlflow_backend != "postgres" or storage.postgres_secret:
            return None
        password = pulumi.Output.secret(storage.postgres_password.get_secret_value())
        return self._secret("postgres", names.POSTGRES_SECRET, username=storage.postgres_user, password=password)

    def _volume(self) -> core.v1.PersistentVolumeClaim | None:
        storage = self._args.settings.storage
        if not values.needs_volume(storage):
            return None
        spec: Any = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": storage.mlflow_volume_size}},
        }
        if storage.storage_class:
            spec["storageClassName"] = storage.storage_class
        return core.v1.PersistentVolumeClaim(
            f"{self._name}-volume",
            metadata={
                "name": values.VOLUME,
                "namespace": self._args.namespace,
                "labels": labels.of(labels.MLFLOW),
                # It is bound when the pod that mounts it is scheduled, which is after this.
                "annotations": {"pulumi.com/skipAwait": "true"},
            },
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )
