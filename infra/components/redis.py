"""Redis, in which Ray keeps its state: our own with a volume, or an external one."""

from dataclasses import dataclass
from typing import Any, Final

import pulumi
from pulumi_kubernetes import apps, core, policy

from infra import labels, names
from infra.components.credentials import SecretReference, kubernetes_secret, secret_text
from infra.config.options import ImageOptions, StorageOptions
from infra.images import references

USER: Final = 999
"""User of the official image, which owns the volume."""
CONFIG_KEY: Final = "auth.conf"
CONFIG_DIR: Final = "/etc/redis-auth"
DATA_DIR: Final = "/data"
MEMORY: Final = "256Mi"
"""Limit; the state of a small Ray cluster takes some 10 MiB."""


@dataclass(frozen=True, kw_only=True)
class RedisArgs:
    """Which Redis, and where."""

    namespace: pulumi.Input[str]
    storage: StorageOptions
    images: ImageOptions


class Redis(pulumi.ComponentResource):
    """The store that lets a Ray head be lost without losing the cluster."""

    address: pulumi.Output[str]
    """Host and port inside the cluster, for `gcsFaultToleranceOptions.redisAddress`."""
    secret: SecretReference | None
    """Where the password is; an external Redis may have none."""

    def __init__(self, name: str, args: RedisArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:Redis", name, None, opts)
        self._name, self._args = name, args
        self.secret = self._secret()
        if args.storage.redis == "external":
            scheme = "rediss" if args.storage.redis_tls else "redis"
            self.address = pulumi.Output.from_input(f"{scheme}://{args.storage.redis_address}")
        else:
            self.address = self._server()
        self.register_outputs({"address": self.address})

    def _secret(self) -> SecretReference | None:
        storage = self._args.storage
        if storage.redis == "external" and not storage.redis_password.get_secret_value():
            return None
        own = pulumi.ResourceOptions(parent=self)
        password = secret_text(f"{self._name}-password", storage.redis_password, own)
        return kubernetes_secret(
            f"{self._name}-secret",
            names.REDIS_SECRET,
            namespace=self._args.namespace,
            component=labels.REDIS,
            # A configuration file keeps the password out of the arguments that `ps` shows.
            content={
                names.PASSWORD_KEY: password,
                CONFIG_KEY: password.apply(lambda text: f"requirepass {text}\n"),
            },
            opts=own,
        )

    def _server(self) -> pulumi.Output[str]:
        """Make StatefulSet, Service and disruption budget."""
        namespace, own = self._args.namespace, pulumi.ResourceOptions(parent=self)
        metadata: Any = {"name": names.REDIS, "namespace": namespace, "labels": labels.of(labels.REDIS)}
        selector = labels.selector(labels.REDIS)
        checksum = self.secret.checksum if self.secret else ""
        service_spec: Any = {
            "selector": selector,
            "ports": [{"name": "redis", "port": names.REDIS_PORT, "targetPort": "redis"}],
        }
        # A drained node waits until somebody deletes the pod; a broken Redis holds nobody up.
        budget_spec: Any = {
            "minAvailable": 1,
            "selector": {"matchLabels": selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
        apps.v1.StatefulSet(
            f"{self._name}-server",
            metadata=metadata,
            spec=stateful_set(self._args, checksum=checksum),
            opts=pulumi.ResourceOptions(parent=self, depends_on=self.secret.resource if self.secret else None),
        )
        service = core.v1.Service(
            f"{self._name}-service",
            metadata=metadata,
            spec=service_spec,
            opts=own,
        )
        policy.v1.PodDisruptionBudget(
            f"{self._name}-budget",
            metadata=metadata,
            spec=budget_spec,
            opts=own,
        )
        return pulumi.Output.concat(service.metadata.name, ".", namespace, ".svc.cluster.local:", str(names.REDIS_PORT))


def stateful_set(args: RedisArgs, *, checksum: pulumi.Input[str]) -> Any:  # noqa: ANN401
    """Spec of the one Redis pod, with each write on its volume within a second."""
    storage_class = args.storage.storage_class
    return {
        "serviceName": names.REDIS,
        "replicas": 1,
        "selector": {"matchLabels": labels.selector(labels.REDIS)},
        "template": {
            "metadata": {
                "labels": labels.of(labels.REDIS),
                "annotations": {"manta/redis-auth-checksum": checksum},
            },
            "spec": {
                "automountServiceAccountToken": False,
                "imagePullSecrets": references.pull_secrets(args.images),
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": USER,
                    "runAsGroup": USER,
                    "fsGroup": USER,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_container(references.redis(args.images))],
                "volumes": [
                    {
                        "name": "auth",
                        "secret": {
                            "secretName": names.REDIS_SECRET,
                            "items": [{"key": CONFIG_KEY, "path": CONFIG_KEY}],
                        },
                    }
                ],
            },
        },
        "volumeClaimTemplates": [
            {
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    **({"storageClassName": storage_class} if storage_class else {}),
                    "resources": {"requests": {"storage": args.storage.redis_volume_size}},
                },
            }
        ],
    }


def _container(image: str) -> dict[str, Any]:
    return {
        "name": names.REDIS,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["redis-server", f"{CONFIG_DIR}/{CONFIG_KEY}"],
        "args": [
            *("--dir", DATA_DIR),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--maxmemory-policy", "noeviction"),
        ],
        "ports": [{"name": "redis", "containerPort": names.REDIS_PORT}],
        "env": [
            {
                "name": "REDISCLI_AUTH",
                "valueFrom": {
                    "secretKeyRef": {"name": names.REDIS_SECRET, "key": names.PASSWORD_KEY},
                },
            }
        ],
        # Only PONG is ready: while it reads its file Redis answers LOADING.
        "readinessProbe": _probe(period_seconds=5, failure_threshold=3),
        "livenessProbe": _probe(period_seconds=10, failure_threshold=6) | {"initialDelaySeconds": 10},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": MEMORY},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": DATA_DIR},
            {"name": "auth", "mountPath": CONFIG_DIR, "readOnly": True},
        ],
    }


def _probe(*, period_seconds: int, failure_threshold: int) -> dict[str, Any]:
    return {
        "exec": {"command": ["sh", "-c", "redis-cli ping | grep -q PONG"]},
        "periodSeconds": period_seconds,
        "timeoutSeconds": 3,
        "failureThreshold": failure_threshold,
    }
