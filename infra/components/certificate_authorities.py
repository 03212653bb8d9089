"""The certificate authorities of external services: one ConfigMap with a file for each service."""

import hashlib
from dataclasses import dataclass
from typing import Final

import pulumi
from pulumi_kubernetes import core, meta

from infra import labels, names
from infra.config.connection_options import ConnectionOptions

NAME: Final = "certificate-authorities"
"""Name of the ConfigMap, and of the volume."""
DIR: Final = "/etc/manta/certificate-authorities"
SYSTEM: Final = "/etc/ssl/certs/ca-certificates.crt"
"""The public certificate authorities in Debian's images."""
REDIS: Final = "redis.crt"
POSTGRES: Final = "postgres.crt"
ARTIFACTS: Final = "artifacts.crt"
OIDC: Final = "oidc.crt"


def files(connections: ConnectionOptions) -> dict[str, str]:
    """Content of the ConfigMap: the certificates of each service that has its own authorities."""
    contents = {
        REDIS: connections.redis_ca,
        POSTGRES: connections.postgres_ca,
        ARTIFACTS: connections.artifact_ca,
        OIDC: connections.mlflow_oidc_ca,
    }
    return {name: content for name, content in contents.items() if content}


def path(connections: ConnectionOptions, file: str) -> str:
    """Path, in a pod, of the authorities that verify a service."""
    return f"{DIR}/{file}" if file in files(connections) else SYSTEM


def digest(connections: ConnectionOptions, *, without: str = "") -> str:
    """Digest of the files, for pod annotations: changed authorities restart the pods. Empty without files.

    Args:
        connections: The authorities.
        without: File that the pods do not use.
    """
    contents = sorted(files(connections).items())
    text = "\0".join(f"{name}\0{content}" for name, content in contents if name != without)
    return hashlib.sha256(text.encode()).hexdigest()[:16] if text else ""


def volume() -> core.v1.VolumeArgs:
    """Volume of a pod with the files."""
    return core.v1.VolumeArgs(name=NAME, config_map=core.v1.ConfigMapVolumeSourceArgs(name=NAME))


def mount() -> core.v1.VolumeMountArgs:
    """Mount of the volume in a container."""
    return core.v1.VolumeMountArgs(name=NAME, mount_path=DIR, read_only=True)


@dataclass(frozen=True, kw_only=True)
class CertificateAuthoritiesArgs:
    """The authorities, and the namespace of the pods that use them."""

    namespace: pulumi.Input[str]
    connections: ConnectionOptions


class CertificateAuthorities(pulumi.ComponentResource):
    """The ConfigMap, if any service has authorities of its own."""

    def __init__(self, name: str, args: CertificateAuthoritiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("manta:index:CertificateAuthorities", name, None, opts)
        if contents := files(args.connections):
            core.v1.ConfigMap(
                f"{name}-files",
                metadata=meta.v1.ObjectMetaArgs(name=NAME, namespace=args.namespace, labels=labels.of(names.PART_OF)),
                data=contents,
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({})
