"""Values of the community MLflow chart; they name Secrets and hold none."""

from collections.abc import Sequence
from typing import Any, Final

import pulumi

from infra import endpoints, labels, names
from infra.config import quantities
from infra.config.options import ImageOptions, StorageOptions
from infra.config.settings import Settings
from infra.images import references

VOLUME: Final = "mlflow-data"
DATA_DIR: Final = "/mlflow/data"
WORKER_BYTES: Final = 1024**3
"""What one server process takes, with room: 0.8 GiB when idle."""
MAX_WORKERS: Final = 4
"""Server processes of one pod; beyond that, more pods serve better."""
HALF: Final = quantities.WHOLE / 2
"""Share of the memory limit that is reserved: an idle server takes no more."""


def needs_volume(storage: StorageOptions) -> bool:
    """Whether anything lies on a volume rather than in a database and an object store."""
    return storage.mlflow_backend == "sqlite" or storage.artifact_root == "volume"


def allowed_hosts(*, namespace: str, public: Sequence[str]) -> list[str]:
    """`Host` headers that the server answers to; anything else is refused, which stops DNS rebinding.

    The setting replaces MLflow's defaults, and a port counts as part of the name.

    Args:
        namespace: Namespace of the server.
        public: Host names under which clients outside of the cluster reach it.
    """
    inside = [names.MLFLOW, f"{names.MLFLOW}.{namespace}", f"{names.MLFLOW}.{namespace}.svc.cluster.local"]
    reached = [*inside, "localhost", "127.0.0.1", *public]
    return [form for host in reached for form in (host, f"{host}:*")]


def workers(memory: str) -> int:
    """Server processes that fit; one starts in half the time and memory of the default four."""
    return max(1, min(MAX_WORKERS, int(quantities.value(memory) // WORKER_BYTES)))


def values(settings: Settings, *, image: str, checksums: Sequence[pulumi.Input[str]]) -> dict[str, Any]:
    """All values of the release.

    Args:
        settings: What the stack decides.
        image: Image of the server.
        checksums: Digests of the Secrets that the server reads at its start.
    """
    storage = settings.storage
    public = endpoints.public_hosts(settings)
    return {
        "fullnameOverride": names.MLFLOW,
        "replicaCount": storage.mlflow_replicas,
        "service": {"port": names.MLFLOW_PORT, "containerPort": names.MLFLOW_PORT},
        "serverAllowedHosts": allowed_hosts(namespace=settings.cluster.namespace, public=public),
        "extraArgs": {"workers": str(workers(storage.mlflow_memory))},
        # Its runner and consumers are a Python process each, 1 GiB together, for features that nothing here uses.
        "extraEnvVars": {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        "podAnnotations": {f"manta/auth-checksum-{number}": checksum for number, checksum in enumerate(checksums)},
        "extraPodLabels": labels.selector(labels.MLFLOW),
        "serviceAccount": {
            "automount": False,
            "annotations": storage.mlflow_service_account_annotations,
        },
        # The server needs 15 s to start, a minute where CPU is scarce.
        "readinessProbe": {"initialDelaySeconds": 5, "periodSeconds": 5, "failureThreshold": 6},
        "livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 20, "failureThreshold": 5},
        "resources": {
            "requests": {"cpu": "100m", "memory": quantities.memory_share(storage.mlflow_memory, HALF)},
            "limits": {"memory": storage.mlflow_memory},
        },
        **_images(settings.images, image),
        **_security(),
        **_auth(storage),
        **_backend(storage),
        **_artifacts(storage),
    }


def _images(wanted: ImageOptions, image: str) -> dict[str, Any]:
    server, busybox = (
        dict(zip(("repository", "tag"), references.split(reference), strict=True))
        for reference in (image, references.busybox(wanted))
    )
    return {
        "image": server,
        "initImages": {
            "dbchecker": busybox,
            "mlflowDbMigration": server,
            "iniFileInitializer": busybox,
        },
        "imagePullSecrets": references.pull_secrets(wanted),
    }


def _security() -> dict[str, Any]:
    """What Pod Security `restricted` asks for beyond the chart's own settings."""
    return {
        "podSecurityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
    }


def _auth(storage: StorageOptions) -> dict[str, Any]:
    auth: dict[str, Any] = {
        "enabled": True,
        "existingAdminSecret": {
            "name": names.MLFLOW_SECRET,
            "usernameKey": names.USERNAME_KEY,
            "passwordKey": names.PASSWORD_KEY,
        },
    }
    if storage.mlflow_backend == "postgres":
        auth["postgres"] = _database(storage, storage.postgres_auth_database) | {
            "existingSecret": _postgres_secret(storage)
        }
    else:
        auth["sqliteFullPath"] = f"{DATA_DIR}/"  # the chart puts nothing between path and file
    return {"auth": auth}


def _backend(storage: StorageOptions) -> dict[str, Any]:
    if storage.mlflow_backend == "postgres":
        return {
            "backendStore": {
                "databaseMigration": True,
                "databaseConnectionCheck": True,
                "postgres": _database(storage, storage.postgres_database),
                "existingDatabaseSecret": _postgres_secret(storage),
            }
        }
    return {"backendStore": {"defaultSqlitePath": f"{DATA_DIR}/mlflow.db"}}


def _artifacts(storage: StorageOptions) -> dict[str, Any]:
    """Keep artifacts behind the server, so that no client needs credentials of an object store."""
    is_volume = storage.artifact_root == "volume"
    destination = f"{DATA_DIR}/artifacts" if is_volume else storage.artifact_root
    wanted: dict[str, Any] = {
        "artifactRoot": {"proxiedArtifactStorage": True, "defaultArtifactsDestination": destination},
        "extraSecretNamesForEnvFrom": [storage.artifact_secret] if storage.artifact_secret else [],
    }
    if needs_volume(storage):
        wanted["strategy"] = {"type": "Recreate"}  # two pods cannot both write the volume
        wanted["extraVolumes"] = [{"name": VOLUME, "persistentVolumeClaim": {"claimName": VOLUME}}]
        wanted["extraVolumeMounts"] = [{"name": VOLUME, "mountPath": DATA_DIR}]
    return wanted


def _database(storage: StorageOptions, database: str) -> dict[str, Any]:
    return {
        "enabled": True,
        "host": storage.postgres_host,
        "port": storage.postgres_port,
        "database": database,
    }


def _postgres_secret(storage: StorageOptions) -> dict[str, str]:
    return {
        "name": storage.postgres_secret or names.POSTGRES_SECRET,
        "usernameKey": names.USERNAME_KEY,
        "passwordKey": names.PASSWORD_KEY,
    }
