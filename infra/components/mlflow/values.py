"""Helm values of the community MLflow chart. They refer to Secrets by name and contain no secret."""

from collections.abc import Mapping, Sequence
from typing import Final

import pulumi

from infra import labels, names
from infra.components import certificate_authorities, placement
from infra.components.mlflow import database, users
from infra.components.mlflow import oidc as openid
from infra.components.mlflow.database import DATA_DIR
from infra.components.mlflow.oidc import Oidc
from infra.config import quantities
from infra.config.connection_options import ConnectionOptions
from infra.config.image_options import ImageOptions
from infra.config.options import StorageOptions
from infra.config.scheduling import Placement
from infra.images import references

VOLUME: Final = "mlflow-data"
WORKER_BYTES: Final = 1024**3
"""Memory of one server process: 0.8 GiB when idle, plus a reserve."""
MAX_WORKERS: Final = 4
"""Maximum number of server processes of one pod. For more load, more pods are faster than more processes."""
USER: Final = 1001
"""UID and GID of the image."""
MEMORY_REQUEST_SHARE: Final = quantities.WHOLE / 2
"""Memory request as a share of the limit: an idle server needs no more."""


SECURITY_CONTEXT: Final[dict[str, object]] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "privileged": False,
    "runAsUser": USER,
    "runAsGroup": USER,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Security context of every container: the chart's own, with the profile that Pod Security `restricted` requires."""


def needs_volume(storage: StorageOptions) -> bool:
    """Whether MLflow keeps its database or its artifacts on a volume."""
    return storage.mlflow_backend == "sqlite" or storage.artifact_root == "volume"


def allowed_hosts(*, namespace: str, public: Sequence[str]) -> list[str]:
    """`Host` headers that the server accepts. It refuses all others, which stops DNS rebinding.

    The setting replaces MLflow's defaults. MLflow compares the whole header, so each host is listed with and
    without a port.

    Args:
        namespace: Namespace of the server.
        public: Host names through which clients outside of the cluster reach the server.
    """
    in_cluster = [names.MLFLOW, f"{names.MLFLOW}.{namespace}", f"{names.MLFLOW}.{namespace}.svc.cluster.local"]
    hosts = [*in_cluster, "localhost", "127.0.0.1", *public]
    return [header for host in hosts for header in (host, f"{host}:*")]


def workers(memory: str) -> int:
    """Number of server processes that fit into the memory limit.

    MLflow's default is four processes; a single process starts in half the time and half the memory.
    """
    return max(1, min(MAX_WORKERS, int(quantities.value(memory) // WORKER_BYTES)))


def values(
    storage: StorageOptions,
    connections: ConnectionOptions,
    images: ImageOptions,
    place: Placement,
    *,
    image: str,
    environment: Mapping[str, str],
    environment_secrets: Sequence[str],
    pod_labels: Mapping[str, str],
    client_secret: pulumi.Input[str],
    oidc: Oidc | None,
    allowed_hosts: Sequence[str],
    checksums: Sequence[pulumi.Input[str]],
) -> dict[str, object]:
    """All values of the release.

    Args:
        storage: Where MLflow keeps its state, and how large the server is.
        connections: Postgres' TLS, and the object store's address.
        images: Mirror and replacements for the images of the chart's init containers.
        place: Where the server runs, and what is added to its pods.
        image: Image of the server.
        environment: Further environment variables of the server.
        environment_secrets: Secrets whose keys become environment variables of the server.
        pod_labels: Further labels of the server's pods.
        client_secret: Secret of the user of Ray's pods.
        oidc: Provider whose accounts sign in; None means basic authentication.
        allowed_hosts: `Host` headers that the server accepts.
        checksums: Digests of the Secrets that the server reads when it starts.
    """
    set_users = openid.init_container if oidc else users.init_container
    return {
        "fullnameOverride": names.MLFLOW,
        "replicaCount": storage.mlflow_replicas,
        "service": {"port": names.MLFLOW_PORT, "containerPort": names.MLFLOW_PORT},
        "serverAllowedHosts": list(allowed_hosts),
        "extraArgs": {"workers": str(workers(storage.mlflow_memory))},
        # The job runner and its consumers are one Python process each, 1 GiB in total; manta uses none of their
        # features.
        "extraEnvVars": {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **database.tls(storage, connections),
            **_artifact_store(connections),
            **(openid.environment(connections) if oidc else {}),
            **environment,
            **place.env,
        },
        "podAnnotations": {
            **place.annotations,
            **_authorities_annotation(connections),
            **{f"manta/auth-checksum-{number}": checksum for number, checksum in enumerate(checksums)},
        },
        "extraPodLabels": {**place.labels, **pod_labels} | labels.selector(labels.MLFLOW),
        "serviceAccount": {
            "automount": False,
            "annotations": storage.mlflow_service_account_annotations,
        },
        # The server needs 15 s to start, and up to a minute where CPU is scarce.
        "readinessProbe": {"initialDelaySeconds": 5, "periodSeconds": 5, "failureThreshold": 6},
        "livenessProbe": {"initialDelaySeconds": 60, "periodSeconds": 20, "failureThreshold": 5},
        "resources": {
            "requests": {
                "cpu": "100m",
                "memory": quantities.memory_share(storage.mlflow_memory, MEMORY_REQUEST_SHARE),
                **placement.ephemeral_storage(place),
            },
            "limits": {"memory": storage.mlflow_memory, **placement.ephemeral_storage(place)},
        },
        **_spread(storage),
        **placement.chart_values(place),
        **_images(images, image),
        **_security(),
        **(openid.values(oidc, storage) if oidc else _auth()),
        **_backend(storage),
        **_artifacts(storage, environment_secrets),
        **_volumes(storage, connections),
        "initContainers": [
            *database.init_containers(
                storage,
                connections,
                server_image=image,
                shell_image=references.busybox(images),
                security_context=SECURITY_CONTEXT,
                volume_mounts=_volume_mounts(storage, connections),
                has_auth_file=oidc is None,
            ),
            set_users(
                storage,
                connections,
                image=image,
                client_secret=client_secret,
                security_context=SECURITY_CONTEXT,
                volume_mounts=_volume_mounts(storage, connections),
            ),
        ],
    }


def _spread(storage: StorageOptions) -> dict[str, object]:
    """Affinity of several servers: they run on different nodes where the scheduler can arrange it."""
    if storage.mlflow_replicas == 1:
        return {}
    term = {
        "topologyKey": placement.HOSTNAME,
        "labelSelector": {"matchLabels": labels.selector(labels.MLFLOW)},
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}}


def _images(images: ImageOptions, image: str) -> dict[str, object]:
    server, busybox = (
        dict(zip(("repository", "tag"), references.split(reference), strict=True))
        for reference in (image, references.busybox(images))
    )
    return {
        "image": server,
        "initImages": {
            "mlflowDbMigration": server,
            "iniFileInitializer": busybox,
        },
        "imagePullSecrets": references.pull_secrets(images),
    }


def _security() -> dict[str, object]:
    """Settings that Pod Security `restricted` requires and that the chart does not set by itself."""
    return {
        "podSecurityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "securityContext": SECURITY_CONTEXT,
    }


def _auth() -> dict[str, object]:
    """Basic authentication. `database.init_containers` writes the address of its database into the chart's file."""
    auth: dict[str, object] = {
        "enabled": True,
        "existingAdminSecret": {
            "name": names.MLFLOW_SECRET,
            "usernameKey": names.USERNAME_KEY,
            "passwordKey": names.PASSWORD_KEY,
        },
    }
    return {"auth": auth}


def _backend(storage: StorageOptions) -> dict[str, object]:
    if storage.mlflow_backend == "postgres":
        return {
            "backendStore": {
                "databaseMigration": False,  # `database.init_containers` migrates, over a verified connection
                "databaseConnectionCheck": False,  # the chart's check waits for ever, and its script needs BusyBox
                "postgres": {
                    "enabled": True,
                    "host": storage.postgres_host,
                    "port": storage.postgres_port,
                    "database": storage.postgres_database,
                    "driver": database.POSTGRES_DRIVER,
                },
                "existingDatabaseSecret": {
                    "name": database.postgres_secret(storage),
                    "usernameKey": names.USERNAME_KEY,
                    "passwordKey": names.PASSWORD_KEY,
                },
            }
        }
    return {"backendStore": {"defaultSqlitePath": f"{DATA_DIR}/mlflow.db"}}


def _artifacts(storage: StorageOptions, secrets: Sequence[str]) -> dict[str, object]:
    """Artifact store behind the server, so that no client needs the credentials of an object store."""
    is_volume = storage.artifact_root == "volume"
    destination = f"{DATA_DIR}/artifacts" if is_volume else storage.artifact_root
    artifacts: dict[str, object] = {
        "artifactRoot": {"proxiedArtifactStorage": True, "defaultArtifactsDestination": destination},
        "extraSecretNamesForEnvFrom": [*([storage.artifact_secret] if storage.artifact_secret else []), *secrets],
    }
    if needs_volume(storage):
        artifacts["strategy"] = {"type": "Recreate"}  # two pods cannot write to the volume at the same time
    return artifacts


def _artifact_store(connections: ConnectionOptions) -> dict[str, str]:
    """Environment variables for the address and the certificate authorities of the object store."""
    variables = {}
    if connections.artifact_endpoint:
        variables["MLFLOW_S3_ENDPOINT_URL"] = connections.artifact_endpoint
    if connections.artifact_ca:
        file = certificate_authorities.path(connections, certificate_authorities.ARTIFACTS)
        # The first is that of boto3, the second that of the clients of Google Cloud Storage and Azure.
        variables |= {"AWS_CA_BUNDLE": file, "REQUESTS_CA_BUNDLE": file}
    return variables


def _authorities_annotation(connections: ConnectionOptions) -> dict[str, str]:
    digest = certificate_authorities.digest(connections)
    return {"manta/certificate-authorities": digest} if digest else {}


def _volumes(storage: StorageOptions, connections: ConnectionOptions) -> dict[str, object]:
    volumes: list[object] = []
    if needs_volume(storage):
        volumes.append({"name": VOLUME, "persistentVolumeClaim": {"claimName": VOLUME}})
    if certificate_authorities.files(connections):
        config_map = {"name": certificate_authorities.NAME}
        volumes.append({"name": certificate_authorities.NAME, "configMap": config_map})
    return {"extraVolumes": volumes, "extraVolumeMounts": _volume_mounts(storage, connections)}


def _volume_mounts(storage: StorageOptions, connections: ConnectionOptions) -> list[dict[str, object]]:
    mounts: list[dict[str, object]] = []
    if needs_volume(storage):
        mounts.append({"name": VOLUME, "mountPath": DATA_DIR})
    if certificate_authorities.files(connections):
        folder = certificate_authorities.DIR
        mounts.append({"name": certificate_authorities.NAME, "mountPath": folder, "readOnly": True})
    return mounts
