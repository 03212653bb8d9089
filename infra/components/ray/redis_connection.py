"""How the Ray head verifies an external Redis over TLS."""

from pulumi_kubernetes import core

from infra.components import certificate_authorities
from infra.config.connection_options import ConnectionOptions
from infra.config.options import StorageOptions


def environment(storage: StorageOptions, connections: ConnectionOptions) -> list[core.v1.EnvVarArgs]:
    """Environment variables of the head. Ray verifies the certificate with no authority unless one is named.

    <https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/kuberay-gcs-ft.html>
    """
    if not _uses_tls(storage):
        return []
    host = storage.redis_address.rpartition(":")[0]
    variables = {
        "RAY_REDIS_CA_CERT": certificate_authorities.path(connections, certificate_authorities.REDIS),
        "RAY_REDIS_SERVER_NAME": host,
    }
    return [core.v1.EnvVarArgs(name=name, value=value) for name, value in variables.items()]


def volumes(storage: StorageOptions, connections: ConnectionOptions) -> list[core.v1.VolumeArgs]:
    """Volumes of the head with the certificate authorities of the configuration."""
    return [certificate_authorities.volume()] if _uses_tls(storage) and connections.redis_ca else []


def mounts(storage: StorageOptions, connections: ConnectionOptions) -> list[core.v1.VolumeMountArgs]:
    """Mounts of these volumes."""
    return [certificate_authorities.mount()] if _uses_tls(storage) and connections.redis_ca else []


def _uses_tls(storage: StorageOptions) -> bool:
    return storage.redis == "external" and storage.redis_tls
